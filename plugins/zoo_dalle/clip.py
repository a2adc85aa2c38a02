"""DALLE-pytorch's CLIP: how well a picture fits a text, to choose among candidates by.

    s(text, picture) = exp(tau) <f, g>,   f = |W_f mean_i h_i|,   g = |W_g mean_j v_j|          |.| of length 1

h is a transformer over the text's pieces, v one over the picture's patches, both looking everywhere (Radford et al.,
2021, arXiv:2103.00020, after lucidrains/DALLE-pytorch, MIT). It is no density, so there is no log_prob: `scorer` makes
what `rerank=` takes.

    clip = zoo.load("clip.pt")
    dalle.condition(text=...).sample(4, best_of=16, rerank=clip_scorer(clip, "318 2068"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo.images import Images
from zoo.model import Model
from zoo_dalle.transformer import Shape, Transformer
from zoo_dalle.unread import Numbers


class Clip(nn.Module):
    """Texts (B, L) of `pieces` ids and pictures (B, C, H, H) to numbers."""

    def __init__(
        self,
        *,
        text: Mapping[str, Any],
        picture: Mapping[str, Any],
        pieces: int,
        length: int,
        side: int,
        patch: int,
        channels: int,
        latent: int,
    ) -> None:
        super().__init__()
        if side % patch:
            raise ValueError(f"patches of {patch} pixels do not divide a side of {side}")
        patches = (side // patch) ** 2
        words, seen = Shape(**text, unmasked=length), Shape(**picture, unmasked=patches)
        self.side, self.patch, self.channels, self.length = side, patch, channels, length
        self.vocabulary = Numbers(pieces, length)
        self.text_embedding = nn.Embedding(pieces, words.width)
        self.text_places = nn.Parameter(torch.randn(length, words.width) * 0.02)
        self.text_net = Transformer(words, length, (0, 0))
        self.text_out = nn.Linear(words.width, latent, bias=False)
        self.patches = nn.Linear(channels * patch * patch, seen.width)
        self.picture_places = nn.Parameter(torch.randn(patches, seen.width) * 0.02)
        self.picture_net = Transformer(seen, patches, (0, 0))
        self.picture_out = nn.Linear(seen.width, latent, bias=False)
        self.temperature = nn.Parameter(torch.ones(()))

    def texts(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, n) ids, those of `mask` (B, n) bool only, to (B, D) of length 1."""
        length = ids.shape[1]
        x = self.text_embedding(ids) + self.text_places[:length]
        hidden = self.text_net(x, mask)
        if mask is None:
            mean = hidden.mean(1)
        else:
            mean = hidden.where(mask[..., None], 0.0).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.text_out(mean), dim=-1)

    def pictures(self, images: Tensor) -> Tensor:
        """(B, C, H, H), in [0, 1] as the reference trains, to (B, D) of length 1."""
        rows = F.pixel_unshuffle(images, self.patch).flatten(2).mT  # (B, n, C p p)
        cells = rows.reshape(*rows.shape[:2], images.shape[1], -1).mT.flatten(2)  # (B, n, p p C)
        hidden = self.picture_net(self.patches(cells) + self.picture_places)
        return F.normalize(self.picture_out(hidden.mean(1)), dim=-1)

    def forward(self, ids: Tensor, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """The score (B,) of each text with its picture."""
        return (self.texts(ids, mask) * self.pictures(images)).sum(-1) * self.temperature.exp()


def scorer(model: Model, text: str) -> Callable[[Images], Tensor]:
    """For `rerank=`: how well pictures in [-1, 1] fit `text`, the numbers of its pieces.

    Raises RequestError for a model that is no CLIP, and for a text that it cannot read.
    """
    net = model.net
    if not isinstance(net, Clip):
        raise RequestError(f"{model.card.title} is no CLIP of DALLE-pytorch, so it scores no text.")
    found = net.vocabulary.encode(text)
    if not found:
        raise RequestError("an empty text fits all pictures alike: give its pieces.")
    ids = torch.tensor([found + [0] * (net.length - len(found))], device=model.device)
    mask = torch.arange(net.length, device=model.device)[None] < len(found)

    @torch.no_grad()
    def score(images: Images) -> Tensor:
        pictures = images.tensor.to(model.device, model.dtype)
        if pictures.shape[-2:] != (net.side, net.side):
            pictures = F.interpolate(
                pictures, (net.side, net.side), mode="bilinear", antialias=True
            )
        seen = net.pictures((pictures + 1) / 2)
        return (net.texts(ids, mask) * seen).sum(-1) * net.temperature.exp()

    return score
