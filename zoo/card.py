"""The card: everything there is to know of one pretrained model, as typed, frozen data.

A card is the README.md of a model's folder: YAML front matter with the hub's own keys (license,
tags, ...) and one block `zoo:`, then Markdown for people. Unknown keys are refused, every file has
its sha256, a version is a semantic version that never changes its meaning. Reading a card needs no
network and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import CardError
from zoo.schema import LONGEST, arguments, hints_of, one_of, plain, pruned, safe_path

README, WEIGHTS = "README.md", "model.safetensors"
ADAPTER, ADAPTERS = "adapter.safetensors", ("lora", "dora", "textual-inversion")
KINDS = ("exact", "lower bound", "estimate")  # what log_prob gives
OVER = ("8-bit pixels", "binary pixels", "continuous pixels", "tokens", "latents")  # of what
LATENT_KINDS = ("tokens", "continuous", "none")
PICTURES = (".png", ".webp", ".jpg", ".jpeg")  # endings
HOOKS = ("condition", "encode", "decode", "sample", "log_prob")
HUB = (  # the hub's own keys, at the top of the front matter; all others stand under `zoo:`
    "license", "license_name", "license_link", "library_name", "pipeline_tag", "tags", "language",
    "base_model", "datasets", "thumbnail",
)  # fmt: skip
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
_HEX = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


@dataclass(frozen=True)
class File:
    """A file of a model: what it must be."""

    sha256: str  # 64 hex digits
    size: int  # bytes


@dataclass(frozen=True)
class Metric:
    """A number beside the data and the command that gave it."""

    name: str  # "PSNR"
    value: float
    data: str  # "icons test, 128 px"
    command: str  # "zoo eval vqgan-f16 icons"
    unit: str | None = None  # "dB"
    se: float | None = None  # standard error, in the same unit
    count: int | None = None  # pictures


@dataclass(frozen=True)
class Density:
    """What `log_prob` gives: a kind of KINDS, over one of OVER."""

    kind: str
    over: str


@dataclass(frozen=True)
class Adapter:
    """What a card's ADAPTER file changes: the weights of `base`, and of no other; see `zoo.adapters`."""

    base: str  # name@version
    weights: tuple[str, ...]  # sha256 of the base's files of weights, in the order of their names
    method: str  # one of ADAPTERS
    rank: int
    alpha: float  # the change is scaled by alpha / rank
    words: tuple[str, ...] = ()  # of textual inversion: those that the base learns


@dataclass(frozen=True)
class Training:
    """On what, for how long and with what the weights were made."""

    data: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    images: int | None = None  # pictures seen, counting repeats
    seconds: float | None = None
    machine: str | None = None
    recipe: str | None = None  # a file of the card


@dataclass(frozen=True)
class Card:
    """One version of one model. Raises CardError for what contradicts itself."""

    # the block `zoo:`
    name: str
    family: str
    version: str
    config: Mapping[str, Any]  # for `build`; of it the core reads `classes` alone, how many labels
    image: tuple[int, int, int]  # (C, H, W)
    latent: tuple[int, ...] | None = None  # (h, w) of tokens, (c, h, w) of continuous latents
    latent_kind: str = "none"
    codes: int | None = None  # tokens are 0 .. codes - 1
    labels: tuple[str, ...] = ()  # what the labels 0, 1, ... of a model with `classes` are called
    multiple: int | None = None  # other sizes are taken, if both sides are a multiple of this
    hooks: tuple[str, ...] = ()  # what it can do, of HOOKS; checked against the family when loaded
    log_prob: Density | None = None
    parts: Mapping[str, str] = field(default_factory=dict)  # role -> name@version
    sampling: Mapping[str, Any] = field(
        default_factory=dict
    )  # the options behind the metrics, and the defaults
    files: Mapping[str, File] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    training: Training | None = None
    adapter: Adapter | None = None  # then the card has no weights of its own but what it changes
    paper: str | None = None
    source: Mapping[str, Any] | None = None  # where converted weights came from
    schema: int = 1
    # the hub's own keys
    license: str = ""
    license_name: str | None = None
    license_link: str | None = None
    library_name: str = "genzoo"
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    base_model: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    thumbnail: str | None = None
    # the Markdown below the front matter
    body: str = ""

    def __post_init__(self) -> None:
        for name in (
            "config",
            "sampling",
            "source",
        ):  # plain data of its own: lists for tuples, nothing shared
            object.__setattr__(self, name, plain(getattr(self, name)))
        _check(self, f"card {self.name!r}")

    @property
    def picture(self) -> str | None:
        """The file that shows the model: its thumbnail, its sheet, or its first picture."""
        pictures = [name for name in self.files if name.lower().endswith(PICTURES)]
        wanted = [each for each in pictures if each in (self.thumbnail, "sheet.png")] + pictures
        return wanted[0] if wanted else None

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(each.size for each in self.files.values())

    @property
    def weights(self) -> tuple[str, ...]:
        """The sha256 of each file of weights, in the order of their names."""
        files = sorted(self.files.items())
        return tuple(file.sha256 for name, file in files if name.endswith(".safetensors"))

    @property
    def needs(self) -> dict[str, str]:
        """The models, name@version, without which this one cannot be loaded, by their role."""
        base = {"base": self.adapter.base} if self.adapter else {}
        return {**self.parts, **base}

    @property
    def title(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """Read a README.md, or the one in a folder.

        Raises CardError naming the file, the key and the remedy.
        """
        path = Path(path)
        path = path / README if path.is_dir() else path
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(LONGEST + 1)  # one more than may be, so that `split` can say so
        except (OSError, UnicodeDecodeError) as error:
            raise CardError(f"{path}: cannot read the card: {error}.") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str = "card") -> Card:
        """Read a card's text; `where` begins every message. Raises CardError."""
        from zoo.front_matter import split

        data, body = split(text, where)
        if "zoo" not in data:
            raise CardError(
                f"{where}: no block `zoo:` in the front matter, so this is no model of the zoo. A "
                "checkpoint of another project is loaded by its path, or made into a card by `zoo "
                "convert PATH NAME`."
            )
        given = _arguments(data, where)
        try:
            return cls(**given, body=body)
        except CardError as error:  # a rule between fields, which does not know the file
            raise CardError(f"{where}: {error}") from None

    def text(self) -> str:
        """The card as a README.md; `Card.parse(card.text()) == card`."""
        from zoo.front_matter import join

        data = pruned(asdict(self), whole=("config",))
        data.pop("body", None)
        hub = {key: data.pop(key) for key in HUB if key in data}
        return join({**hub, "zoo": {"schema": data.pop("schema"), **data}}, self.body)


