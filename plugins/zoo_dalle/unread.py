"""A prompt for weights that came without their vocabulary: the numbers of its pieces.

Published checkpoints hold the embedding of each piece, and leave the file that says which letters it is to the program
around. Until that file is put into the card (`text: {length: L, vocabulary: {file: tokenizer.json}}`), a prompt is the
numbers themselves, text="318 2068 7586". Pads are as in `zoo.nn.text`, or one piece, `pad`, at every position
that is left (minDALL-E). `around` are two pieces that every prompt stands between (ruDALL-E, dalle-mini).
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import RequestError


class Numbers:
    """Stands for a `zoo.nn.text.Vocabulary` of `size` pieces, for prompts of at most `length` of them."""

    def __init__(
        self, size: int, length: int, pad: int | None = None, around: Sequence[int] = ()
    ) -> None:
        if size < 1 or length < 1:
            raise ValueError(
                f"text needs a vocabulary, or its length and pieces; got length {length} and {size} pieces"
            )
        if pad is not None and not 0 <= pad < size:
            raise ValueError(f"pad = {pad} must be one of the {size} pieces, 0 .. {size - 1}")
        if len(around) not in (0, 2) or any(not 0 <= each < size for each in around):
            raise ValueError(
                f"around = {list(around)} must be two of the {size} pieces, before and behind a prompt, or none"
            )
        self.size, self.length, self.pad, self.around = size, length, pad, tuple(around)

    @property
    def ids(self) -> int:
        """How many ids there are, pads included: V + L, or V where a piece is the pad."""
        return self.size + (self.length if self.pad is None else 0)

    def encode(self, text: str) -> list[int]:
        """The numbers of a prompt, with `around`.

        Raises RequestError for words, too many numbers and such as do not exist.
        """
        try:
            found = [int(each) for each in text.split()]
        except ValueError:
            raise RequestError(
                f"text = {text[:60]!r}: these weights came without the vocabulary they were trained with. Ask by the "
                f"numbers of its {self.size} pieces (text='318 2068'), or put its tokenizer.json into the card."
            ) from None
        odd = [each for each in found if not 0 <= each < self.size]
        most = self.length - len(self.around)
        if odd or len(found) > most:
            wrong = f"{odd[0]} is none of them" if odd else f"{len(found)} are given"
            raise RequestError(
                f"text takes at most {most} numbers of 0 .. {self.size - 1}; {wrong}."
            )
        return [*self.around[:1], *found, *self.around[1:]]

    def padded(self, text: str) -> list[int]:
        """`encode`, with the pads of the positions that are left: L ids."""
        ids = self.encode(text)
        left = range(self.size + len(ids), self.size + self.length)
        return [*ids, *(left if self.pad is None else [self.pad] * len(left))]

    def text(self, ids: Sequence[int]) -> str:
        """The prompt of some ids, pads and what stands around it left out."""
        left = {self.pad, *self.around}
        return " ".join(str(each) for each in ids if each < self.size and each not in left)
