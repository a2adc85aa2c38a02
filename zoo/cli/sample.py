"""``zoo sample``: draw pictures, of a text where the model takes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.pictures import condition_option, load, save, tell
from zoo.cli.shards import ray_option
from zoo.cli.terminal import (
    json_option,
    placement_options,
    seed_option,
    settings,
    texts_of,
)
from zoo.errors import RequestError

if TYPE_CHECKING:
    from zoo.drawing import Drawing
    from zoo.model import Model

LIKELIHOOD = "likelihood"
TILES = 4  # texts in a row of a labelled sheet


@click.command(short_help="Draw new pictures, of a text if the model takes one.")
@click.argument("model")
@click.option(
    "-t", "--text", "texts", multiple=True,
    help="What to draw: -t 'noto: red apple'. Repeatable: COUNT pictures of each, a row each.",
)  # fmt: skip
@click.option(
    "--texts-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
    help="Texts to draw, one a line.",
)  # fmt: skip
@click.option("--labelled", is_flag=True, help="On the sheet, each text under its pictures.")
@click.option(
    "--trained-on", default=None, metavar="SET",
    help="Say of each text what the training captions of SET have of it: --trained-on icons.",
)  # fmt: skip
@click.option("-n", "--count", type=click.IntRange(min=1), default=4, show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=None,
    help="A .png for one sheet of all, or a folder for one file each. [samples.png]",
)  # fmt: skip
@click.option(
    "-O", "--option", "options", multiple=True, metavar="KEY=VALUE",
    help="How to sample: -O temperature=0.9 -O top_p=0.95. Repeatable.",
)  # fmt: skip
@click.option(
    "--best-of", type=click.IntRange(min=1), default=None, metavar="N",
    help="Draw N candidates for every picture and keep the best.",
)  # fmt: skip
@click.option(
    "--rerank",
    default=None,
    metavar="likelihood|MODEL",
    help="Whose log_prob says which is best: the model's own, or another's. [likelihood]",
)
@click.option(
    "--preview", type=click.IntRange(min=1), default=None, metavar="N",
    help="After every N rows of tokens, or steps of diffusion, write the pictures so far to --out.",
)  # fmt: skip
@click.option("--columns", type=click.IntRange(min=1), default=None, help="Columns of the sheet.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=None,
    help="Draw into a folder so many at a time, going on where it was stopped.",
)  # fmt: skip
@ray_option
@condition_option
@seed_option
@placement_options
@json_option
def sample(
    model: str,
    texts: tuple[str, ...],
    texts_file: Path | None,
    labelled: bool,
    trained_on: str | None,
    count: int,
    out: Path | None,
    options: tuple[str, ...],
    best_of: int | None,
    rerank: str | None,
    preview: int | None,
    columns: int | None,
    batch: int | None,
    ray: str | None,
    conditions: tuple[str, ...],
    seed: int | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Draw new pictures from MODEL.

    Of texts: `zoo sample MODEL -t "noto: red apple" -t "noto: green apple" -n 4 -o out.png`; the
    pictures of the first text do not depend on those that follow. Thousands: `-n 5000 --seed 0
    --batch 16 -o FOLDER`, with --ray over processes and machines.
    """
    chosen = settings(options, "--option")
    if best_of is not None:
        chosen["best_of"] = best_of
    request = settings(conditions, "--condition")
    texts = texts_of(texts, texts_file)
    if texts and "text" in request:
        raise RequestError("The text is given twice: by -t and by -c text=...; leave one out.")
    if batch is not None or ray is not None:
        if texts:
            request["text"] = _only(texts)
        if preview is not None or labelled or trained_on or rerank not in (None, LIKELIHOOD):
            raise RequestError(
                "--preview, --labelled, --trained-on and --rerank MODEL are for one sheet: leave out --batch and --ray."
            )
        if rerank is not None:
            chosen["rerank"] = rerank
        if seed is None or out is None or out.suffix:
            raise RequestError(
                "--batch and --ray draw into a folder, by a seed: -o FOLDER --seed N."
            )
        from zoo import bulk
        from zoo.drawing import Drawing

        job = Drawing(bulk.absolute(model), seed, request, chosen, device, dtype)
        _bulk(job, count, out, batch or 16, ray, as_json)
        return
    out = out or Path("samples.png")
    if labelled and not (texts and out.suffix):
        raise RequestError("--labelled writes texts on one sheet: -t TEXT -o FILE.png.")
    if trained_on and not labelled:
        raise RequestError("--trained-on writes under texts: --labelled -t TEXT -o FILE.png.")
    if columns is None and len(texts) > 1 and count > 1 and not labelled:
        columns = count
    if preview is not None:
        chosen |= _previews(out, preview, columns)
    drawer = load(model, device, dtype, conditions)
    if rerank is not None:
        chosen["rerank"] = _judge(rerank, texts, count, best_of or 1, drawer)
    if texts:
        drawer = drawer.condition(text=_each(texts, count))
    images = drawer.sample(count * max(1, len(texts)), seed=seed, **chosen)
    told: dict[str, Any] = (
        {"texts": [text for text in texts for _ in range(count)]} if texts else {}
    )
    if labelled:
        from zoo.evaluate.sheets import of_texts

        labels: Sequence[str] = texts
        if trained_on:
            told["trained_on"] = _standing(trained_on, drawer.card.image[-1], texts)
            labels = [
                f"{text}\n{each}" for text, each in zip(texts, told["trained_on"], strict=True)
            ]
        out.parent.mkdir(parents=True, exist_ok=True)
        of_texts(images, labels, columns or TILES).save(out)
        tell([out], len(images), out, as_json, **told)
    else:
        save(images, out, columns, as_json, **told)


def _standing(name: str, size: int, texts: Sequence[str]) -> list[str]:
    """What the training split of a set has of each text."""
    from zoo.data import open_set
    from zoo.data.captions import captions_of
    from zoo.data.pairs import standing

    told = standing(*(captions_of(open_set(name, each, size)) for each in ("train", "test")))
    return [told(text) for text in texts]


def _each(texts: Sequence[str], count: int) -> str | list[str]:
    """One text for all pictures, or `count` times each."""
    return texts[0] if len(texts) == 1 else [text for text in texts for _ in range(count)]


def _only(texts: Sequence[str]) -> str:
    if len(texts) > 1:
        raise RequestError(
            f"--batch and --ray draw one text into a folder, got {len(texts)}: one run a text."
        )
    return texts[0]


def _judge(name: str, texts: Sequence[str], count: int, best_of: int, drawer: Model) -> Any:
    """What chooses among candidates: "likelihood", or a model, given the texts if it takes any."""
    if name == LIKELIHOOD:
        return LIKELIHOOD
    import zoo
    from zoo.evaluate.captions import takes_text

    judge = zoo.load(name, device=drawer.device)
    if texts and takes_text(judge.card):
        judge = judge.condition(text=_each(texts, count * best_of))
    return judge


def _previews(out: Path, every: int, columns: int | None) -> dict[str, Any]:
    """Sampling options that write the pictures so far to the file that will hold them."""
    if not out.suffix:
        raise RequestError(f"--preview writes one picture over and over: -o FILE.png, not {out}.")
    return {"preview": every, "on_preview": lambda images, _: images.save(out, columns)}


def _bulk(job: Drawing, count: int, out: Path, batch: int, ray: str | None, as_json: bool) -> None:
    """Draw into a folder, batch by batch."""
    from zoo.drawing import draw

    files = draw(job, count, out, batch, ray)
    tell(files, len(files), out, as_json)
