"""recipe.toml: everything that fixes a training run, typed and frozen.

    [model]      family and config, or `from` a card to go on with; `init` to start partly from one
    [data]       which pictures, at which size, how many a step
    [objective]  the family's own table, handed to it unread
    [optimizer]  AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); [optimizer.NAME] for one alone
    [schedule]   the learning rate over the steps
    [train]      steps, seed, precision, averaging, and how often what is written
    [tune]       which part of the net moves, where not all of it does
    [output]     how the weights of the card are stored

Unknown tables and keys are refused by name: a misspelt setting must not train for a day unnoticed.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from zoo.train.table import RecipeError, Table, read, write


@dataclass(frozen=True)
class Model:
    """[model]: give `family` and `config`, or `from = "name@version"`, which brings both."""

    family: str = ""
    config: Table = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)  # role -> "name@version"
    from_: str = ""  # all weights of a card; family and config are the card's
    init: str = ""  # those weights of a card whose names and shapes match; the rest is listed
    # Beginnings of that card's names, and of the net's for the same; the longest counts. Without: all, as they are.
    init_as: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """[data]: a built set, a folder of pictures, or one of tokens (`zoo encode --shards`)."""

    name: str = ""
    size: int | None = None  # pixels a side; None: as the set was built
    batch: int = 16  # pictures an optimizer step, over all processes
    flip: bool = False  # mirror each picture left to right with probability 1/2
    binarise: bool = False  # draw each pixel black or white by its brightness, anew every step
    split: str = "train"
    held_out: str = "test"
    beside: str = ""  # of a folder: the other picture of each, "depth" for NAME.depth.png


@dataclass(frozen=True)
class Optimizer:
    """[optimizer]: AdamW. Vectors (biases, norms) are never decayed, matrices and kernels are."""

    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.01
    fused: bool = True
    bits: Literal[32, 8] = 32  # of the moments: see zoo.train.eight_bits
    objectives: Mapping[str, Optimizer] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """[schedule]: lr(step) = lr * warm-up * shape; see zoo.train.schedule."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: int = 0  # steps
    final: float = 0.0  # fraction of lr left at the last step
    decay: int = 0  # "constant" only: the last steps, falling linearly to `final`


@dataclass(frozen=True)
class Train:
    """[train]: 0 turns off whatever it counts."""

    steps: int = 1000
    seed: int = 0
    precision: Literal["no", "bf16", "fp16"] = "no"  # fp16 with loss scaling
    shard: Literal["none", "full", "grads"] = "none"  # FSDP over processes: see zoo.train.parallel
    tensor: int = 1  # tensor parallel: processes that compute one layer together
    gradient_checkpointing: bool = False  # compute the net's blocks again instead of keeping them
    accumulate: int = 1  # parts in which each process takes its share of a batch
    clip: float = 1.0  # largest gradient norm of an objective
    ema: float = 0.0  # decay of the averaged weights
    ema_warmup: bool = True  # decay_n = min(ema, (1 + n) / (10 + n))
    checkpoint_every: int = 1000
    keep: int = 2  # checkpoints kept
    log_every: int = 50
    grid_every: int = 0
    grid_count: int = 8
    eval_every: int = 0
    eval_batches: int = 8
    threads: int = 0  # torch's; 0 leaves them
    channels_last: bool = False
    compile: str = ""  # a torch.compile backend ("inductor") for the net's children


@dataclass(frozen=True)
class Tune:
    """[tune]: which part of the net moves; see zoo.train.tuning."""

    method: Literal["full", "lora", "dora", "head", "decoder", "textual-inversion"] = "full"
    rank: int = 8
    alpha: float = 8.0
    modules: tuple[str, ...] = ()  # patterns of modules' names; none: those that the net names
    word: str = ""  # of textual inversion: the word that is learned, "<cat>"
    like: str = ""  # the known text that it begins as
    caption: str = ""  # of all pictures; {} stands for their own
    without: tuple[str, ...] = ()  # names of pictures that are left out
    prior: int = 0  # pictures that the base draws first, to remember what it knew
    prior_text: str = ""  # what it is told for these
    labels: tuple[str, ...] = ()  # names of 0, 1, ...; of "head": those that the net is to have


