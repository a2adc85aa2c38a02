"""``zoo encode`` and ``zoo decode``: pictures to latents and back.

Latents are kept in safetensors: one tensor ``latents`` (N, *Z), int64 for tokens, whose metadata
say which model made them (name@version and the sha256 of its weights) and of which pictures, so
that ``zoo decode`` needs no other argument and refuses to decode with other weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.pictures import (
    batch_option,
    condition_option,
    load,
    picture_files,
    save,
    size_option,
)
from zoo.cli.shards import asked, encode_shards, shard_options
from zoo.cli.terminal import json_option, placement_options, print_json, seed_option
from zoo.errors import ImageError, RequestError, WeightsError

if TYPE_CHECKING:
    from zoo.card import Card

FORMAT = "genzoo-latents-1"


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
    from zoo.hub import is_path
    from zoo.hub.address import is_address, is_repository
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
    named = is_path(model) or is_address(model) or is_repository(model)
    metadata = {
        "format": FORMAT,
        "model": model if named else card.title,
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
