"""What stands before the image tokens: the prefix, and what of it can be asked, embedded and predicted.

A prefix is P positions: a begin vector, if the net has one, then

    text       L tokens of a prompt, padded (zoo.nn.text)                           DALL-E, arXiv:2102.12092
    features   L vectors of a pretrained text encoder, projected (zoo.nn.text)   LlamaGen t2i, arXiv:2406.06525
    classes    one token, the class                                                     LlamaGen c2i
    picture    h' w' tokens of another picture, a map of classes or of depths           taming, arXiv:2012.09841
    nothing    no more than the begin vector

Each kind has a null, trained by leaving the condition out now and then, for guidance: the empty text (pads alone), a
vector instead of the features, a class or token more. Letters: B pictures, P positions, L of them without the begin
vector, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.nn.text import Vocabulary
from zoo_dalle.captions import Captions
from zoo_dalle.reading import Read
from zoo_dalle.unread import Numbers


class Words(nn.Module):
    """A prompt as ids (B, L), pads included."""

    asks: ClassVar[str] = "text"
    predicts: ClassVar[bool] = True

    vocabulary: Vocabulary | Numbers

    def __init__(
        self,
        width: int,
        null: bool,
        length: int,
        vocabulary: Mapping[str, Any] | None = None,
        pieces: int = 0,
        pad: int | None = None,
        around: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.null = null
        if vocabulary is None:
            self.vocabulary = Numbers(pieces, length, pad, around)
        elif pad is not None or around:
            raise ValueError(
                "pad and around go with pieces; a vocabulary has a pad for each position of its own"
            )
        else:
            self.vocabulary = Vocabulary(vocabulary, length)
        self.length, self.ids = length, self.vocabulary.ids
        self.embedding = nn.Embedding(self.ids, width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def embed(self, given: Tensor) -> Tensor:
        """(B, L) to (B, L, C)."""
        out: Tensor = self.embedding(given)
        return out

    def nothing(self, batch: int) -> Tensor:
        """The empty text, (B, L)."""
        return torch.tensor(self.vocabulary.padded("")).expand(batch, -1)


class Classes(nn.Module):
    """A class as one id (B, 1), 0 .. K - 1; K is none of them, if `null`."""

    asks: ClassVar[str] = "label"
    predicts: ClassVar[bool] = False
    length: ClassVar[int] = 1

    def __init__(self, width: int, null: bool, classes: int) -> None:
        super().__init__()
        self.classes, self.null = classes, null
        self.ids = classes + null
        self.embedding = nn.Embedding(self.ids, width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def embed(self, given: Tensor) -> Tensor:
        """(B, 1) to (B, 1, C)."""
        out: Tensor = self.embedding(given)
        return out

    def nothing(self, batch: int) -> Tensor:
        """No class, (B, 1)."""
        return torch.full((batch, 1), self.classes)


class Picture(nn.Module):
    """Tokens of another picture as ids (B, h' w'), 0 .. K' - 1; K' everywhere is no picture, if `null`.

    `part` is the role of the tokenizer that makes them of a picture; without one, tokens must be given. With
    `coordinates`, how many pixels wide a cell is, they say where in a larger picture this one is, from 0 to K' in
    raster order (taming's CoordStage), and no picture is the whole of it.
    """

    asks: ClassVar[str] = "tokens"
    predicts: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        null: bool,
        codes: int,
        grid: tuple[int, int],
        part: str = "",
        coordinates: int = 0,
    ) -> None:
        super().__init__()
        self.codes, self.grid, self.part = codes, (grid[0], grid[1]), part
        self.coordinates, self.null = coordinates, null or coordinates > 0
        self.length, self.ids = grid[0] * grid[1], codes + int(null and not coordinates)
        self.embedding = nn.Embedding(self.ids, width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def embed(self, given: Tensor) -> Tensor:
        """(B, h' w') to (B, h' w', C)."""
        out: Tensor = self.embedding(given)
        return out

    def nothing(self, batch: int) -> Tensor:
        """No picture, (B, h' w')."""
        if self.coordinates:
            return self.whole().expand(batch, -1)
        return torch.full((batch, self.length), self.codes)

    def whole(self) -> Tensor:
        """(h' w',) int64: the places y / H + x / (H W) of an H x W picture, the mean of each cell of them, in codes."""
        side = self.coordinates
        rows, columns = torch.arange(self.grid[0]).double(), torch.arange(self.grid[1]).double()
        middle = 0.5 - 0.5 / side
        down = (rows[:, None] + middle) / self.grid[0]
        place = down + (columns + middle) / (self.length * side)
        return (self.codes * place).round().long().flatten()


class Features(nn.Module):
    """Vectors (B, L, D) of a pretrained encoder, laid in by two linear layers; NaN stands for none.

    The encoder is no part of the weights; it is loaded when a text is first asked for.
    """

    asks: ClassVar[str] = "text"
    predicts: ClassVar[bool] = False
    ids: ClassVar[int] = 0

    def __init__(self, width: int, null: bool, length: int, encoder: Mapping[str, Any]) -> None:
        super().__init__()
        from zoo.nn.text import Encoder

        self.encoder, self.length, self.null = Encoder(length=length, **encoder), length, null
        self.inward = nn.Linear(self.encoder.width, width)
        self.outward = nn.Linear(width, width)
        self.absent = nn.Parameter(torch.randn(length, width) * 0.02)

    def embed(self, given: Tensor) -> Tensor:
        """(B, L, D) to (B, L, C)."""
        absent = given.isnan().any(-1, keepdim=True)
        inner = nn.functional.gelu(self.inward(given.nan_to_num()), approximate="tanh")
        return torch.where(absent, self.absent, self.outward(inner))

    def nothing(self, batch: int) -> Tensor:
        """No text, (B, L, D)."""
        return torch.full((batch, self.length, self.encoder.width), torch.nan)


class Nothing(nn.Module):
    """No condition: ids (B, 0)."""

    asks: ClassVar[str] = ""
    predicts: ClassVar[bool] = False
    length: ClassVar[int] = 0
    ids: ClassVar[int] = 0
    null: ClassVar[bool] = True

    def __init__(self, width: int, null: bool = True) -> None:
        super().__init__()
        self.width = width

    def embed(self, given: Tensor) -> Tensor:
        """(B, 0) to (B, 0, C)."""
        return torch.zeros(len(given), 0, self.width, device=given.device)

    def nothing(self, batch: int) -> Tensor:
        """(B, 0)."""
        return torch.zeros(batch, 0, dtype=torch.int64)


Given = Words | Read | Classes | Picture | Features | Captions | Nothing
KINDS: Mapping[str, Callable[..., Given]] = {
    "text": lambda width, null, options: (
        Features if "encoder" in options else Read if "reader" in options else Words
    )(width, null, **options),
    "classes": lambda width, null, options: Classes(width, null, options),
    "picture": lambda width, null, options: Picture(width, null, **options),
    "captions": lambda width, null, options: Captions(width, null, **options),
}


def prefix(config: Mapping[str, Any], width: int, null: bool) -> Given:
    """The prefix of a configuration, which has at most one of `text`, `classes`, `picture` and `captions`.

    Raises ValueError if it has two, TypeError for an unknown or missing option.
    """
    found = [kind for kind in KINDS if config.get(kind)]
    if len(found) > 1:
        raise ValueError(
            f"a net has one kind of prefix, text, classes, picture or captions; the config has {' and '.join(found)}"
        )
    if not found:
        return Nothing(width)
    return KINDS[found[0]](width, null, config[found[0]])
