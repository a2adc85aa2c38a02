"""``zoo compress`` and ``zoo decompress``: pictures to one archive, without loss unless asked, and back."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from zoo.cli.pictures import condition_option, load, picture_files
from zoo.cli.terminal import json_option, print_json, size_text
from zoo.errors import RequestError


@click.command(short_help="Compress pictures by a model's probabilities, without loss by default.")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-m", "--model", required=True, help="A model with exact probabilities or a bound.")
@click.option(
    "-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="Archive to write.",
)  # fmt: skip
@click.option(
    "--lanes", type=click.IntRange(min=1), default=64, show_default=True,
    help="Tiles decoded side by side.",
)  # fmt: skip
@click.option(
    "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Pictures at a time."
)
@click.option("--check", is_flag=True, help="Decompress again and compare before leaving.")
@click.option(
    "--lossy", is_flag=True,
    help="For a model of tokens: keep these exactly, and of pictures what they decode to.",
)  # fmt: skip
@condition_option
@click.option("--device", default=None, help="cpu, cuda, cuda:1, mps ... [cpu]")
@json_option
def compress(
    pictures: tuple[Path, ...],
    model: str,
    out: Path,
    lanes: int,
    batch: int,
    check: bool,
    lossy: bool,
    conditions: tuple[str, ...],
    device: str | None,
    as_json: bool,
) -> None:
    """Compress PICTURES (files or folders) into one archive, without loss.

    Any size; 8-bit RGB and grey, black and white. Pixels, sizes, modes and names are kept, metadata
    are not. A model of tokens (text to image) keeps the tokens of pictures, not their pixels, so it
    must be told --lossy; a caption makes them cheaper: -c text='noto: red apple'.
    """
    files = picture_files(pictures)
    twice = [
        name for name, count in Counter(restored(file.name) for file in files).items() if count > 1
    ]
    if twice:
        raise RequestError(
            f"Two pictures would be written back as {twice[0]}. Rename one, or compress them into "
            "archives of their own."
        )
    from zoo.codec import Picture, pack, unpack
    from zoo.codec.tokens import tokenizer_of
    from zoo.hub.address import is_address, is_repository

    given = [Picture.open(file) for file in files]
    loaded = load(model, device, None, conditions)
    begun = time.perf_counter()
    named = model if is_address(model) or is_repository(model) else None
    packed = pack(loaded, given, lanes, batch, named, lossy)
    seconds = time.perf_counter() - begun
    if check:
        unpack(packed.data, loaded)  # raises unless every checksum fits
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(packed.data)
    if as_json:
        print_json(
            {
                "file": str(out),
                **packed.as_dict(),
                "lossy": lossy,
                "seconds": seconds,
                "model": loaded.card.title,
            }
        )
        return
    ratio = packed.source_bytes / len(packed.data)
    click.echo(
        f"{packed.pictures} pictures -> {out}: {size_text(len(packed.data))} ({packed.bits:,} bits, "
        f"{packed.bits_per_dim:.3f} bits/dim), {ratio:.2f} times smaller than the files "
        f"({size_text(packed.source_bytes)})"
    )
    if lossy:
        click.echo(
            f"lossy: {packed.tokens:,} tokens, {packed.payload / packed.tokens:.2f} bits each, come back "
            f"exactly; the pictures come back as {tokenizer_of(loaded.card)} decodes them"
        )


@click.command(short_help="Bring compressed pictures back.")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=None,
    help="Folder of PNG files to write. [ARCHIVE's name without its suffix]",
)  # fmt: skip
@click.option("-m", "--model", default=None, help="Where the model is, if not found by its name.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Tiles at a time."
)
@click.option("--device", default=None, help="cpu, cuda, cuda:1, mps ... [cpu]")
@json_option
def decompress(
    archive: Path,
    out: Path | None,
    model: str | None,
    batch: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Bring the pictures of an ARCHIVE back as PNG files, exactly if it was made without --lossy.

    The very model that compressed them is loaded; other weights are refused.
    """
    from zoo.codec import read, unpack

    data = archive.read_bytes()
    facts, _ = read(data)
    loaded = load(model or facts.model, device, None, ()) if model or device else None
    pictures = unpack(data, loaded, batch)
    folder = out or archive.with_suffix("" if archive.suffix else ".pictures")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, picture in enumerate(pictures):
        written.append(folder / restored(picture.name or f"{number:0{len(str(len(pictures)))}d}"))
        picture.pil().save(written[-1], "PNG", optimize=True)
    if as_json:
        rows: list[dict[str, Any]] = [
            {"file": str(path), "size": list(each.size), "mode": each.mode}
            for path, each in zip(written, pictures, strict=True)
        ]
        print_json({"model": facts.model, "lossy": facts.lossy, "pictures": rows})
        return
    how = (
        "as their tokens decode: these are exact, the pictures are not" if facts.lossy else "exact"
    )
    click.echo(f"{len(pictures)} pictures -> {folder}, {how}")


def restored(name: str) -> str:
    """The file that a picture is written back to: its name, with .png for its suffix."""
    return f"{Path(Path(name).name).stem}.png"
