"""What a transformer is: every published decoder of one token stream is a `Shape`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from zoo_dalle import feedforward, patterns, positions

ACROSS = ("across", "width", "depth", "heads", "head", "hidden", "eps", "dropout", "checkpoint")


@dataclass(frozen=True)
class Shape:
    """Sizes and kinds; a card's config has these names.

    minGPT (taming): the defaults. LlamaGen: norm "rms", feed "swiglu", bias False, positions "none", rotary "llamagen".
    DALLE-pytorch: feed "geglu", bias_qkv False, layer_scale, shift, and rotary "dalle" with positions "none", or
    rotary "none" with positions "axial". ruDALL-E: feed "gelu-tanh", positions "axial", sandwich, norm_again. Raises
    ValueError for what cannot be.
    """

    width: int  # channels of the stream
    depth: int  # blocks
    heads: int
    kv_heads: int = 0  # heads of keys and values; 0: as many as heads
    head: int = 0  # channels a head; 0: width // heads
    hidden: int = 0  # inner width of the feed-forward; 0: 4 * width
    norm: str = "layer"  # "layer" or "rms"
    eps: float = 1e-5
    feed: str = "gelu"  # feedforward.KINDS
    bias: bool = True  # of the linear layers
    bias_qkv: bool | None = None  # of queries, keys and values, if not the same
    patterns: tuple[str, ...] = (
        "full",
    )  # patterns.KINDS, layer by layer, and again from the first
    unmasked: int = 0  # the first so many positions all see each other
    kernel: int = 5  # side of the window of "conv" and "around"
    block: int = 16  # positions a block of "block"
    positions: str = "learned"  # positions.TABLES: added to the embeddings by the net around
    rotary: str = "none"  # positions.ROTATIONS
    theta: float = 10000.0  # of the rotations' frequencies
    shift: bool = False  # token shift
    layer_scale: bool = False
    sandwich: bool = False
    reversible: bool = False
    stable: bool = False  # each position divided by its largest channel before the last norm
    last_norm: bool = True
    norm_again: bool = False  # a second norm behind the last
    across: bool = False  # of two halves, the text read by its own: zoo_dalle.across
    dropout: float = 0.0
    checkpoint: bool = False  # compute activations again for the gradient, do not keep them
    flex: bool = False  # FlexAttention for sparse patterns, on a GPU: zoo_dalle.flex
    shared_attention: tuple[int, ...] = ()  # blocks with one number share their attention; cycled
    shared_feed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("patterns", "shared_attention", "shared_feed"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a card has lists
        known = {
            "norm": ("layer", "rms"),
            "feed": feedforward.KINDS,
            "positions": positions.TABLES,
            "rotary": positions.ROTATIONS,
        }
        for name, kinds in known.items():
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} = {getattr(self, name)!r}: there are {', '.join(kinds)}")
        unknown = [each for each in self.patterns if each not in patterns.KINDS]
        if unknown or not self.patterns:
            raise ValueError(
                f"patterns = {list(self.patterns)}: name one or more of {', '.join(patterns.KINDS)}"
            )
        if not self.head and self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide among {self.heads} heads")
        if self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(
                f"{self.heads} heads of queries do not divide among {self.kv_heads} of keys and values"
            )
        if self.shift and self.width % 4:
            raise ValueError(f"token shift takes quarters of the channels; width is {self.width}")
        if self.rotary != "none" and self.channels % (4 if self.rotary == "llamagen" else 2):
            raise ValueError(f"{self.channels} channels a head cannot be turned in pairs")
        if self.across and (given := self._beside(ACROSS)):
            raise ValueError(
                f"across = true goes with {', '.join(ACROSS)} alone, not with {given[0]}"
            )
        mixed = {
            number: {
                self.patterns[layer % len(self.patterns)]
                for layer, each in enumerate(self.attention_of)
                if each == number
            }
            for number in self.attention_of
        }
        if any(len(kinds) > 1 for kinds in mixed.values()):
            raise ValueError(
                f"shared_attention = {list(self.shared_attention)} shares attention between layers of different "
                f"patterns, {list(self.patterns)} in turn"
            )

    def _beside(self, names: tuple[str, ...]) -> list[str]:
        """What has another value than its default, but for these."""
        every = (each for each in fields(self) if each.name not in names)
        return [each.name for each in every if getattr(self, each.name) != each.default]

    @property
    def channels(self) -> int:
        """Channels a head."""
        return self.head or self.width // self.heads

    @property
    def attention_of(self) -> tuple[int, ...]:
        """The number of each block's attention; blocks with the same number share it."""
        ids = self.shared_attention or tuple(range(self.depth))
        return tuple(ids[layer % len(ids)] for layer in range(self.depth))

    @property
    def feed_of(self) -> tuple[int, ...]:
        """The number of each block's feed-forward; blocks with the same number share it."""
        ids = self.shared_feed or tuple(range(self.depth))
        return tuple(ids[layer % len(ids)] for layer in range(self.depth))
