"""``zoo hub``: a server of one's own, its tokens, its folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.terminal import Size, json_option, print_json

if TYPE_CHECKING:
    from zoo.hub.server.store import Store


@click.group("hub", short_help="Serve models to others, and look after a hub's folder.")
def hub() -> None:
    """A hub of your own, which huggingface_hub, timm, diffusers and transformers can use."""


@hub.command("serve", short_help="Serve a folder by the protocol of the Hugging Face Hub.")
@click.argument("folder", required=False)
@click.option("--data", default=None, help="The folder, or a URL of fsspec to serve read-only.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Other machines need tokens.")
@click.option("--port", default=8077, show_default=True, type=click.IntRange(0, 65535))
@click.option("--url", default=None, help="How clients reach it, if a proxy stands before it.")
@click.option("--max-file", type=Size(), default=None, help="Largest file: 20GB.")
@click.option("--quota", type=Size(), default=None, help="All bytes of one repository: 100GB.")
@click.option("--part", type=Size(), default=None, help="Uploads over this come in such parts.")
def serve(
    folder: str | None,
    data: str | None,
    host: str,
    port: int,
    url: str | None,
    max_file: int | None,
    quota: int | None,
    part: int | None,
) -> None:
    """Serve FOLDER until Ctrl-C; then `HF_ENDPOINT=http://127.0.0.1:8077` for any client.

    ZOO_HUB_TOKENS="token:user:read|write|admin[:org+org],..." adds tokens for this run.
    """
    from zoo.hub.server.limits import Limits
    from zoo.hub.server.running import serve as run

    where = _one(folder, data)
    given = {"large": max_file, "repository": quota, "part": part, "multipart": part}
    limits = Limits(**{key: value for key, value in given.items() if value is not None})
    run(where, host, port, limits, url)


@hub.command("token", short_help="Make or take away a token.")
@click.argument("folder", required=False)
@click.option("--data", default=None, help="The hub's folder.")
@click.option("--user", required=True, help="Whose; also the namespace it opens.")
@click.option("--role", type=click.Choice(["read", "write", "admin"]), default="read")
@click.option("--org", "orgs", multiple=True, help="Another namespace that it opens.")
@click.option("--revoke", is_flag=True, help="Take all tokens of this user away.")
def token(
    folder: str | None,
    data: str | None,
    user: str,
    role: str,
    orgs: tuple[str, ...],
    revoke: bool,
) -> None:
    """Print a new token for the hub in FOLDER; it is kept as a hash and cannot be shown again."""
    from zoo.hub.server.store import Store
    from zoo.hub.server.tokens import Tokens

    tokens = Tokens(Store.at(_one(folder, data)).disk, environment="")
    if revoke:
        click.echo(f"{tokens.remove(user)} tokens of {user} taken away")
    else:
        click.echo(tokens.add(user, role, orgs))


@hub.command("check", short_help="Read every byte of a hub's folder.")
@click.argument("folder")
@click.option(
    "--mend", is_flag=True, help="Set damaged files aside; the next push brings them anew."
)
def check(folder: str, mend: bool) -> None:
    """Hash all files, follow all versions of the hub in FOLDER, which nobody may serve meanwhile."""
    from zoo.errors import HubError
    from zoo.hub.server import upkeep

    with _held(folder) as store:
        faults = upkeep.check(store, mend)
    for each in faults:
        click.echo(each)
    if faults:
        raise HubError(f"{len(faults)} faults in {folder}.")
    click.echo(f"{folder}: every byte is right")


@hub.command("tidy", short_help="Delete what no version of any repository uses.")
@click.argument("folder")
def tidy(folder: str) -> None:
    """Free the space of deleted repositories, versions and refused pushes of the hub in FOLDER."""
    from zoo.hub.server import upkeep

    with _held(folder) as store:
        click.echo(f"{upkeep.tidy(store):,} bytes freed")


@hub.command("view", short_help="Lay a hub's models out as huggingface_hub's cache.")
@click.argument("hub_folder", metavar="HUB")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, metavar="[ORG/NAME]...")
@json_option
def view(hub_folder: str, folder: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Copy the public repositories of HUB, or those named, to FOLDER, for use without a server.

    With HF_HUB_CACHE=FOLDER HF_HUB_OFFLINE=1 timm, diffusers and transformers load from it.
    """
    from zoo.hub.server.store import Store
    from zoo.hub.server.view import lay_out

    where = _one(hub_folder, None)
    rows = lay_out(Store.at(where if "://" in where else _there(where)), folder, names)
    if as_json:
        print_json([dataclasses.asdict(each) for each in rows])
        return
    for each in rows:
        click.echo(f"{each.name}: {', '.join(each.revisions)}")
    click.echo(f"HF_HUB_CACHE={folder} HF_HUB_OFFLINE=1")


@contextmanager
def _held(folder: str) -> Iterator[Store]:
    """The hub of a folder, while no server has it. Raises HubError."""
    from zoo.hub.server.running import claimed
    from zoo.hub.server.store import Store

    store = Store.at(_there(_one(folder, None)))
    claim = claimed(store)
    try:
        yield store
    finally:
        if claim is not None:
            os.close(claim)


def _there(folder: str) -> Path:
    """A hub's folder that exists, for nothing is made there. Raises HubError."""
    from zoo.errors import HubError

    if not (Path(folder) / "hub.json").is_file():
        raise HubError(f"{folder} is no hub's folder: it has no hub.json.")
    return Path(folder)


def _one(folder: str | None, data: str | None) -> str:
    if (folder is None) == (data is None):
        raise click.UsageError("Name the hub's folder once: `zoo hub serve FOLDER`.")
    where = str(folder if folder is not None else data)
    return where if "://" in where else str(Path(where).expanduser())
