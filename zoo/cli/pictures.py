"""``zoo encode | decode | sample | logprob``: one model at work on pictures.

Latents are kept in safetensors: one tensor ``latents`` (N, *Z), int64 for tokens, whose metadata
say which model made them (name@version and the sha256 of its weights) and of which pictures, so
that ``zoo decode`` needs no other argument and refuses to decode with other weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.shards import asked, encode_shards, ray_option, shard_options
from zoo.cli.terminal import json_option, placement_options, print_json, seed_option, settings
from zoo.columns import columns
from zoo.errors import ImageError, RequestError, WeightsError

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.images import Images
    from zoo.model import Model

FORMAT = "genzoo-latents-1"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".jxl", ".gif", ".bmp", ".tif", ".tiff")

condition_option = click.option(
    "-c", "--condition", "conditions", multiple=True, metavar="KEY=VALUE",
    help="What to ask for: -c text='a red apple', -c label=3. Repeatable.",
)  # fmt: skip
batch_option = click.option(
    "--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time."
)
size_option = click.option(
    "--size", type=click.IntRange(min=1), default=None,
    help="Scale and crop every picture to SIZE x SIZE. [as they are]",
)  # fmt: skip


@click.command(short_help="Turn pictures into latents (tokens).")
@click.argument("model")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="File of latents to write. [latents.safetensors]",
)  # fmt: skip
@size_option
@batch_option
@condition_option
@seed_option
@placement_options
@shard_options
@json_option
def encode(
    model: str,
    pictures: tuple[Path, ...],
    out: Path | None,
    size: int | None,
    batch: int,
    conditions: tuple[str, ...],
    seed: int | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    **sharding: Any,
) -> None:
    """Turn PICTURES (files or folders) into the latents of MODEL.

    Or a whole set into files of tokens to train on, going on where a run was stopped:
    `zoo encode MODEL --data SET --shards OUT/`.
    """
    if asked(sharding, out or pictures or conditions or seed is not None):
        encode_shards(model, size, batch, device, dtype, as_json, **sharding)
        return
    if not pictures:
        raise RequestError("Give PICTURES to encode, or a set: --data SET --shards OUT.")
    files = picture_files(pictures)
    out = out or Path("latents.safetensors")
    import torch
    from safetensors.torch import save_file

    from zoo import rng
    from zoo.hub import HF, is_path
    from zoo.images import Images
    from zoo.progress import progress

    loaded = load(model, device, dtype, conditions)
    generator = None if seed is None else rng.generator(seed)  # one for all batches
    parts = []
    for start in progress(range(0, len(files), batch), label="encode"):
        images = Images.read(files[start : start + batch], loaded.card.image[0], size)
        parts.append(loaded.encode(images, generator=generator).cpu())
    if len({part.shape[1:] for part in parts}) > 1:
        raise ImageError(
            "The pictures are not all of one size, so their latents do not fit one tensor. "
            "Give --size."
        )
    latents = torch.cat(parts)
    card = loaded.card
    metadata = {
        "format": FORMAT,
        "model": model if is_path(model) or model.startswith(HF) else card.title,
        "weights": weights_sha256(card),
        "pictures": json.dumps([file.name for file in files]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"latents": latents.contiguous()}, out, metadata)
    if as_json:
        print_json({"file": str(out), "shape": list(latents.shape), **metadata})
        return
    each = "x".join(str(n) for n in latents.shape[1:])
    bits = ""
    if card.codes and not latents.dtype.is_floating_point:
        per = latents[0].numel() * (card.codes - 1).bit_length()
        bits = f", {per} bits ({(per + 7) // 8} bytes) a picture"
    click.echo(f"{len(files)} pictures -> {out}: {each} {loaded.card.latent_kind} each{bits}")


@click.command(short_help="Turn latents back into pictures.")
@click.argument("latents", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=None,
    help="A .png for one sheet of all, or a folder for one file each. [beside LATENTS]",
)  # fmt: skip
@click.option("-m", "--model", default=None, help="Another model than the one that encoded.")
@batch_option
@condition_option
@placement_options
@json_option
def decode(
    latents: Path,
    out: Path | None,
    model: str | None,
    batch: int,
    conditions: tuple[str, ...],
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Turn a file of LATENTS, written by `zoo encode`, back into pictures."""
    values, metadata = read_latents(latents)
    import torch

    from zoo.images import Images
    from zoo.progress import progress

    loaded = load(model or metadata["model"], device, dtype, conditions)
    if model is None and weights_sha256(loaded.card) != metadata["weights"]:
        raise WeightsError(
            f"{latents} was encoded with weights {metadata['weights'][:12]}, but those of "
            f"{metadata['model']} here are {weights_sha256(loaded.card)[:12]}. Encode again, or "
            "name the model with --model to decode all the same."
        )
    parts = [
        loaded.decode(values[start : start + batch]).tensor.cpu()
        for start in progress(range(0, len(values), batch), label="decode")
    ]
    save(Images(torch.cat(parts)), out or latents.with_suffix(".png"), None, as_json)