@dataclass(frozen=True)
class Output:
    """[output]: how the card's weights are stored."""

    dtype: Literal["fp32", "bf16", "fp16"] = "fp16"


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; equal recipes give equal runs on the same machine and libraries."""

    model: Model = Model()
    data: Data = Data()
    objective: Table = field(default_factory=dict)
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    train: Train = Train()
    tune: Tune = Tune()
    output: Output = Output()

    def __post_init__(self) -> None:
        """Raise RecipeError for values that can never work together."""
        model, train = self.model, self.train
        for fails, message in (
            (not (model.family or model.from_), "[model] needs `family`, or `from` a card"),
            (bool(model.from_ and model.init), "[model] has both `from` and `init`; keep one"),
            (bool(model.init_as and not model.init), "[model] has `init_as`, but no `init`"),
            (
                bool(model.from_ and model.config),
                "[model] has both `from` and `config`; the card brings its own config",
            ),
            (self.data.batch < 1, f"[data] batch = {self.data.batch} must be at least 1"),
            (train.steps < 1, f"[train] steps = {train.steps} must be at least 1"),
            (train.accumulate < 1, f"[train] accumulate = {train.accumulate} must be at least 1"),
            (train.tensor < 1, f"[train] tensor = {train.tensor} must be at least 1"),
            (
                train.tensor > 1 and train.shard == "none",
                f"[train] tensor = {train.tensor} goes with shard = 'full' (or 'grads')",
            ),
            (
                train.channels_last and train.shard != "none",
                "[train] channels_last and shard exclude each other: only contiguous parameters are cut",
            ),
            (
                self.tune.method != "full" and not model.from_,
                f"[tune] method = {self.tune.method!r} needs [model] `from`, the card to begin with",
            ),
            (
                (self.tune.method == "textual-inversion") != bool(self.tune.word),
                "[tune] word goes with method = 'textual-inversion', and that with a word",
            ),
            (self.tune.rank < 1, f"[tune] rank = {self.tune.rank} must be at least 1"),
            (train.keep < 1, f"[train] keep = {train.keep} must be at least 1"),
            (not 0 <= train.ema < 1, f"[train] ema = {train.ema} must be in [0, 1)"),
            (
                self.schedule.decay > 0 and self.schedule.kind != "constant",
                f"[schedule] decay goes with kind = 'constant', not {self.schedule.kind!r}",
            ),
        ):
            if fails:
                raise RecipeError(message)

    def text(self) -> str:
        """The recipe as TOML; `parse(recipe.text())` gives an equal recipe."""
        return write(self)

    def with_steps(self, steps: int | None) -> Recipe:
        """The same recipe for another number of steps (None: unchanged)."""
        if steps is None:
            return self
        return dataclasses.replace(self, train=dataclasses.replace(self.train, steps=steps))


def load_recipe(path: str | Path) -> Recipe:
    """Read recipe.toml. Raises RecipeError naming the file, the key and the nearest known key."""
    path = Path(path)
    path = path / "recipe.toml" if path.is_dir() else path
    if not path.is_file():
        raise RecipeError(f"There is no recipe at {path}. Give a recipe.toml or its folder.")
    return parse(path.read_text(encoding="utf-8"), str(path))


def folder_of(path: str | Path) -> Path:
    """The folder of a recipe, where the files lie that its config names (`zoo.config_files`)."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def parse(text: str, where: str = "recipe") -> Recipe:
    """Read the text of a recipe; `where` is what errors call it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where} is not TOML: {error}.") from error
    try:
        return cast(Recipe, read(Recipe, tables))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}.") from None
