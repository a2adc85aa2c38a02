"""What a net offers so that pictures can be coded without loss by its probabilities.

A net that factorises a picture into symbols s_1 ... s_T of an alphabet of K,

    p(x | c) = prod_t p(s_t | s_<t, c),                                          Autoregressive

drives an entropy coder directly: -log2 p(x) bits (Shannon, 1948). A net with a latent variable,

    p(x | c) = integral p(x | z, c) N(z; 0, I) dz,   p(x | z, c) = prod_t p(s_t | z, c),   LatentVariable

does by bits-back coding (Townsend et al., 2019, arXiv:1901.04866): -ELBO / ln 2 bits on average. A
family's net implements one of them by having these methods; nothing is registered or inherited, and
`isinstance(net, Autoregressive)` asks. `zoo.codec` and `zoo compress` work with every net that does.

Letters: B pictures, T symbols a picture in coding order, K the alphabet, D latent dimensions.
Probabilities have the dtype of the net's parameters: the codec runs a float64 copy of the net, and
quantises them with a margin for rounding that differs between machines.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


class Walk(Protocol):
    """One pass over the symbols in coding order; what was pushed is remembered (a cache)."""

    def probabilities(self) -> Tensor:
        """(B, K) of the next symbol given all pushed ones; each row sums to 1."""
        ...

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,) int64 in [0, K)."""
        ...


class Symbols(Protocol):
    """Pictures as symbols in coding order, and back, exactly."""

    alphabet: int  # K
    length: int  # T

    def symbols(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] to (B, T) int64 in [0, K), inverse of `pictures`.

        Raises zoo.ImageError for a picture that has no exact symbols (grey where only black and
        white exist).
        """
        ...

    def pictures(self, symbols: Tensor) -> Tensor:
        """(B, T) int64 to (B, C, H, W) in [-1, 1]."""
        ...


@runtime_checkable
class Autoregressive(Symbols, Protocol):
    """p(x | c) = prod_t p(s_t | s_<t, c)."""

    def tables(self, symbols: Tensor, cond: Any) -> Tensor:
        """All conditionals at once, by teacher forcing: (B, T) int64 to (B, T, K).

        Row t depends on symbols before t alone.
        """
        ...

    def walk(self, count: int, cond: Any) -> Walk:
        """The same conditionals one at a time, for `count` pictures side by side."""
        ...


@runtime_checkable
class Scored(Symbols, Protocol):
    """p(x | c) of symbols that are known already, where finding them is the dear part (tokens)."""

    def log_likelihood(self, symbols: Tensor, cond: Any) -> Tensor:
        """Log p (B,) in nats of symbols (B, T) int64, what `log_prob` gives of their pictures."""
        ...


@runtime_checkable
class LatentVariable(Symbols, Protocol):
    """p(x | c) = integral p(x | z, c) N(z; 0, I) dz with a Gaussian posterior q(z | x, c)."""

    latents: int  # D

    def posterior(self, images: Tensor, cond: Any) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) to mean and standard deviation of q, each (B, D)."""
        ...

    def tables_given(self, latents: Tensor, cond: Any) -> Tensor:
        """(B, D) to the distributions of all symbols (B, T, K)."""
        ...
