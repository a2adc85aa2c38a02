"""What can be asked: a text, a class, another picture's tokens; and a picture to go on with, or to vary.

text="noto: red apple"        or a list, one a picture
label=3                       or a list
features=(B, L, D)            a caption's, of the encoder the net was trained with
tokens=(B, h', w') int64      another picture's tokens, or
picture=images                that picture, where the net has a part that makes its tokens
prefix=images, rows=4         the first rows of tokens of a picture (of `rows` rows; any of the above beside it)
prefix=(B, k, w) int64        those rows as tokens; `rows`, if given, says how many of them
image=images, strength=0.5    variations: each token is drawn anew with that probability, or stays the picture's; or
image=(B, h, w) int64         that picture's tokens. Of sample alone
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo_dalle.captions import Captions, features
from zoo_dalle.reading import Read
from zoo_dalle.stream import Classes, Features, Picture, Words

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


@dataclass(frozen=True)
class Asked:
    """A condition, for the pictures of a batch.

    Attributes:
        prefix: (B, L) ids, or (B, L, D) features; None where the prefix was not asked for.
        forced: (B, n) int64: the first image tokens of each picture.
        allowed: (B, P) bool: prefix positions that may be looked at; None for all.
        image: (B, T) int64: the tokens of pictures to vary.
        strength: with which probability each of those is drawn anew.
    """

    prefix: Tensor | None = None
    forced: Tensor | None = None
    allowed: Tensor | None = None
    image: Tensor | None = None
    strength: float = 1.0

    def unused(self, what: str) -> None:
        """Raises RequestError where there is a picture to vary, which has no part in `what`."""
        if self.image is not None:
            raise RequestError(
                f"image, with strength, is what is varied in a drawing and has no part in {what}: leave it out."
            )


def asked(net: DalleModel, request: Mapping[str, Any], batch: int) -> Asked:
    """A user's request for `batch` pictures; entry i of a list is picture i's, one alone is for all.

    Raises RequestError for what is not known, does not exist or does not fit the net.
    """
    wanted = options.read(
        request,
        "condition",
        text=None,
        label=None,
        tokens=None,
        picture=None,
        features=None,
        prefix=None,
        rows=None,
        image=None,
        strength=None,
    )
    needs = net.given.asks
    for name in ("text", "label", "tokens", "picture", "features"):
        if getattr(wanted, name) is None or name == needs:
            continue
        if name == "picture" and needs == "tokens":
            continue
        takes = f"{needs}=..." if needs else "no condition but prefix=pictures, rows=k"
        raise RequestError(f"{name} = {_short(getattr(wanted, name))}: this model takes {takes}.")
    if wanted.prefix is None and wanted.rows is not None:
        raise RequestError("rows says how much of `prefix` is given: give prefix=pictures as well.")
    forced = None if wanted.prefix is None else beginning(net, wanted.prefix, wanted.rows, batch)
    image, strength = varied(net, wanted, batch)
    return Asked(_prefix(net, wanted, batch), forced, image=image, strength=strength)


def _prefix(net: DalleModel, wanted: Any, batch: int) -> Tensor | None:
    device, given = net.weight.device, net.given
    if isinstance(given, Words | Read) and wanted.text is not None:
        rows = [given.vocabulary.padded(each) for each in texts(wanted.text, batch)]
        return torch.tensor(rows, device=device)
    if isinstance(given, Features) and wanted.text is not None:
        return given.encoder.encode(texts(wanted.text, batch)).to(net.weight)
    if isinstance(given, Captions) and wanted.features is not None:
        found = features(wanted.features, given.length, given.features)
        return torch.stack(options.one_each(tuple(found), batch, "features")).to(net.weight)
    if isinstance(given, Classes) and wanted.label is not None:
        labels = options.labels(wanted.label, given.classes, batch)
        return torch.tensor(labels, device=device)[:, None]
    if isinstance(given, Picture) and (wanted.tokens is not None or wanted.picture is not None):
        tokens = _tokens(net, given, wanted)
        return torch.stack(options.one_each(tuple(tokens), batch, "tokens")).to(device)
    return None


def texts(given: Any, batch: int) -> tuple[str, ...]:
    """One text for each of `batch` pictures. Raises RequestError."""
    entries = tuple(given) if isinstance(given, list | tuple) else (given,)
    for entry in entries:
        if not isinstance(entry, str):
            raise RequestError(
                f"text is a sentence, or a list of one a picture; got {_short(entry)}."
            )
    return options.one_each(entries, batch, "text")


def _tokens(net: DalleModel, given: Picture, wanted: Any) -> Tensor:
    """(B, h' w') int64 of what was asked as tokens or as a picture."""
    if wanted.tokens is not None and wanted.picture is not None:
        raise RequestError("tokens and picture say the same: give one of them.")
    if wanted.picture is not None:
        if given.part not in net.parts.models:
            raise RequestError(
                f"picture: this model has no part that makes tokens of it (parts: {', '.join(net.parts.models)}); "
                "give tokens=(B, h, w)."
            )
        from zoo_dalle.net import tokens_of

        images = net.parts.models[given.part]._images(wanted.picture)
        return tokens_of(net.parts.models[given.part], images, net.weight.device).flatten(1)
    found = whole(wanted.tokens, "tokens of the other picture", given.grid, given.codes)
    return found.flatten(1)


def beginning(net: DalleModel, given: Any, rows: Any, batch: int) -> Tensor:
    """(B, rows * w) int64: the tokens of the first rows of pictures. Raises RequestError."""
    (height, width), tokens = net.grid, None
    if _are_tokens(given):
        tokens = whole(given, "tokens of a picture's first rows", net.grid, net.codes, fewer=True)
        rows = tokens.shape[1] if rows is None else rows
        if isinstance(rows, int) and rows > tokens.shape[1]:
            raise RequestError(f"rows = {rows}: the prefix has {tokens.shape[1]} rows of tokens.")
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 < rows <= height:
        raise RequestError(
            f"prefix needs rows, how many of its {height} rows of tokens are given, 1 to {height}; got {rows!r}."
        )
    if tokens is None:
        tokens = net.symbols(net.tokenizer._images(given)).view(-1, height, width)
    symbols = tokens[:, :rows].flatten(1).to(net.weight.device)
    return torch.stack(options.one_each(tuple(symbols), batch, "prefix"))


def varied(net: DalleModel, wanted: Any, batch: int) -> tuple[Tensor | None, float]:
    """(B, T) int64, the tokens of the pictures to vary, if any, and how strongly. Raises RequestError."""
    given, strength = wanted.image, wanted.strength
    if given is None and strength is None:
        return None, 1.0
    if given is None:
        raise RequestError(
            "strength says how much of `image` is drawn anew: give image=pictures as well."
        )
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 < strength <= 1:
        raise RequestError(
            f"image needs strength, which share of its tokens is drawn anew, above 0 up to 1; got {strength!r}."
        )
    if wanted.prefix is not None:
        raise RequestError(
            "image and prefix both say which tokens are given: leave one of them out."
        )
    if _are_tokens(given):
        tokens = whole(given, "tokens of pictures to vary", net.grid, net.codes).flatten(1)
    else:
        tokens = net.symbols(net.tokenizer._images(given))
    found = options.one_each(tuple(tokens.to(net.weight.device)), batch, "image")
    return torch.stack(found), float(strength)


def _are_tokens(given: Any) -> bool:
    return (
        str(getattr(given, "dtype", "")).removeprefix("torch.").startswith("int")
    )  # uint8: pixels


def whole(given: Any, what: str, grid: tuple[int, int], codes: int, fewer: bool = False) -> Tensor:
    """Tokens (B, h, w) int64 that were given, one picture's (h, w) too; with `fewer`, of fewer rows.

    Raises RequestError, which calls them `what`, for another shape, type or range.
    """
    tokens = torch.as_tensor(given)
    tokens = tokens[None] if tokens.ndim == 2 else tokens
    fits = tokens.ndim == 3 and tokens.shape[2] == grid[1] and tokens.numel() > 0
    fits = fits and (tokens.shape[1] == grid[0] or (fewer and tokens.shape[1] < grid[0]))
    if not fits or tokens.dtype.is_floating_point:
        height = f"1 to {grid[0]}" if fewer else grid[0]
        raise RequestError(
            f"{what} are whole numbers (B, {height}, {grid[1]}); got {tokens.dtype} {tuple(tokens.shape)}."
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= codes:
        raise RequestError(f"{what} are 0 .. {codes - 1}; got {low} .. {high}.")
    return tokens.long()


def ids_of(net: DalleModel, cond: Asked | None, batch: int | None) -> Tensor:
    """The prefix (B, L) or (B, L, D) of a condition, the null's where none was asked for.

    Raises RequestError where the net was not trained without a condition.
    """
    if cond is not None and cond.prefix is not None:
        return cond.prefix
    if not net.given.null:
        raise RequestError(
            f"this model was trained with {net.given.asks}=... always (`null: false` in its config), so it has no "
            f"pictures without: ask for {net.given.asks}=..., and leave out guidance."
        )
    if cond is not None and cond.forced is not None:
        batch = len(cond.forced)
    if batch is None:
        raise ValueError("nothing was asked for: say for how many pictures")
    nothing = net.given.nothing(batch)
    return nothing.to(net.weight if nothing.is_floating_point() else net.weight.device)


def null(net: DalleModel, cond: Asked | None, batch: int) -> Asked:
    """The same request without its prefix, for guidance; given rows stay. Raises RequestError as `ids_of`."""
    bare = replace(cond or Asked(), prefix=None, allowed=None)
    return replace(bare, prefix=ids_of(net, bare, batch))


def _short(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(shape)}"
    shown = repr(value)
    return shown if len(shown) < 60 else shown[:57] + "..."
