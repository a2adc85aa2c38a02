"""Prompts as tokens: byte-pair encoding, and what happens to a prompt that cannot be encoded.

Byte-pair encoding (Sennrich et al., 2016, arXiv:1508.07909) begins with single characters and merges the commonest
neighbours until V pieces exist; the merges are a file of the card (`tokenizer.json`, of the `tokenizers` library),
whose content the core hands to `build`. A prompt of n tokens fills the first n of L text positions. The others are
padded with pieces of their own, one for each position, so that "nothing here" can be learned place by place
(Ramesh et al., 2021, arXiv:2102.12092, section 2.1):

    ids = w_1 ... w_n, V + n, V + n + 1, ..., V + L - 1          (position i's pad is V + i, counted from 0)

A text is over at its first pad, and all pads follow for sure. So P(text) is the product over w_1 ... w_n and that pad.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zoo.errors import RequestError, listed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[unknown]"  # stands for a character that no training caption had


class Vocabulary:
    """What a tokenizer.json holds, for prompts of at most `length` tokens.

    Raises ValueError for content that is no tokenizer of the `tokenizers` library.
    """

    def __init__(self, content: Mapping[str, Any], length: int) -> None:
        model = content.get("model") if isinstance(content, Mapping) else None
        if not isinstance(model, Mapping) or not model.get("vocab"):
            raise ValueError(
                "text.vocabulary must be the content of a tokenizer.json (`vocabulary: {file: tokenizer.json}`), "
                f"which has model.vocab; it is {_short(content)}"
            )
        if length < 1:
            raise ValueError(f"text.length = {length}: at least one token of text is needed")
        added = [each["id"] for each in content.get("added_tokens", ())]
        known = model["vocab"]
        ids = known.values() if isinstance(known, Mapping) else range(len(known))
        self.content, self.length = content, length
        self.learned: dict[
            str, int
        ] = {}  # words beyond these, and their ids: `zoo.nn.text.learned`
        self.size: int = max([*ids, *added]) + 1  # V
        self.unknown = UNKNOWN if UNKNOWN in known else model.get("unk_token")

    @property
    def ids(self) -> int:
        """How many ids there are, pads included: V + L."""
        return self.size + self.length

    @cached_property
    def encoder(self) -> Tokenizer:
        """The tokenizer itself. Raises RequestError where the library is not installed."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise RequestError(
                "Prompts are read by the `tokenizers` library: pip install 'genzoo[text]'."
            ) from error
        made: Tokenizer = Tokenizer.from_str(json.dumps(self.content))
        made.no_padding()
        made.no_truncation()
        return made

    def encode(self, text: str) -> list[int]:
        """The tokens of a prompt, none for an empty one.

        Raises RequestError for a text with characters that the model never saw, and for one with more
        than `length` tokens, saying which, and how much fits.
        """
        if not isinstance(text, str):
            raise RequestError(f"text is a sentence, or a list of one a picture; got {text!r}.")
        if not text.strip():
            return []
        if self.learned:
            return self._with_learned(text)
        return self._encoded(text)

    def _with_learned(self, text: str) -> list[int]:
        pieces = re.split(f"({'|'.join(map(re.escape, self.learned))})", text)
        ids: list[int] = []
        for piece in pieces:
            if piece in self.learned:
                ids.append(self.learned[piece])
            elif piece.strip():
                ids += self._encoded(piece)
        if len(ids) > self.length:
            raise RequestError(
                f"text = {_short(text)} is {len(ids)} tokens long; {self.length} fit. Shorten it."
            )
        return ids

    def _encoded(self, text: str) -> list[int]:
        found = self.encoder.encode(text, add_special_tokens=False)
        strange = sorted(
            {
                text[start:end]
                for piece, (start, end) in zip(found.tokens, found.offsets, strict=True)
                if piece == self.unknown
            }
        )
        if strange:
            raise RequestError(
                f"text = {text!r}: the model never saw {listed(repr(each) for each in strange)} in "
                f"training. It knows {_short(self.characters)}."
            )
        if len(found.ids) > self.length:
            fits = text[: found.offsets[self.length - 1][1]]
            raise RequestError(
                f"text = {_short(text)} is {len(found.ids)} tokens long; {self.length} fit, as far as "
                f"{fits!r}. Shorten it."
            )
        return list(found.ids)

    def padded(self, text: str) -> list[int]:
        """`encode`, with the pads of the positions that are left: L ids."""
        ids = self.encode(text)
        return [*ids, *range(self.size + len(ids), self.ids)]

    def text(self, ids: Sequence[int]) -> str:
        """The prompt of some ids, pads left out."""
        return str(self.encoder.decode([each for each in ids if each < self.size])).strip()

    @cached_property
    def characters(self) -> str:
        """The single characters among the pieces, in order."""
        pieces = self.encoder.get_vocab()
        return "".join(sorted(piece for piece in pieces if len(piece) == 1))


def trained(captions: Sequence[str], size: int) -> dict[str, Any]:
    """The content of a tokenizer.json of at most `size` pieces, from captions; deterministic.

    Text is taken in lower case with single spaces; a piece never crosses a space. Characters that no
    caption has are unknown.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from tokenizers import decoders as decoding

    made = Tokenizer(models.BPE(unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Strip(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Prepend(" "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    made.decoder = decoding.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=[UNKNOWN], show_progress=False
    )
    made.train_from_iterator(captions, trainer)
    content: dict[str, Any] = json.loads(made.to_str())
    return content


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) < 80 else shown[:77] + "..."
