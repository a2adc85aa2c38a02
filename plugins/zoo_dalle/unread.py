"""A prompt for weights that came without their vocabulary: the numbers of its pieces.

Published checkpoints hold the embedding of each piece, and leave the file that says which letters it is to the program
around. Until that file is put into the card (`text: {length: L, vocabulary: {file: tokenizer.json}}`), a prompt is the
numbers themselves, text="318 2068 7586". Pads are as in `zoo_dalle.text`.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import RequestError


class Numbers:
    """Stands for a `zoo_dalle.text.Vocabulary` of `size` pieces, for prompts of at most `length` of them."""

    def __init__(self, size: int, length: int) -> None:
        if size < 1 or length < 1:
            raise ValueError(
                f"text needs a vocabulary, or its length and pieces; got length {length} and {size} pieces"
            )
        self.size, self.length = size, length

    @property
    def ids(self) -> int:
        """How many ids there are, pads included: V + L."""
        return self.size + self.length

    def encode(self, text: str) -> list[int]:
        """The numbers of a prompt. Raises RequestError for words, too many numbers and such as do not exist."""
        try:
            found = [int(each) for each in text.split()]
        except ValueError:
            raise RequestError(
                f"text = {text[:60]!r}: these weights came without the vocabulary they were trained with. Ask by the "
                f"numbers of its {self.size} pieces (text='318 2068'), or put its tokenizer.json into the card."
            ) from None
        odd = [each for each in found if not 0 <= each < self.size]
        if odd or len(found) > self.length:
            wrong = f"{odd[0]} is none of them" if odd else f"{len(found)} are given"
            raise RequestError(
                f"text takes at most {self.length} numbers of 0 .. {self.size - 1}; {wrong}."
            )
        return found

    def padded(self, text: str) -> list[int]:
        """`encode`, with the pads of the positions that are left: L ids."""
        ids = self.encode(text)
        return [*ids, *range(self.size + len(ids), self.ids)]

    def text(self, ids: Sequence[int]) -> str:
        """The prompt of some ids, pads left out."""
        return " ".join(str(each) for each in ids if each < self.size)
