"""``zoo recommend``: which generative model should I use?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from zoo.cli.terminal import json_option, print_json
from zoo.errors import RequestError

FLAGS = "--pretrained / --no-pretrained, --data, --compute, --resolution, --for"


@click.command(short_help="Say which model to use, and how to start.")
@click.option(
    "--pretrained/--no-pretrained", default=None, help="Whether a trained model fits. [no]"
)
@click.option("--data", default=None, help="little, much, or a number of pictures. [little]")
@click.option("--compute", default=None, help="little, much, or GPU-hours. [little]")
@click.option("--resolution", type=click.IntRange(min=1), default=None, help="Pixels a side. [32]")
@click.option(
    "--for", "wants", multiple=True,
    help="likelihood, compression, control, tokens, speed; repeatable. [nothing but good pictures]",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="Write the recipe to start from.",
)  # fmt: skip
@json_option
def recommend(
    pretrained: bool | None,
    data: str | None,
    compute: str | None,
    resolution: int | None,
    wants: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Say which family of model to use, why, with which model of the zoo and which commands.

    In a terminal, what no flag says is asked; elsewhere the defaults in brackets hold.
    """
    from zoo.advice import recommend as answer
    from zoo.errors import RequestError

    given: dict[str, Any] = {
        "pretrained": pretrained,
        "data": data,
        "compute": compute,
        "resolution": resolution,
        "wants": [part for each in wants for part in each.split(",")] or None,
    }
    if sys.stdin.isatty() and not as_json:
        given = asked(given)
    elif all(value is None for value in given.values()):
        raise RequestError(
            f"Nobody is here to ask: stdin is no terminal. Say it with flags: {FLAGS}. One is "
            "enough; the others have defaults."
        )
    found = answer(**given)
    if out is not None:
        if not found.recipe:
            raise RequestError(
                f"There is no recipe to write: no model of the family {found.family} with one is "
                "here."
            )
        out.write_text(found.recipe, encoding="utf-8")
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(str(found))
        if out is not None:
            click.echo(f"\nrecipe -> {out}")


def asked(given: dict[str, Any]) -> dict[str, Any]:
    """The answers, with those that are missing asked for one by one."""
    from zoo.advice.situation import QUESTIONS, amount, wanted, yes

    readers: dict[str, Callable[[str], Any]] = {
        "pretrained": yes,
        "data": lambda text: amount("data", text),
        "compute": lambda text: amount("compute", text),
        "resolution": _side,
        "wants": wanted,
    }
    answers = dict(given)
    for question in QUESTIONS:
        while answers[question.name] is None:
            prompt = f"{question.text}\n  {question.answers}"
            text = click.prompt(prompt, default=question.default, type=str, err=True)
            try:
                answers[question.name] = readers[question.name](text)
            except RequestError as error:
                click.echo(str(error), err=True)
    return answers


def _side(text: str) -> int:
    if not text.strip().isdecimal() or not int(text):
        raise RequestError(f"Pixels a side are a whole number, 1 or more; got {text!r}.")
    return int(text)
