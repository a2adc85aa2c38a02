"""The command line: each command reads its arguments, calls one public function of zoo, prints.

Nothing here knows a family or imports torch before a command needs it, so that ``zoo --help`` and
``zoo list`` answer at once. A ZooError is one line and an exit code: 2 when the request was wrong,
1 when something that was asked for rightly is broken. ``ZOO_DEBUG=1`` shows the traceback instead.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from zoo.cli import (
    annotate,
    catalogue,
    checks,
    classify,
    codec,
    convert,
    data,
    demo,
    evaluate,
    finetune,
    gallery,
    hub,
    latents,
    new_plugin,
    pictures,
    plugins,
    recommend,
    sample,
    sharing,
    store,  # noqa: F401  it adds commands to `zoo hub`
    train,
)
from zoo.columns import visible
from zoo.errors import (
    DataError,
    ImageError,
    RequestError,
    UnknownFamily,
    UnknownModel,
    UnknownVersion,
    Unsupported,
    ZooError,
)

COMMANDS: tuple[click.Command, ...] = (
    catalogue.list_,
    catalogue.show,
    latents.encode,
    latents.decode,
    sample.sample,
    pictures.logprob,
    classify.classify,
    annotate.annotate,
    codec.compress,
    codec.decompress,
    demo.demo,
    sharing.push,
    sharing.pull,
    sharing.versions,
    sharing.search,
    sharing.yank,
    sharing.mirror,
    sharing.lock,
    checks.verify,
    gallery.gallery,
    plugins.plugins,
    new_plugin.new_plugin,
    new_plugin.check,
    train.train,
    finetune.finetune,
    evaluate.evaluate,
    evaluate.bench,
    recommend.recommend,
    convert.convert,
    data.data,
    hub.hub,
)

ASKED_WRONGLY = (
    UnknownModel,
    UnknownFamily,
    UnknownVersion,
    Unsupported,
    RequestError,
    ImageError,
    DataError,
)


class _InOrder(click.Group):
    """A group that lists its commands as they were added: the ones used first come first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        import zoo

        click.echo(f"genzoo {zoo.__version__}")
        ctx.exit()


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `zoo demo`, then `zoo list`.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version and leave.",
)  # fmt: skip
def cli() -> None:
    """A zoo of generative image models: encode, decode, sample, score, train."""


for _command in COMMANDS:
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code: 0 done, 1 failed, 2 asked wrongly."""
    debug = os.environ.get("ZOO_DEBUG", "") not in ("", "0")
    if not debug:
        warnings.formatwarning = _one_line
    try:
        code = cli.main(args=arguments, prog_name="zoo", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("zoo: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # `zoo list | head`: the reader has gone, which is no failure of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ZooError as error:
        if debug:
            raise
        click.echo(f"zoo: {visible(str(error))}", err=True)
        sys.exit(_code(error))
    except OSError as error:
        if debug:
            raise
        click.echo(f"zoo: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _code(error: ZooError) -> int:
    """2 for a request that can never work, 1 for one that something broken stopped."""
    from zoo.train.table import RecipeError

    return 2 if isinstance(error, (*ASKED_WRONGLY, RecipeError)) else 1


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"zoo: {visible(str(message))}\n"