@click.command(short_help="Draw new pictures.")
@click.argument("model")
@click.option("-n", "--count", type=click.IntRange(min=1), default=4, show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=None,
    help="A .png for one sheet of all, or a folder for one file each. [samples.png]",
)  # fmt: skip
@click.option(
    "-O", "--option", "options", multiple=True, metavar="KEY=VALUE",
    help="How to sample: -O temperature=0.9 -O top_p=0.95. Repeatable.",
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
    count: int,
    out: Path | None,
    options: tuple[str, ...],
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

    Thousands: `-n 5000 --seed 0 --batch 16 -o FOLDER`, with --ray over processes and machines.
    """
    chosen = settings(options, "--option")
    if batch is not None or ray is not None:
        if seed is None or out is None or out.suffix:
            raise RequestError(
                "--batch and --ray draw into a folder, by a seed: -o FOLDER --seed N."
            )
        from zoo import bulk
        from zoo.drawing import Drawing, draw

        name, asked_for = bulk.absolute(model), settings(conditions, "--condition")
        job = Drawing(name, seed, asked_for, chosen, device, dtype)
        files = draw(job, count, out, batch or 16, ray)
        if as_json:
            print_json({"files": [str(file) for file in files], "count": len(files)})
        else:
            click.echo(f"{len(files)} pictures -> {out}")
        return
    loaded = load(model, device, dtype, conditions)
    images = loaded.sample(count, seed=seed, **chosen)
    save(images, out or Path("samples.png"), columns, as_json)


@click.command(short_help="Say how probable pictures are.")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@size_option
@condition_option
@seed_option
@placement_options
@json_option
def logprob(
    model: str,
    pictures: tuple[Path, ...],
    size: int | None,
    conditions: tuple[str, ...],
    seed: int | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Say how probable PICTURES are under MODEL, in nats and bits per dimension."""
    files = picture_files(pictures)
    from zoo.images import Images
    from zoo.progress import progress

    loaded = load(model, device, dtype, conditions)
    rows: list[dict[str, Any]] = []
    for file in progress(files, label="logprob"):
        answer = loaded.log_prob(Images.read(file, loaded.card.image[0], size), seed=seed)
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


def read_latents(path: Path) -> tuple[Any, dict[str, str]]:
    """Read a file that `zoo encode` wrote: its latents (N, *Z) and its metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") == FORMAT:
                return file.get_tensor("latents"), metadata
    except SafetensorError as error:
        raise RequestError(f"{path} is not a file of latents: {error}.") from error
    raise RequestError(
        f"{path} is safetensors, but not of latents (its metadata lack format: {FORMAT}). "
        "`zoo encode MODEL PICTURES -o FILE` writes them."
    )


def weights_sha256(card: Card) -> str:
    """The sha256 of a card's weights; several files' joined by "+"; "" for a card without."""
    return "+".join(card.weights)


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


def save(images: Images, out: Path, columns: int | None, as_json: bool) -> None:
    """Write pictures as one sheet or into a folder, and say where."""
    written = images.save(out, columns)
    if as_json:
        print_json({"files": [str(file) for file in written], "count": len(images)})
    else:
        click.echo(f"{len(images)} pictures -> {out}")
