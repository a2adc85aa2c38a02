"""Self-attention over the positions of a feature map, as in VQGAN and latent diffusion.

With positions i, j of an H x W map, x -> x + W_o sum_j softmax_j(q_i . k_j / sqrt(C)) v_j, one
head, q, k and v linear in the group-normalised map (Wang et al., "Non-local Neural Networks",
arXiv:1711.07971; Esser et al., "Taming Transformers", arXiv:2012.09841, appendix A).
`LinearAttention` is the kernelised form of Shen et al. ("Efficient Attention", arXiv:1812.01243)
that latent diffusion offers as attn_type "linear".
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import norm, normalise


class Attention(nn.Module):
    """Softmax attention with a residual: (B, C, H, W) -> (B, C, H, W).

    Parameters `norm`, `q`, `k`, `v`, `proj_out` as in taming's AttnBlock. The projections are
    stored as 1x1 convolutions (their published shape) and computed as matrix products on
    channels-last memory. `spatial` is the channel count of the map a MoVQ norm is conditioned on;
    `forward` then needs it.
    """

    def __init__(self, channels: int, groups: int = 32, spatial: int | None = None) -> None:
        super().__init__()
        self.norm = norm(channels, groups, spatial)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Attend; z (B, spatial, h, w) conditions the norm of a MoVQ block."""
        h = normalise(self.norm, x, z)
        batch, channels, height, width = h.shape
        h = h.permute(0, 2, 3, 1).reshape(batch, 1, height * width, channels)  # (B, 1, N, C)
        h = F.scaled_dot_product_attention(
            _pointwise(self.q, h), _pointwise(self.k, h), _pointwise(self.v, h)
        )
        h = _pointwise(self.proj_out, h)  # (B, 1, N, C)
        return h.view(batch, height, width, channels).permute(0, 3, 1, 2).add_(x)


class LinearAttention(nn.Module):
    """Attention without the N x N matrix, no norm and no residual: (B, C, H, W) -> (B, C, H, W).

    k is normalised over positions, then out_i = W_o (sum_j v_j k_j^T) q_i. Source: latent
    diffusion's LinAttnBlock.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Attend; z is not used."""
        q, k, v = self.to_qkv(x).flatten(2).chunk(3, dim=1)  # (B, C, N) each
        context = k.softmax(dim=-1) @ v.transpose(1, 2)  # (B, C, C)
        out: Tensor = self.to_out((context.transpose(1, 2) @ q).view_as(x))
        return out


def _pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product over the last axis: (..., I) -> (..., O)."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


def attention(kind: str, channels: int, groups: int, spatial: int | None = None) -> nn.Module:
    """The attention block called `kind`, "softmax" or "linear"; ValueError for another."""
    if kind == "softmax":
        return Attention(channels, groups, spatial)
    if kind == "linear":
        return LinearAttention(channels)
    raise ValueError(
        f"unknown attention {kind!r}; there are 'softmax' and 'linear' (and none: leave it out)"
    )
