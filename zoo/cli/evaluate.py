"""``zoo eval`` and ``zoo bench``: how good, and how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from zoo.cli.terminal import json_option, print_json
from zoo.errors import RequestError


@click.command("eval", short_help="Measure a model on held-out pictures.")
@click.argument("model")
@click.option("--data", default="icons", show_default=True, help="A built set, or a folder.")
@click.option("--split", default="test", show_default=True)
@click.option(
    "--size", type=click.IntRange(min=1), default=None, help="Pixels a side. [the model's]"
)
@click.option("--metric", "metrics", multiple=True, help="Repeatable. [those of such a model]")
@click.option("-n", "--count", type=click.IntRange(min=1), default=None, help="Pictures. [all]")
@click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples and bounds.")
@click.option("--device", default=None, help="cpu, cuda, cuda:1, mps ...")
@click.option("--codecs", is_flag=True, help="Beside JPEG, WebP, AVIF, JPEG XL at equal bytes.")
@click.option("--write", is_flag=True, help="Put the numbers into the model's card.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="Where the sheet of --codecs goes. [beside the card]",
)  # fmt: skip
@json_option
def evaluate(
    model: str,
    data: str,
    split: str,
    size: int | None,
    metrics: tuple[str, ...],
    count: int | None,
    batch: int,
    seed: int,
    device: str | None,
    codecs: bool,
    write: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL on held-out pictures: PSNR, SSIM, LPIPS, Frechet distance, codebook, rate."""
    from zoo.evaluate import run

    report = run(
        model, data, split, size, metrics or None, count, batch, seed,
        device=device, write=write, codecs=codecs, out=out,
    )  # fmt: skip
    if as_json:
        print_json(report.as_dict())
    else:
        click.echo(report.text())


@click.command(
    short_help="Time the zoo against its peers.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Time the zoo against its peers, side by side (from a source tree; `zoo bench --help`)."""
    import zoo

    root = Path(zoo.__file__).resolve().parent.parent
    if not (root / "tests" / "benchmarks" / "__main__.py").is_file():
        raise RequestError(
            "The benchmarks live in the source tree (tests/benchmarks), which is not here. Clone "
            "the repository, `pip install -e '.[test]'`, and run it from there."
        )
    command = [sys.executable, "-m", "tests.benchmarks", *arguments]
    raise SystemExit(subprocess.run(command, cwd=root, check=False).returncode)
