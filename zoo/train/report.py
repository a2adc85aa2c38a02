"""What a run tells while it goes: metrics.jsonl, picture grids, TensorBoard, a progress line.

One line of metrics.jsonl a log step, means over the steps since the last line and over all
processes: {"step", "OBJECTIVE/loss", "OBJECTIVE/METRIC", "OBJECTIVE/lr", "OBJECTIVE/grad_norm",
"images_per_s", "memory_mib", "seconds"}; held-out values are lines with "eval/..." keys.
"""

from __future__ import annotations

import importlib.util
import json
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zoo.errors import ZooError
from zoo.progress import watched


class TrainingError(ZooError):
    """Training cannot go on: a loss or a gradient is not finite."""


LOOK_EVERY = 200  # values; looking at one that is on an accelerator waits for it


class Report:
    """Collects values during steps and writes them; only the main process writes."""

    def __init__(self, run: Path, accelerator: Any, step: int, steps: int) -> None:
        self.run, self.accelerator, self.main = run, accelerator, accelerator.is_main_process
        self.sums: dict[str, list[Tensor]] = {}
        self.watched: list[tuple[int, str, Tensor]] = []
        self.since, self.pictures = time.monotonic(), 0
        self.bar: Any = None
        self.board: Any = None
        if self.main:
            _forget_after(run / "metrics.jsonl", step)
            quiet = not watched()
            self.bar = tqdm(total=steps, initial=step, unit="step", disable=quiet, file=sys.stderr)
            if importlib.util.find_spec("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(run / "tensorboard"), purge_step=step)

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Take values of this step; kept on their device until they are written."""
        for name, value in values.items():
            self.sums.setdefault(name, []).append(torch.as_tensor(value).detach().float())

    def watch(self, step: int, name: str, value: Tensor) -> None:
        """Take a value that must be finite; on a CPU it is looked at now, elsewhere by `check`."""
        self.watched.append((step, name, value.detach()))
        if value.device.type == "cpu" or len(self.watched) >= LOOK_EVERY:
            self.check()

    def check(self) -> None:
        """Raise TrainingError naming the step if a watched value was not finite."""
        if not self.watched:
            return
        finite = torch.isfinite(torch.stack([value for _, _, value in self.watched])).tolist()
        for good, (step, name, value) in zip(finite, self.watched, strict=True):
            if not good:
                kept = sorted((self.run / "checkpoints").glob("step-*"))
                raise TrainingError(
                    f"The {name} is {value.item()} at step {step}. The last checkpoint is "
                    f"{kept[-1] if kept else 'none'}: resume with a lower learning rate, a longer "
                    "warm-up or a smaller clip, which may change when a run goes on."
                )
        self.watched.clear()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block whose time is not that of steps: images_per_s leaves it out."""
        begun = time.monotonic()
        yield
        self.since += time.monotonic() - begun

    def stepped(self, pictures: int) -> None:
        """Count one step of so many pictures."""
        self.pictures += pictures
        if self.bar is not None:
            self.bar.update()

    def log(self, step: int, seconds: float, lr: Mapping[str, float]) -> None:
        """Write the means since the last time."""
        self.check()
        means = self._means(self.sums)
        self.sums = {}
        now = time.monotonic()
        rate = self.pictures / max(now - self.since, 1e-9)
        self.since, self.pictures = now, 0
        about = {"images_per_s": rate, "memory_mib": memory(), "seconds": seconds}
        self.write(step, {**means, **lr, **about})
        if self.bar is not None:
            losses = {name: f"{v:.4g}" for name, v in means.items() if name.endswith("/loss")}
            self.bar.set_postfix(losses)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and the same to TensorBoard."""
        if not self.main:
            return
        with (self.run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            told = {name: v if math.isfinite(v) else None for name, v in values.items()}
            file.write(json.dumps({"step": step, **told}) + "\n")
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def held_out(self, step: int, values: Mapping[str, list[Tensor]]) -> None:
        """Write means of held-out values under eval/."""
        means = self._means(values)
        self.write(step, {f"eval/{name}": value for name, value in means.items()})

    def grid(self, step: int, images: Tensor, columns: int) -> None:
        """Write images (N, C, H, W) in [-1, 1] as grids/step-N.png."""
        if not self.main:
            return
        from zoo.images import Images

        sheet = Images(images.detach().float().cpu().clamp(-1, 1))
        sheet.save(self.run / "grids" / f"step-{step:08d}.png", columns)

    def _means(self, values: Mapping[str, list[Tensor]]) -> dict[str, float]:
        """Mean of each list, then over processes; every process must have the same names."""
        names = sorted(values)
        if not names:
            return {}
        own = torch.stack([torch.stack(values[name]).mean() for name in names])
        return dict(zip(names, self.accelerator.reduce(own, "mean").tolist(), strict=True))


def memory() -> float:
    """The most memory held so far, MiB: of the accelerator if there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _forget_after(path: Path, step: int) -> None:
    """Drop lines of steps that will be taken again, and a line cut short by a kill."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if 0 < step >= json.loads(line)["step"]:
                kept.append(line + "\n")
        except ValueError:
            continue
    path.write_text("".join(kept), encoding="utf-8")
