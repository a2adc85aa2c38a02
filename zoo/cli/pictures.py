"""``zoo logprob``, and what every command that takes or gives pictures shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.terminal import json_option, placement_options, print_json, seed_option, settings
from zoo.columns import columns
from zoo.errors import ImageError, RequestError

if TYPE_CHECKING:
    from zoo.images import Images
    from zoo.model import Model

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".jxl", ".gif", ".bmp", ".tif", ".tiff")

condition_option = click.option(
    "-c", "--condition", "conditions", multiple=True, metavar="KEY=VALUE",
    help="What to ask for: -c text='a red apple', -c label=3, -c image=apple.png. Repeatable.",
)  # fmt: skip
batch_option = click.option(
    "--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time."
)
size_option = click.option(
    "--size", type=click.IntRange(min=1), default=None,
    help="Scale and crop every picture to SIZE x SIZE. [as they are]",
)  # fmt: skip


@click.command(short_help="Say how probable pictures are, or texts.")
@click.argument("model")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-t", "--text", "texts", multiple=True,
    help="In place of pictures: a text, whose own probability is told. Repeatable.",
)  # fmt: skip
@size_option
@click.option(
    "--binarise", is_flag=True,
    help="Draw greys black and white first, each pixel by its brightness and --seed [0].",
)  # fmt: skip
@condition_option
@seed_option
@placement_options
@json_option
def logprob(
    model: str,
    pictures: tuple[Path, ...],
    texts: tuple[str, ...],
    size: int | None,
    binarise: bool,
    conditions: tuple[str, ...],
    seed: int | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Say how probable PICTURES are under MODEL, in nats and bits per dimension.

    Given a text: -c text='a red apple'. Of a model of texts and pictures in one stream, -t TEXT says
    how probable a text is itself.
    """
    if bool(pictures) == bool(texts):
        raise RequestError(
            "Give pictures, or texts by -t whose own probability is asked; -c text=... is what pictures are given."
        )
    if texts:
        _of_texts(load(model, device, dtype, conditions), texts, as_json)
        return
    files = picture_files(pictures)
    from zoo.images import Images
    from zoo.progress import progress

    loaded = load(model, device, dtype, conditions)
    binary = loaded.card.log_prob is not None and loaded.card.log_prob.over == "binary pixels"
    if binarise and not binary:
        raise RequestError(
            f"--binarise is for models of black and white pictures, and {loaded.card.title} is of "
            f"{loaded.card.log_prob.over if loaded.card.log_prob else 'no log_prob'}. Leave it out."
        )
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(progress(files, label="logprob")):
        images = Images.read(file, loaded.card.image[0], size)
        if binary:
            images = black_and_white(images, (seed or 0, number) if binarise else None, file)
        answer = loaded.log_prob(images, seed=seed)
        rows.append(
            {
                "picture": str(file),
                "nats": float(answer.nats[0]),
                "bits_per_dim": float(answer.bits_per_dim[0]),
                "kind": answer.kind,
                "over": answer.over,
            }
        )
    if as_json:
        print_json(rows)
        return
    cells = [[row["picture"], f"{row['nats']:.2f}", f"{row['bits_per_dim']:.4f}"] for row in rows]
    click.echo(columns(["picture", "nats", "bits/dim"], cells, right=("nats", "bits/dim")))
    click.echo(f"{rows[0]['kind']}, over {rows[0]['over']}")


def _of_texts(model: Model, texts: tuple[str, ...], as_json: bool) -> None:
    """Say how probable texts are under a model that predicts them."""
    nats = model.condition(text=list(texts)).log_prob_of_request().tolist()
    rows = [
        {"text": text, "nats": each, "kind": "exact", "over": "text"}
        for text, each in zip(texts, nats, strict=True)
    ]
    if as_json:
        print_json(rows)
        return
    cells = [[row["text"], f"{row['nats']:.2f}"] for row in rows]
    click.echo(columns(["text", "nats"], cells, right=("nats",)))
    click.echo("exact, over text")


def black_and_white(images: Images, drawn_by: tuple[int, int] | None, file: Path) -> Images:
    """Pictures of -1 and 1 alone: drawn from (seed, number), or as they are.

    Raises ImageError for greys that are not to be drawn.
    """
    from zoo import rng
    from zoo.data import binarise
    from zoo.images import Images

    if drawn_by is not None:
        return Images(binarise(images.tensor, rng.generator(rng.derive(*drawn_by))))
    if bool((images.tensor.abs() != 1).any()):
        raise ImageError(
            f"{file} has greys, and the model is of black and white pictures. Draw it black and "
            "white with --binarise, each pixel by its brightness; or give a picture of 0 and 255."
        )
    return images


def picture_files(paths: tuple[Path, ...]) -> list[Path]:
    """The picture files meant: files as given, folders by their pictures in name order."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)  # a missing one is named when it is read
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise ImageError(f"{path}: no pictures in this folder ({' '.join(SUFFIXES)}).")
        files += inside
    return files


def load(name: str, device: str | None, dtype: str | None, conditions: tuple[str, ...]) -> Model:
    """The model of a command's arguments, conditioned on what -c asks for."""
    request = settings(conditions, "--condition")
    import torch

    import zoo

    if device is not None:
        try:
            torch.zeros(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise RequestError(f"There is no device {device!r} here: {reason}") from error
    model = zoo.load(name, device=device, dtype=getattr(torch, dtype) if dtype else None)
    return model.condition(**request) if request else model


def save(images: Images, out: Path, columns: int | None, as_json: bool, **told: Any) -> None:
    """Write pictures as one sheet or into a folder, and say where; `told` goes into the JSON."""
    tell(images.save(out, columns), len(images), out, as_json, **told)


def tell(written: list[Path], count: int, out: Path, as_json: bool, **told: Any) -> None:
    """Say which files hold pictures; `told` goes into the JSON."""
    if as_json:
        print_json({"files": [str(file) for file in written], "count": count, **told})
    else:
        click.echo(f"{count} pictures -> {out}")
