"""The net of a card's config: which parts it wants, and whether what is given fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo_dalle.codes import CodebookCodes, LearnedCodes
from zoo_dalle.net import DalleModel
from zoo_dalle.reading import Read
from zoo_dalle.shape import Shape
from zoo_dalle.stream import prefix

if TYPE_CHECKING:
    from zoo.model import Model


def dalle(config: Mapping[str, Any], parts: Mapping[str, Model]) -> DalleModel:
    """The net of a configuration; README.md beside this file says what its keys mean.

    Raises TypeError for an unknown or missing key, ValueError for parts or values that do not fit.
    """
    return _made(parts, **config)


def _made(
    parts: Mapping[str, Model],
    *,
    shape: Mapping[str, Any],
    grid: tuple[int, int],
    codes: int,
    text: Mapping[str, Any] | None = None,
    classes: int = 0,
    picture: Mapping[str, Any] | None = None,
    captions: Mapping[str, Any] | None = None,
    begin: bool = True,
    null: bool = False,
    embed: str = "learned",
    rank: int = 64,
    hidden: int = 128,
    groups: int = 0,
    heads: str = "separate",
    head_bias: bool = True,
) -> DalleModel:
    cells = (int(grid[0]), int(grid[1]))
    fits(parts.get("tokenizer"), "the tokenizer", cells, codes)
    made = Shape(**shape)
    asked = {"text": text, "classes": classes, "picture": picture, "captions": captions}
    given = prefix(asked, made.width, null)
    if picture and picture.get("part"):
        role = picture["part"]
        fits(parts.get(role), f"the part {role!r}", given.grid, picture["codes"])  # type: ignore[arg-type]
    for name, value, known in (
        ("heads", heads, ("separate", "shared")),
        ("embed", embed, ("learned", "codebook")),
    ):
        if value not in known:
            raise ValueError(f"{name} = {value!r} must be one of {', '.join(known)}")
    if made.across != isinstance(given, Read) or (made.across and not begin):
        raise ValueError(
            "shape.across and text.reader go together, the half that draws and the half that reads, with begin = true"
        )
    if not (begin or given.length):
        raise ValueError("a net without a condition needs begin = true, to have a first position")
    if embed == "learned":
        own = LearnedCodes(codes, made.width, head_bias, head=heads == "separate")
        return DalleModel(made, given, own, cells, codes, begin, heads, head_bias, parts)
    if heads == "shared":
        raise ValueError(
            "embed = 'codebook' predicts codes by their vectors: heads cannot be shared"
        )
    if "tokenizer" not in parts:
        raise ValueError(
            "embed = 'codebook' needs the part `tokenizer`, whose code vectors it reads"
        )
    tied = CodebookCodes(parts["tokenizer"], codes, made.width, rank, hidden, groups)
    return DalleModel(made, given, tied, cells, codes, begin, heads, head_bias, parts)


def fits(part: Model | None, what: str, grid: tuple[int, int], codes: int) -> None:
    """Raise ValueError unless a part, if there is one, makes tokens on this grid of so many codes."""
    if part is None:
        return
    card = part.card
    if card.latent_kind != "tokens" or card.latent != grid or card.codes != codes:
        makes = (
            f"{'x'.join(map(str, card.latent or ()))} tokens of {card.codes} codes"
            if card.latent_kind == "tokens"
            else f"no tokens ({card.latent_kind} latents)"
        )
        raise ValueError(
            f"the config is made for {grid[0]}x{grid[1]} tokens of {codes} codes, but "
            f"{what}, {card.title}, makes {makes}"
        )
