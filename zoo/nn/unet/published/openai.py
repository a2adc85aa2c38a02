"""The architecture of OpenAI's U-Nets and classifiers, and of CompVis' U-Nets, read off their names and shapes.

`input_blocks.K` are a first convolution, then for each level its residual blocks (`.0`) with or without attention
(`.1`: OpenAI's own, or a spatial transformer), then a step to the next level: a convolution (`.0.op`), a residual
block that halves, or nothing that has a name (a mean). `output_blocks.K` are the same way back, the step beside the
last block of a level. A residual block that halves looks like any other; the way back tells it apart, and where there
is none (a classifier), that no step has attention or changes the width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zoo.errors import ForeignError
from zoo.layouts import Keys, indices, need
from zoo.nn.unet.published import transformer
from zoo.nn.unet.published.shapes import one

_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "embed",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "shortcut",
}
_ATTENTION = {"norm": "norm", "qkv": "qkv", "proj_out": "out"}
SIGNS = (
    "time_embed.0.weight",
    "time_embed.2.weight",
    "input_blocks.0.0.weight",
    "input_blocks.1.0.in_layers.0.weight",
    "middle_block.0.in_layers.0.weight",
    "middle_block.2.in_layers.0.weight",
)


@dataclass
class Found:
    """What the shapes tell: options of `zoo.nn.unet.UNet` or of a classifier, and our names of their tensors."""

    options: dict[str, Any] = field(default_factory=dict)
    rename: dict[str, str] = field(default_factory=dict)

    @property
    def factor(self) -> int:
        """Of the sides, between the first level and the last."""
        return int(2 ** (len(self.options["widths"]) - 1))

    def move(self, keys: Keys, theirs: str, ours: str) -> bool:
        """Rename all tensors of a module; whether there is one."""
        moved = {k: ours + k[len(theirs) :] for k in keys if k.startswith(f"{theirs}.")}
        self.rename |= moved
        return bool(moved)

    def block(self, keys: Keys, theirs: str, ours: str) -> None:
        """Rename a residual block's tensors."""
        for name, own in _BLOCK.items():
            self.move(keys, f"{theirs}.{name}", f"{ours}.{own}")

    def attention(self, keys: Keys, theirs: str, ours: str) -> None:
        """Rename an attention block's tensors."""
        if f"{theirs}.{transformer.SIGN}" in keys:
            inner = (key[len(theirs) + 1 :] for key in keys if key.startswith(f"{theirs}."))
            self.rename |= {f"{theirs}.{k}": f"{ours}.{transformer.renamed(k)}" for k in inner}
            return
        for name, own in _ATTENTION.items():
            self.move(keys, f"{theirs}.{name}", f"{ours}.{own}")

    def transforms(self, keys: Keys) -> dict[str, str]:
        """For `Adoption`: convolutions of one position, in the file, that are matrices in the net."""
        return {
            own: "squeeze-conv"
            for key, own in self.rename.items()
            if len(keys[key]) == 3 or (len(keys[key]) == 4 and own.endswith(transformer.LINEAR))
        }


