"""The Frechet distance of two sets of features, taken for Gaussians (Dowson and Landau, 1982).

    d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

m and S are mean and covariance of each set. With A = S1^(1/2), S1 S2 has the eigenvalues of the
symmetric A S2 A, so the last trace is the sum of their square roots: two symmetric eigenproblems
in float64, no iteration, and no imaginary part to drop.

The number is named after its features: FD-EfficientNetLite2 here. It is not FID, whose features
are another network's (Heusel et al., 2017, arXiv:1706.08500). From few samples it comes out too
high (the covariance of n samples has rank n - 1; the bias falls about as 1/n, Chong and Forsyth,
2020, arXiv:1911.07023), so compare only numbers with the same count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import RequestError


class Moments:
    """Mean and covariance of features that arrive in batches, kept in float64.

    Args:
        width: number of features D.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self._shift = torch.zeros(width, dtype=torch.float64)
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._square = torch.zeros(width, width, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Take a batch of features (B, D)."""
        if features.ndim != 2 or features.shape[1] != len(self._sum):
            raise RequestError(
                f"Features are (B, {len(self._sum)}) here; got {tuple(features.shape)}."
            )
        values = features.detach().to("cpu", torch.float64)
        if not self.count and len(values):
            self._shift = values.mean(
                0
            )  # sums of squares stay small, so little is lost to rounding
        values = values - self._shift
        self.count += len(values)
        self._sum += values.sum(0)
        self._square += values.T @ values

    @property
    def mean(self) -> Tensor:
        """Mean (D,), float64."""
        self._enough(1)
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (D, D), float64; needs two samples."""
        self._enough(2)
        mean = self._sum / self.count
        return (self._square - self.count * torch.outer(mean, mean)) / (self.count - 1)

    def _enough(self, least: int) -> None:
        if self.count < least:
            raise RequestError(
                f"A Frechet distance needs at least 2 pictures on each side; got {self.count}."
            )


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def frechet_distance(
    mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor
) -> float:
    """Squared Frechet distance of N(mean1, covariance1) and N(mean2, covariance2), never below 0.

    Args:
        mean1: (D,)
        covariance1: (D, D), symmetric, positive semi-definite
        mean2: (D,)
        covariance2: (D, D)

    Raises:
        RequestError: the shapes do not belong together.
    """
    width = mean1.numel()
    if (mean1.shape, mean2.shape) != ((width,), (width,)) or any(
        each.shape != (width, width) for each in (covariance1, covariance2)
    ):
        raise RequestError(
            "The two Gaussians must have means (D,) and covariances (D, D) of one D; got "
            f"{tuple(mean1.shape)}, {tuple(covariance1.shape)}, "
            f"{tuple(mean2.shape)}, {tuple(covariance2.shape)}."
        )
    s1, s2 = covariance1.double(), covariance2.double()
    root = _root(s1)
    cross = torch.linalg.eigvalsh(root @ s2 @ root).clamp_min(0).sqrt().sum()
    between = (mean1.double() - mean2.double()).square().sum()
    return max(0.0, float(between + s1.trace() + s2.trace() - 2 * cross))


def distance_of(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two sets of features."""
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
