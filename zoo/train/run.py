"""A run in progress: the wrapped work, its optimizers and averages, and what is done with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.train import checkpoint, sharded
from zoo.train.ema import Ema
from zoo.train.objective import Batch
from zoo.train.parallel import Layout, agree, cut, recompute
from zoo.train.precision import Precision
from zoo.train.recipe import Recipe
from zoo.train.report import Report
from zoo.train.schedule import scale
from zoo.train.shards import clip, gathered, release, whole
from zoo.train.start import stream
from zoo.train.state import contents, take
from zoo.train.tuning import moving
from zoo.train.work import PREVIEW, Task, Work, optimize, sow, tasks

if TYPE_CHECKING:
    from torch import nn

    from zoo.plugins import Family


class Run:
    """Made from a freshly built net; `restore` puts a checkpoint into it."""

    def __init__(self, recipe: Recipe, where: Layout, family: Family, net: nn.Module) -> None:
        self.recipe, self.where, self.accelerator = recipe, where, where.accelerator
        device = self.accelerator.device
        if not where.sharded:  # sharding moves piece by piece: the whole net need not fit
            net.to(device)
        sow(recipe.train.seed, "objectives")
        objectives = family.call("objectives", net=net, recipe=dict(recipe.objective))
        self.work = Work(net, moving(net, objectives, recipe.tune), family)
        if not where.sharded:
            self.work.to(device)
        if recipe.train.channels_last and not where.sharded:
            self.work.to(memory_format=torch.channels_last)
        self.tasks = tasks(self.work, recipe)
        if recipe.train.gradient_checkpointing:
            recompute(net)
        if where.sharded:
            cut(self.work, net, where)
            self.model: Any = self.work
        else:
            self.model = self.accelerator.prepare(self.work)
        self.parameters = dict(self.work.named_parameters())  # sharding has replaced them
        self.buffers = list(self.work.buffers())
        self.trained = [p for p in self.parameters.values() if p.requires_grad]
        for task in self.tasks:
            optimize(task, self.parameters)
        if recipe.train.compile:
            for child in net.children():  # not the net: losses may call its other methods
                child.compile(backend=recipe.train.compile)
        self.precision = Precision(recipe.train.precision, self.accelerator)
        self.ema = Ema(net, recipe.train.ema, recipe.train.ema_warmup) if recipe.train.ema else None
        self.seconds, self.since = 0.0, time.monotonic()

    def turn(self, task: Task, batches: list[dict[str, Any]], step: int, report: Report) -> None:
        """One optimizer step of one objective on the parts of this process's share."""
        name, train = task.objective.name, self.recipe.train
        own = [self.parameters[key] for key in task.names]
        self._only(own)
        for group in task.optimizer.param_groups:
            group["lr"] = self.lr(task, step)
        task.optimizer.zero_grad()
        for index, batch in enumerate(batches):
            sow(train.seed, "step", step, name, self.where.rank + self.where.world * index)
            with self._adding(last=index == len(batches) - 1):
                loss, metrics = self.call(name, batch, step)
                report.watch(step, f"loss of {name!r}", loss)
                self.precision.backward(loss / len(batches))
            report.add({f"{name}/loss": loss, **{f"{name}/{k}": v for k, v in metrics.items()}})
        finite = self.precision.unscale(own)
        norm = clip(own, train.clip or float("inf"))
        if not self.precision.scales:  # with fp16 an overflow is met by skipping the step
            report.watch(step, f"gradient norm of {name!r}", norm)
        report.add({f"{name}/grad_norm": norm})
        if finite:
            task.optimizer.step()
        task.optimizer.zero_grad()
        agree(self.buffers, self.where)
        if task.objective.after_step is not None:
            sow(train.seed, "after", step, name)
            task.objective.after_step(step)

    def call(self, name: str, batch: dict[str, Any], step: int) -> Any:
        """The work's answer in the recipe's precision; every process must call it."""
        self.work.batch = batch
        with self.precision.computing():
            return self.model(name, step)

    def lr(self, task: Task, step: int) -> float:
        """The learning rate of an objective at a step."""
        steps = self.recipe.train.steps
        return task.settings.lr * scale(self.recipe.schedule, step, steps, task.objective.start)

    def _only(self, own: Sequence[Tensor]) -> None:
        """Let gradients reach one objective's parameters alone."""
        if len(self.tasks) == 1 or self.where.sharded:
            return  # FSDP fixes requires_grad when it wraps; strays are dropped by zero_grad
        wanted = {id(p) for p in own}
        for parameter in self.trained:
            parameter.requires_grad_(id(parameter) in wanted)

    def _adding(self, last: bool) -> AbstractContextManager[Any]:
        """A block of one part of the batch; only after the last are gradients put together.

        With shard = "full" they are after every part: waiting would keep them whole.
        """
        if self.where.sharded:
            self.model.set_requires_gradient_sync(last or self.where.shard == "full")
            return nullcontext()
        found: AbstractContextManager[Any] = (
            nullcontext() if last else self.accelerator.no_sync(self.model)
        )
        return found

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
        world = self.where.world
        size = min(self.recipe.data.batch, len(data)) // world * world
        source = stream(self.recipe, data, self.where, 0, size)
        with self.showing():
            for index in range(self.recipe.train.eval_batches):
                batch = self.place(next(source))
                for task in self.tasks:
                    name = task.objective.name
                    if step >= task.objective.start:
                        sow(self.recipe.train.seed, "eval", index, self.where.rank)
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
        with self.showing(), gathered(self.model, drop=self.where.shard == "full"):
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
        state = {
            "seconds": self.elapsed(),
            "pictures": step * self.recipe.data.batch,
            "scaler": self.precision.state(),
            "processes": self.accelerator.num_processes,
            "torch": torch.__version__,
        }
        path, main = None, self.accelerator.is_main_process
        if self.where.sharded:
            if main:
                checkpoint.begin(run, step)
            self.accelerator.wait_for_everyone()
            sharded.write(checkpoint.unfinished(run, step), contents(self))
            self.accelerator.wait_for_everyone()
            if main:
                about = {**state, "sharded": True}
                path = checkpoint.complete(run, step, about, self.recipe.train.keep)
        elif main:
            groups = contents(self).items()
            tensors = {group: {k: whole(v) for k, v in each.items()} for group, each in groups}
            path = checkpoint.write(run, step, tensors, state, self.recipe.train.keep)
        self.accelerator.wait_for_everyone()
        return path

    def restore(self, folder: Path) -> int:
        """Take up a checkpoint, of any number of processes; returns how many steps it has behind it."""
        state = take(self, folder)
        self.precision.take(state["scaler"])
        self.seconds, self.since = state["seconds"], time.monotonic()
        return int(state["step"])