def walk(keys: Keys, levels: int | None = None) -> Found:
    """What the names and shapes tell. `levels`, if known otherwise.

    Raises ForeignError for what is incomplete or has more than one reading.
    """
    need(keys, *SIGNS)
    if not _attends(keys, "middle_block.1"):
        raise ForeignError("the checkpoint lacks middle_block.1, attention; it is incomplete")
    found = Found()
    ups = indices(keys, "output_blocks.")
    count = max(indices(keys, "input_blocks.")) + 1
    steps = [k for k in range(1, count) if not _is_block(keys, f"input_blocks.{k}.0")]
    if steps:
        levels = 1 + len(steps)
    elif ups:
        levels = 1 + sum(_step(keys, f"output_blocks.{k}") is not None for k in ups)
    else:
        levels = _levels(keys, count, levels)
    blocks = count // levels - 1
    regular = all(k % (blocks + 1) == 0 for k in steps)
    if blocks < 1 or count % levels or not regular or (ups and len(ups) != count):
        raise ForeignError(
            f"{count} input and {len(ups)} output blocks do not divide among {levels} levels alike"
        )
    _down(found, keys, count, blocks)
    for number, name in ((0, "first"), (2, "second")):
        found.block(keys, f"middle_block.{number}", f"descent.middle.{name}")
    found.attention(keys, "middle_block.1", "descent.middle.attention")
    if ups:
        _up(found, keys, count, blocks, levels)
    embed, width = keys["time_embed.0.weight"]
    found.move(keys, "time_embed.0", "time.first")
    found.move(keys, "time_embed.2", "time.second")
    outputs, told = (
        keys[f"input_blocks.1.0.{k}.weight"][0] for k in ("in_layers.2", "emb_layers.1")
    )
    found.options |= {
        "time": {"width": width, "embed": embed},
        "residual": {"modulation": "scale-shift" if told == 2 * outputs else "shift"},
    }
    places = {"middle_block.1": levels - 1}
    places |= {f"input_blocks.{k}.1": (k - 1) // (blocks + 1) for k in range(1, count)}
    places |= {f"output_blocks.{k}.1": levels - 1 - k // (blocks + 1) for k in ups}
    crossed = {k: v for k, v in places.items() if f"{k}.{transformer.SIGN}" in keys}
    if crossed:
        found.options["attention"] |= transformer.options(keys, crossed, levels)
    return found


def _attends(keys: Keys, name: str) -> bool:
    return f"{name}.qkv.weight" in keys or f"{name}.{transformer.SIGN}" in keys


def _down(found: Found, keys: Keys, count: int, blocks: int) -> None:
    widths, seen, kinds = [], [], []
    found.move(keys, "input_blocks.0.0", "descent.stem")
    for k in range(1, count):
        level, number = divmod(k - 1, blocks + 1)
        theirs, ours = f"input_blocks.{k}", f"descent.levels.{level}"
        if number == blocks:
            kinds.append(_moved_step(found, keys, f"{theirs}.0", f"{ours}.resample"))
            continue
        found.block(keys, f"{theirs}.0", f"{ours}.blocks.{number}")
        if _attends(keys, f"{theirs}.1"):
            found.attention(keys, f"{theirs}.1", f"{ours}.attentions.{number}")
            seen.append(level)
        if number == 0:
            widths.append(keys[f"{theirs}.0.in_layers.2.weight"][0])
    stem = keys["input_blocks.0.0.weight"]
    found.options |= {
        "channels": stem[1],
        "widths": widths,
        "blocks": blocks,
        "down": one(kinds),
        "attention": {"levels": sorted(set(seen))},
    }
    if stem[0] != widths[0]:
        found.options["stem"] = stem[0]


def _up(found: Found, keys: Keys, count: int, blocks: int, levels: int) -> None:
    seen, kinds = [], []
    for k in range(count):
        level, number = levels - 1 - k // (blocks + 1), k % (blocks + 1)
        theirs, ours = f"output_blocks.{k}", f"ascent.levels.{level}"
        found.block(keys, f"{theirs}.0", f"{ours}.blocks.{number}")
        if _attends(keys, f"{theirs}.1"):
            found.attention(keys, f"{theirs}.1", f"{ours}.attentions.{number}")
            seen.append(level)
        if level and number == blocks:
            place = _step(keys, theirs)
            kinds.append(
                "nearest"
                if place is None
                else _moved_step(found, keys, f"{theirs}.{place}", f"{ours}.resample")
            )
    found.options["up"] = one(kinds[::-1])
    if sorted(set(seen)) != found.options["attention"]["levels"]:
        found.options["attention"]["up_levels"] = sorted(set(seen))


def _moved_step(found: Found, keys: Keys, theirs: str, ours: str) -> str:
    """Rename what lies between two levels; its kind."""
    if _is_block(keys, theirs):
        found.block(keys, theirs, ours)
        return "block"
    for name in ("op", "conv"):
        if found.move(keys, f"{theirs}.{name}", f"{ours}.conv"):
            return "conv"
    return "pool"


def _is_block(keys: Keys, name: str) -> bool:
    return f"{name}.in_layers.0.weight" in keys


def _step(keys: Keys, name: str) -> int | None:
    """Where in an output block the step up is: behind the residual block and the attention, if any."""
    for place in (1, 2):
        if _is_block(keys, f"{name}.{place}") or f"{name}.{place}.conv.weight" in keys:
            return place
    return None


def _levels(keys: Keys, count: int, wanted: int | None) -> int:
    """How many levels a way down has whose steps are residual blocks. Raises ForeignError unless there is one way."""
    may = [n for n in range(1, count // 2 + 1) if count % n == 0 and _divides(keys, count, n)]
    if wanted in may:
        return wanted
    # Fewer levels than there can be would put a step's place, which is always bare, inside a level.
    if len(may) == 1:
        return may[0]
    raise ForeignError(
        f"{count} input blocks may be {may} levels of blocks; the shapes do not tell. Put the configuration beside the "
        "file (config.json with image_size and channel_mult, or the flags it was trained with)."
    )


def _divides(keys: Keys, count: int, levels: int) -> bool:
    """Whether no step has attention or changes width, and within a level all blocks are alike."""
    each = count // levels
    for level in range(levels):
        start = level * each + 1
        inside = range(start, start + each - 1)
        if len({_attends(keys, f"input_blocks.{k}.1") for k in inside}) > 1:
            return False
        step = start + each - 1
        behind = [k for k in inside if k > start] + ([step] if step < count else [])
        if any(f"input_blocks.{k}.0.skip_connection.weight" in keys for k in behind):
            return False
        if step < count and _attends(keys, f"input_blocks.{step}.1"):
            return False
    return True