def version_key(version: str) -> tuple[Any, ...]:
    """Sorts semantic versions; a pre-release comes before its release. Raises CardError."""
    match = _VERSION.fullmatch(version)
    if not match:
        raise CardError(f"{version!r} is not a semantic version like '1.0.0' or '1.1.0-rc.1'.")
    pre = [
        (0, int(each), "") if each.isdigit() else (1, 0, each)
        for each in (match[4] or "").split(".")
        if each
    ]
    return (*(int(match[part]) for part in (1, 2, 3)), not pre, tuple(pre))


def reference(text: str) -> tuple[str, str | None]:
    """Split "name@version" into (name, version); without "@", (name, None)."""
    name, at, version = text.partition("@")
    return name, version if at else None


def _arguments(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Keyword arguments for Card from parsed front matter. Raises CardError."""
    block = data["zoo"]
    if not isinstance(block, dict):
        raise CardError(f"{where}: zoo: must hold keys and values, is {block!r}.")
    if block.get("schema") != 1:
        raise CardError(
            f"{where}: zoo.schema: {block.get('schema')!r}; this version of genzoo reads schema 1. "
            "Write `schema: 1`, or install a newer genzoo for a newer card."
        )
    hub = {key: value for key, value in data.items() if key != "zoo"}
    for key in ("language", "base_model", "datasets"):  # the hub takes a text for a list of one
        if isinstance(hub.get(key), str):
            hub[key] = [hub[key]]
    own = [name for name in hints_of(Card) if name not in (*HUB, "body")]
    return arguments(Card, block, own, where, "zoo") | arguments(Card, hub, HUB, where, "")


def _check(card: Card, where: str) -> None:
    """What a card must be beyond its types. Raises CardError."""

    def need(true: Any, message: str) -> None:
        if not true:
            raise CardError(f"{where}: {message}")

    need(
        _NAME.fullmatch(card.name),
        f"zoo.name: {card.name!r} must be lower-case letters, digits, `.`, `_`, `-`.",
    )
    version_key(card.version)
    need(
        card.license, "license: missing. Name it as the hub does: `license: mit`, `license: other`."
    )
    need(
        all(side > 0 for side in card.image),
        f"zoo.image: {list(card.image)} must be [channels, height, width].",
    )
    need(
        card.multiple is None or card.multiple > 0,
        f"zoo.multiple: {card.multiple} must be 1 or more.",
    )
    need(
        all(side > 0 for side in card.latent or ()), f"zoo.latent: {card.latent} must be positive."
    )
    one_of(card.latent_kind, LATENT_KINDS, f"{where}: zoo.latent_kind")
    for hook in card.hooks:
        one_of(hook, HOOKS, f"{where}: zoo.hooks")
    if card.log_prob:
        one_of(card.log_prob.kind, KINDS, f"{where}: zoo.log_prob.kind")
        one_of(card.log_prob.over, OVER, f"{where}: zoo.log_prob.over")
    kind, has = card.latent_kind, (card.latent is not None, card.codes is not None)
    wanted = {"tokens": (True, True), "continuous": (True, False), "none": (False, False)}[kind]
    need(
        has == wanted,
        f"zoo.latent_kind is {kind}, so zoo.latent must {'' if wanted[0] else 'not '}be given and "
        f"zoo.codes must {'' if wanted[1] else 'not '}be given; latent is {card.latent}, codes "
        f"{card.codes}.",
    )
    need(
        not card.labels or len(set(card.labels)) == len(card.labels) == card.config.get("classes"),
        f"zoo.labels: {list(card.labels)} must be one name for each label, and config has classes: "
        f"{card.config.get('classes')}.",
    )
    need(card.codes is None or card.codes > 0, f"zoo.codes: {card.codes} must be 1 or more.")
    for role, part in card.parts.items():
        name, version = reference(part)
        need(name and version, f"zoo.parts.{role}: {part!r} must be name@version.")
        version_key(version or "")
    if card.adapter:
        one_of(card.adapter.method, ADAPTERS, f"{where}: zoo.adapter.method")
        name, version = reference(card.adapter.base)
        need(name and version, f"zoo.adapter.base: {card.adapter.base!r} must be name@version.")
        need(card.adapter.rank > 0, f"zoo.adapter.rank: {card.adapter.rank} must be 1 or more.")
        need(ADAPTER in card.files, f"zoo.adapter: {ADAPTER} is not among zoo.files.")
    for name, file in card.files.items():
        need(
            safe_path(name), f"zoo.files: {name!r} must be a plain path inside the model's folder."
        )
        need(
            _HEX.fullmatch(file.sha256),
            f"zoo.files.{name}.sha256: {file.sha256!r} must be 64 lower-case hex digits.",
        )
        need(file.size >= 0, f"zoo.files.{name}.size: {file.size} must be bytes.")
