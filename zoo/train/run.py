"""A run in progress: the wrapped work, its optimizers and averages, and what is done with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import WeightsError, listed
from zoo.train import checkpoint
from zoo.train.ema import Ema
from zoo.train.objective import Batch
from zoo.train.recipe import Recipe
from zoo.train.report import Report
from zoo.train.schedule import scale
from zoo.train.shards import fill, release, whole
from zoo.train.start import stream
from zoo.train.work import PREVIEW, Task, Work, sow, tasks

if TYPE_CHECKING:
    from torch import nn

    from zoo.plugins import Family


class Run:
    """Made from a freshly built net; `restore` puts a checkpoint into it."""

    def __init__(self, recipe: Recipe, accelerator: Any, family: Family, net: nn.Module) -> None:
        self.recipe, self.accelerator = recipe, accelerator
        net.to(accelerator.device)
        sow(recipe.train.seed, "objectives")
        objectives = family.call("objectives", net=net, recipe=dict(recipe.objective))
        self.work = Work(net, objectives, family).to(accelerator.device)
        self.sharded = bool(getattr(accelerator, "is_fsdp2", False))
        if recipe.train.channels_last and not self.sharded:  # FSDP cuts contiguous parameters only
            self.work.to(memory_format=torch.channels_last)
        self.tasks = tasks(self.work, recipe)
        prepared = accelerator.prepare(self.work, *(task.optimizer for task in self.tasks))
        self.model = prepared[0]
        for task, optimizer in zip(self.tasks, prepared[1:], strict=True):
            task.optimizer = optimizer
        self.parameters = dict(self.work.named_parameters())  # FSDP has replaced them
        self.trained = [p for p in self.parameters.values() if p.requires_grad]
        if recipe.train.compile:
            for child in net.children():  # not the net: losses may call its other methods
                child.compile(backend=recipe.train.compile)
        self.ema = Ema(net, recipe.train.ema, recipe.train.ema_warmup) if recipe.train.ema else None
        self.seconds, self.since = 0.0, time.monotonic()

    def turn(self, task: Task, batches: list[dict[str, Any]], step: int, report: Report) -> None:
        """One optimizer step of one objective on the parts of this process's share."""
        name, train, accelerator = task.objective.name, self.recipe.train, self.accelerator
        own = [self.parameters[key] for key in task.names]
        self._only(own)
        for group in task.optimizer.param_groups:
            group["lr"] = self.lr(task, step)
        task.optimizer.zero_grad()
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            place = accelerator.process_index + accelerator.num_processes * index
            sow(train.seed, "step", step, name, place)
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss, metrics = self.call(name, batch, step)
                report.watch(step, f"loss of {name!r}", loss)
                accelerator.backward(loss / len(batches))
            report.add({f"{name}/loss": loss, **{f"{name}/{k}": v for k, v in metrics.items()}})
        norm = accelerator.clip_grad_norm_(own, train.clip or float("inf"))
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if accelerator.scaler is None:  # with fp16 an overflow is met by skipping the step
            report.watch(step, f"gradient norm of {name!r}", norm)
        report.add({f"{name}/grad_norm": norm})
        task.optimizer.step()
        task.optimizer.zero_grad()
        if task.objective.after_step is not None:
            sow(train.seed, "after", step, name)
            task.objective.after_step(step)

    def call(self, name: str, batch: dict[str, Any], step: int) -> Any:
        """The work's answer in the recipe's precision; every process must call it."""
        self.work.batch = batch
        with self.accelerator.autocast():
            return self.model(name, step)

    def lr(self, task: Task, step: int) -> float:
        """The learning rate of an objective at a step."""
        steps = self.recipe.train.steps
        return task.settings.lr * scale(self.recipe.schedule, step, steps, task.objective.start)

    def _only(self, own: Sequence[Tensor]) -> None:
        """Let gradients reach one objective's parameters alone."""
        if len(self.tasks) == 1 or self.sharded:
            return  # FSDP fixes requires_grad when it wraps; strays are dropped by zero_grad
        wanted = {id(p) for p in own}
        for parameter in self.trained:
            parameter.requires_grad_(id(parameter) in wanted)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Evaluation mode, averaged weights, no gradients; then each module's own mode again."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        with torch.no_grad(), self.ema.applied() if self.ema else nullcontext():
            yield
            release(self.model)
        for module, mode in modes:
            module.training = mode

    def evaluate(self, data: Any, step: int, report: Report) -> None:
        """Losses of all started objectives on the same held-out batches each time."""
        values: dict[str, list[Tensor]] = {}
        world = self.accelerator.num_processes
        size = min(self.recipe.data.batch, len(data)) // world * world
        source = stream(self.recipe, data, self.accelerator, 0, size)
        with self.showing():
            for index in range(self.recipe.train.eval_batches):
                batch = self.place(next(source))
                for task in self.tasks:
                    name = task.objective.name
                    if step >= task.objective.start:
                        sow(self.recipe.train.seed, "eval", index, self.accelerator.process_index)
                        loss, metrics = self.call(name, batch, step)
                        for key, value in {"loss": loss, **metrics}.items():
                            values.setdefault(f"{name}/{key}", []).append(value.float())
        report.held_out(step, values)

    def preview(self, data: Any, step: int, report: Report) -> None:
        """A grid of held-out pictures over their reconstructions, or of samples."""
        from zoo.data import collate

        count = min(self.recipe.train.grid_count, len(data))
        batch = collate([data[index] for index in range(count)])
        sow(self.recipe.train.seed, "preview")
        with self.showing():
            shown = self.call(PREVIEW, self.place(batch), step)
        report.grid(step, shown, columns=count)

    def place(self, batch: Batch) -> dict[str, Any]:
        """The batch on this process's device, in the net's memory format."""
        device = self.accelerator.device
        placed = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        last = self.recipe.train.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        if "images" in placed:  # a set of tokens has none
            placed["images"] = placed["images"].contiguous(memory_format=layout)
        return placed

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds + time.monotonic() - self.since

    def save(self, run: Path, step: int) -> Path | None:
        """Write a checkpoint after `step` steps; its path on the main process, else None."""
        net = self.work.net.state_dict()
        tensors = {
            "model": {name: whole(tensor) for name, tensor in net.items()},
            "modules": {name: whole(t) for name, t in self.work.modules_state().items()},
            "buffers": {name: whole(t) for name, t in self.work.buffers_state().items()},
            "optimizer": {
                f"{task.objective.name}/{name}/{key}": whole(value)
                for task in self.tasks
                for name in task.names
                for key, value in sorted(
                    task.optimizer.state.get(self.parameters[name], {}).items()
                )
            },
        }
        if self.ema is not None:
            tensors["ema"] = {name: whole(tensor) for name, tensor in self.ema.shadow.items()}
        path = None
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {
                "seconds": self.elapsed(),
                "pictures": step * self.recipe.data.batch,
                "scaler": scaler.state_dict() if scaler is not None else None,
                "processes": self.accelerator.num_processes,
                "torch": torch.__version__,
            }
            path = checkpoint.write(run, step, tensors, state, self.recipe.train.keep)
        self.accelerator.wait_for_everyone()
        return path

    def restore(self, folder: Path) -> int:
        """Take up a checkpoint; returns how many steps it has behind it."""
        tensors, state = checkpoint.read(folder)
        _into(self.work.net.state_dict(), tensors["model"], folder / "model.safetensors")
        _into(self.work.modules_state(), tensors["modules"], folder / "modules.safetensors")
        _into(self.work.buffers_state(), tensors["buffers"], folder / "buffers.safetensors")
        if self.ema is not None:
            self.ema.load(tensors["ema"])
        kept: dict[tuple[str, str], dict[str, Tensor]] = {}
        for key, value in tensors["optimizer"].items():
            objective, name, slot = key.split("/")
            kept.setdefault((objective, name), {})[slot] = value
        for task in self.tasks:
            entries = {}
            for index, name in enumerate(task.names):
                own = self.parameters[name]
                slots = kept.get((task.objective.name, name))
                if slots:  # none: an objective that had not started
                    entries[index] = {
                        slot: fill(torch.empty_like(own), v) if v.shape == own.shape else v
                        for slot, v in slots.items()
                    }
            inner = task.optimizer.optimizer
            inner.load_state_dict({**inner.state_dict(), "state": entries})
        if state["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.seconds, self.since = state["seconds"], time.monotonic()
        return int(state["step"])


def _into(wanted: dict[str, Tensor], given: dict[str, Tensor], where: Path) -> None:
    """Fill tensors by name; both sides must have the same names and shapes."""
    lost = [k for k in wanted if k not in given or given[k].shape != wanted[k].shape]
    over = [k for k in given if k not in wanted]
    if lost or over:
        raise WeightsError(
            f"{where} does not fit this net. Missing or of another shape: {listed(lost)}. Not in "
            f"the net: {listed(over)}. Was the family's code changed since? Start a new run."
        )
    for name, tensor in wanted.items():
        fill(tensor, given[name])
