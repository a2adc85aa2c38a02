"""Pretrained text encoders as a condition: a prompt becomes L vectors of D numbers, which the net projects.

    features = encoder(tokens of the prompt)          (B, L, D), the last layer's; NaN past the prompt's end

MiniLM (Wang et al., 2020, arXiv:2002.10957), CLIP's text half (Radford et al., 2021, arXiv:2103.00020) and T5's encoder
(Raffel et al., 2019, arXiv:1910.10683), through `transformers`. The encoder is frozen, and no part of a card's
weights: a card names it. "minilm" is what `zoo data build minilm` laid out; any other name is a folder, or a name that
`transformers` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import RequestError

MINILM = "minilm"
HALVES = {"clip": "CLIPTextModel", "t5": "T5EncoderModel", "mt5": "MT5EncoderModel"}


class Encoder:
    """The encoder `model` with features of `width` numbers, for prompts of at most `length` of its tokens.

    Nothing is loaded before a prompt is encoded.
    """

    def __init__(self, length: int, model: str, width: int) -> None:
        self.length, self.model, self.width = length, model, width
        self.kept: dict[str, Tensor] = {}  # a prompt's features, (n, D)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Prompts to (B, L, D) float32; each is encoded once and remembered.

        Raises RequestError for a prompt that is too long, naming both lengths, and for an encoder that is not there or
        has another width.
        """
        for text in dict.fromkeys(texts):
            if text not in self.kept:
                self.kept[text] = self._features(text)
        out = torch.full((len(texts), self.length, self.width), torch.nan)
        for row, text in zip(out, texts, strict=True):
            found = self.kept[text]
            row[: len(found)] = found
        return out

    @torch.no_grad()
    def _features(self, text: str) -> Tensor:
        reader, net = self._loaded
        ids = reader(text)["input_ids"]
        if not text.strip():
            return torch.zeros(0, self.width)
        if len(ids) > self.length:
            raise RequestError(
                f"text = {text[:60]!r} is {len(ids)} tokens of {self.model} long; {self.length} fit. Shorten it."
            )
        device = torch.get_default_device()
        found: Tensor = net(torch.tensor([ids], device=device)).last_hidden_state[0]
        if found.shape[1] != self.width:
            raise RequestError(
                f"{self.model} gives {found.shape[1]} numbers a token, the config says width = {self.width}."
            )
        return found.float().cpu()

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            import transformers
        except ImportError as error:
            raise RequestError(
                "A pretrained text encoder is loaded by `transformers`: pip install 'genzoo[encoders]'."
            ) from error
        place = self.place()
        try:
            kind = transformers.AutoConfig.from_pretrained(place).model_type
            half = next(
                (half for name, half in HALVES.items() if kind.startswith(name)), "AutoModel"
            )
            reader = transformers.AutoTokenizer.from_pretrained(place)
            net = getattr(transformers, half).from_pretrained(place)
        except (OSError, ValueError) as error:
            again = " Build it with `zoo data build minilm`." if self.model == MINILM else ""
            raise RequestError(
                f"The text encoder {self.model!r} cannot be loaded from {place}: {error}.{again}"
            ) from error
        return reader, net.eval().requires_grad_(False)

    def place(self) -> str:
        """The folder of the encoder, or the name that `transformers` looks for."""
        if self.model != MINILM:
            return self.model
        from zoo.hub.home import home

        return str(Path(home()) / "data" / MINILM)
