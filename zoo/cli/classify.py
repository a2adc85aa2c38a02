"""``zoo classify``: which label or caption pictures have, by a generative model and Bayes' rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.pictures import batch_option, condition_option, load, picture_files, size_option
from zoo.cli.terminal import json_option, placement_options, print_json, texts_of
from zoo.columns import columns

if TYPE_CHECKING:
    from torch import Tensor


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas: 0.5,0.25,0.25. A single whole number N of labels: 0 .. N - 1."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(each) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers separated by commas", param, ctx)


class Labels(Numbers):
    """Labels separated by commas, or how many there are."""

    name = "labels"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the labels as whole numbers."""
        given = super().convert(value, param, ctx)
        if any(each != int(each) or each < 0 for each in given):
            self.fail(f"{value!r} is not whole numbers from 0 on", param, ctx)
        whole = tuple(int(each) for each in given)
        return tuple(range(whole[0])) if len(whole) == 1 else whole


@click.command(short_help="Say which label or caption pictures have, by Bayes' rule.")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-m", "--model", required=True, help="A model with log_prob that takes labels or text."
)
@click.option(
    "--labels", type=Labels(), default=None,
    help="Labels to compare: 3,5,8, or how many there are: 10. [all that the card speaks of]",
)  # fmt: skip
@click.option(
    "--captions", multiple=True, metavar="TEXT",
    help="A caption to compare, in place of labels: --captions 'noto: red apple'. Repeatable.",
)  # fmt: skip
@click.option(
    "--captions-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
    help="Captions to compare, one a line.",
)  # fmt: skip
@click.option(
    "--prior", type=Numbers(), default=None, metavar="W,W,...",
    help="A weight for each label or caption. [all equal]",
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True)
@size_option
@batch_option
@condition_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of bounds, of drawn pixels.")
@placement_options
@json_option
def classify(
    pictures: tuple[Path, ...],
    model: str,
    labels: tuple[int, ...] | None,
    captions: tuple[str, ...],
    captions_file: Path | None,
    prior: tuple[float, ...] | None,
    top: int,
    size: int | None,
    batch: int,
    conditions: tuple[str, ...],
    seed: int,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Say which label PICTURES (files or folders) have: p(label | picture) by Bayes' rule.

    The model's log_prob of the picture is taken given each label, or each of the captions, among
    which a model that takes text need not have been trained to choose. Grey pictures are drawn black and
    white, pixel by pixel, for a model of binary pixels.
    """
    files = picture_files(pictures)
    texts = texts_of(captions, captions_file) if captions or captions_file else None
    called = "label" if texts is None else "caption"
    import zoo
    from zoo.images import Images
    from zoo.progress import progress

    loaded = load(model, device, dtype, conditions)
    channels, *sides = loaded.card.image
    scaled = size or (None if loaded.card.multiple else (sides[0], sides[1]))
    rows: list[dict[str, Any]] = []
    for start in progress(range(0, len(files), batch), label="classify"):
        some = files[start : start + batch]
        images = Images.read(some, channels, scaled).tensor
        if loaded.card.log_prob and loaded.card.log_prob.over == "binary pixels":
            images = _drawn(images, seed, start)
        answer = zoo.classify(loaded, images, labels, prior, seed + start, texts)
        for file, each in zip(some, answer.probabilities.tolist(), strict=True):
            order = sorted(range(len(each)), key=lambda k: -each[k])
            rows.append(
                {
                    "picture": str(file),
                    "label": answer.labels[order[0]],
                    "name": answer.names[order[0]],
                    "probability": each[order[0]],
                    "probabilities": {answer.names[k]: each[k] for k in order},
                    "kind": answer.kind,
                    "over": answer.over,
                }
            )
    if as_json:
        print_json(rows)
        return
    cells = [
        [
            row["picture"],
            row["name"],
            f"{row['probability']:.4f}",
            ", ".join(
                f"{name} {value:.2g}"
                for name, value in [*row["probabilities"].items()][1:top]
            ),
        ]
        for row in rows
    ]  # fmt: skip
    click.echo(columns(["picture", called, "probability", "then"], cells, right=("probability",)))
    kind, over = rows[0]["kind"], rows[0]["over"]
    no = "" if kind == "exact" else "; no posterior, as log_prob is no exact one"
    click.echo(f"by log_prob: {kind}, over {over}{no}")


def _drawn(images: Tensor, seed: int, start: int) -> Tensor:
    """Pictures as black and white ones, number `start` + i drawn from (seed, start + i)."""
    from zoo import rng
    from zoo.data.binarising import drawn

    count = range(start, start + len(images))
    return drawn(images, [rng.generator(rng.derive(seed, each)) for each in count])
