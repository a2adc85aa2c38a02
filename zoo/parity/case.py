"""A reference case: a folder with a recorded run of somebody else's implementation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import ForeignError
from zoo.foreign import ENDINGS, Foreign, open_checkpoint


@dataclass(frozen=True)
class Case:
    """One recorded run: `meta` is meta.json, `config` the reference's configuration if any."""

    folder: Path
    meta: Mapping[str, Any]
    config: dict[str, Any] | None
    inputs: Mapping[str, Tensor]  # "in." stripped
    outputs: Mapping[str, Tensor]  # "out." stripped: what the reference gave

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @staticmethod
    def read(folder: str | Path) -> Case:
        """Read a case folder. Raises ForeignError naming what is missing."""
        folder = Path(folder)
        for name in ("meta.json", "io.safetensors"):
            if not (folder / name).is_file():
                raise ForeignError(f"{folder} is not a parity case: it has no {name}")
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        recorded = load_file(folder / "io.safetensors")
        given = {k[3:]: v for k, v in recorded.items() if k.startswith("in.")}
        wanted = {k[4:]: v for k, v in recorded.items() if k.startswith("out.")}
        if not wanted:
            raise ForeignError(f"{folder / 'io.safetensors'} has no outputs ('out.NAME')")
        return Case(folder, meta, config, given, wanted)

    @cached_property
    def files(self) -> list[Path]:
        """The weights files of the case, its folders included; `io.safetensors` is none."""
        every = sorted(p for p in self.folder.rglob("*") if p.suffix in ENDINGS)
        return [p for p in every if p.name != "io.safetensors"]

    def checkpoint(self, name: str | None = None) -> Foreign:
        """The case's weights file, opened: the only one, or the one of that name in the folder."""
        if name is not None:
            return open_checkpoint(self.folder / name)
        named = self.meta.get("weights_file")
        if isinstance(named, str) and (self.folder / named).is_file():
            return open_checkpoint(self.folder / named)
        if len(self.files) != 1:
            raise ForeignError(f"{self.folder} has {len(self.files)} weights files; name one")
        return open_checkpoint(self.files[0])

    def weights(self, name: str | None = None) -> dict[str, Tensor]:
        """The weights by their published names, floating ones as float32."""
        return {k: upcast(v) for k, v in self.checkpoint(name).tensors().items()}

    def tolerance(self, output: str) -> tuple[float, float]:
        """(atol, rtol) of an output; integers: (0, 0)."""
        if not self.outputs[output].is_floating_point():
            return 0.0, 0.0
        table = self.meta.get("tolerance", {})
        atol = table.get("atol", {})
        return float(atol[output] if isinstance(atol, Mapping) else atol), float(table["rtol"])


def upcast(tensor: Tensor) -> Tensor:
    """float32 for a half or bfloat16, else the tensor itself: references ran in float32."""
    small = (torch.float16, torch.bfloat16)
    return tensor.float() if tensor.dtype in small else tensor


class Runner(Protocol):
    """Runs cases of one kind."""

    @property
    def name(self) -> str:
        """Of the kind, for reports."""
        ...

    def recognise(self, case: Case) -> bool:
        """Whether the case is of this kind, by its files and the names in them; cheap."""
        ...

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """The outputs by name, at least those in `case.outputs`."""
        ...
