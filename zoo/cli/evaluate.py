"""``zoo eval`` and ``zoo bench``: how good, and how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from zoo.cli.pictures import condition_option
from zoo.cli.shards import ray_option
from zoo.cli.terminal import json_option, print_json, settings
from zoo.errors import RequestError


@click.command("eval", short_help="Measure models on held-out pictures.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--data", default=None, help="A built set, or a folder. [what it was trained on]")
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
@click.option("--lossless", is_flag=True, help="Beside lossless PNG, WebP and JPEG XL.")
@click.option(
    "--against", default=None, metavar="SET",
    help="Out-of-distribution scores: tell the pictures of SET from those of --data by log_prob.",
)  # fmt: skip
@click.option(
    "--copying", is_flag=True,
    help="How near samples are to training pictures, beside held-out ones; a sheet of the nearest.",
)  # fmt: skip
@click.option(
    "--samplers", is_flag=True,
    help="Of diffusion: samples by sampler, number of network evaluations, guidance; a table and a plot.",
)  # fmt: skip
@click.option("--sampler", "chosen", multiple=True, help="Of --samplers, which. Repeatable.")
@click.option(
    "--steps", "steps", multiple=True, type=click.IntRange(min=1),
    help="Of --samplers, how many. Repeatable. [5 10 25 50]",
)  # fmt: skip
@condition_option
@click.option("--write", is_flag=True, help="Put the numbers into the models' cards.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="Where the sheet of --codecs goes; that of --copying, the plot of --samplers beside it. [the card's folder]",
)  # fmt: skip
@ray_option
@json_option
def evaluate(
    models: tuple[str, ...],
    data: str,
    split: str,
    size: int | None,
    metrics: tuple[str, ...],
    count: int | None,
    batch: int,
    seed: int,
    device: str | None,
    codecs: bool,
    lossless: bool,
    against: str | None,
    copying: bool,
    samplers: bool,
    chosen: tuple[str, ...],
    steps: tuple[int, ...],
    conditions: tuple[str, ...],
    write: bool,
    out: Path | None,
    ray: str | None,
    as_json: bool,
) -> None:
    """Measure each MODEL on held-out pictures; several are put into one table.

    Metrics: psnr ssim lpips lpips-vgg fd codebook rate speed fd-samples, and of log_prob
    bits-per-dim nats bits-by-term (of a diffusion model's bound) accuracy (of the classifier that
    Bayes' rule makes of it); of text-to-image models caption-accuracy (the right caption among
    100, by log_prob), fd-captions (of samples given the held-out captions), and of those of tokens
    log-p-per-token.
    """
    if steps and not (samplers or chosen):
        raise RequestError("--steps are those of --samplers: give it, or --sampler NAME.")
    from zoo.evaluate import run_all

    report = run_all(
        models, data=data, split=split, size=size, metrics=metrics or None, count=count,
        batch_size=batch, seed=seed, device=device, write=write, codecs=codecs, lossless=lossless,
        against=against, copying=copying, samplers=chosen if samplers or chosen else None, steps=steps or None,
        request=settings(conditions, "--condition"), out=out, ray=ray,
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
