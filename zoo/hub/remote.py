"""One repository of a hub, asked through huggingface_hub (any version from 0.30 on).

A version is a tag that is a semantic version. `yanked-VERSION` beside it says that nobody should
begin to use it; `latest` is the only tag that moves.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.card import version_key
from zoo.errors import (
    CardError,
    HubError,
    UnknownModel,
    UnknownVersion,
    ZooError,
    listed,
    nearest,
)
from zoo.hub.address import Address, hugging_face
from zoo.hub.offline import refuse_offline

if TYPE_CHECKING:
    from huggingface_hub import HfApi

YANKED, LATEST, MAIN = "yanked-", "latest", "main"


@dataclass(frozen=True)
class Version:
    """One version of a repository."""

    version: str
    commit: str
    yanked: bool
    latest: bool  # whether the tag `latest` stands here


@contextmanager
def told(address: Address) -> Iterator[None]:
    """The client's errors as ours. Raises HubError, UnknownModel, UnknownVersion."""
    refuse_offline(f"Asking for {address}")
    import huggingface_hub
    from huggingface_hub import errors

    where = f"{address.endpoint}/{address.repository}"
    try:
        yield
    except ZooError:
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            f"{address} is gated: ask for access on {where}, then set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModel(
            f"{address.endpoint} has no repository {address.repository} (or it is private: "
            f"{_token_advice(address)})."
        ) from error
    except errors.RevisionNotFoundError as error:
        refs = _refs(address)
        raise UnknownVersion(
            f"{where} has no revision {address.revision!r}.{nearest(str(address.revision), refs)} "
            f"It has: {listed(refs)}."
        ) from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{address}: a file is missing there: {str(error).strip()}") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        said = error.server_message or str(error).strip().partition("\n")[0]
        advice = f" To do that, {_token_advice(address)}." if status in (401, 403) else ""
        raise HubError(f"{address}: the hub refused ({status}): {said}.{advice}") from error
    except _failures() as error:
        raise HubError(
            f"{address.endpoint} cannot be reached for {address.repository}: "
            f"{type(error).__name__}: {error} (huggingface_hub {huggingface_hub.__version__}). Check "
            "the network, HF_ENDPOINT and ZOO_HUBS."
        ) from error


def _token_advice(address: Address) -> str:
    if address.endpoint == hugging_face():
        return "set HF_TOKEN"
    return f"set ZOO_HUB_TOKEN={address.endpoint}=TOKEN"


def _failures() -> tuple[type[BaseException], ...]:
    """What a client without its hub raises; its HTTP library is requests, httpx or httpx2."""
    kinds = {"requests": "RequestException", "httpx": "HTTPError", "httpx2": "HTTPError"}
    transport = (
        getattr(sys.modules[name], kind) for name, kind in kinds.items() if name in sys.modules
    )
    return (OSError, ValueError, RuntimeError, *transport)


def _refs(address: Address) -> list[str]:
    with told(address.at(None)):
        refs = api(address).list_repo_refs(address.repository)
    return [each.name for each in (*refs.tags, *refs.branches)]


def api(address: Address) -> HfApi:
    """The client for an address, with the token that belongs there and no other."""
    from huggingface_hub import HfApi

    return HfApi(address.endpoint, token=address.token or False, library_name="genzoo")


def versions(address: Address) -> dict[str, Version]:
    """The versions of a repository, newest first; pre-releases after all releases.

    Raises UnknownModel, HubError.
    """
    with told(address):
        refs = api(address).list_repo_refs(address.repository)
    commits = {tag.name: tag.target_commit for tag in refs.tags}
    latest = commits.get(LATEST)
    return {
        name: Version(name, commits[name], YANKED + name in commits, commits[name] == latest)
        for name in newest_first(filter(is_version, commits))
    }


def newest_first(found: Iterable[str]) -> list[str]:
    """Versions, the newest first and pre-releases after all releases."""
    return sorted(found, key=lambda each: ("-" not in each, version_key(each)), reverse=True)


def is_version(name: str | None) -> bool:
    """Whether a revision is a semantic version."""
    try:
        version_key(name or "")
    except CardError:
        return False
    return True


def settled(address: Address) -> tuple[Address, str]:
    """What an address means now: the address with its revision, and the commit. Asked once.

    Without a revision it is the newest version that is not yanked, or main where there is none.
    Warns of a yanked version. Raises UnknownModel, UnknownVersion, HubError.
    """
    if address.revision is None or is_version(address.revision):
        every = versions(address)
        kept = [each for each in every.values() if not each.yanked]
        if address.revision is not None:
            if address.revision not in every:
                raise UnknownVersion(
                    f"{address.at(None)} has no version {address.revision!r}."
                    f"{nearest(address.revision, every)} It has: {listed(every)}."
                )
            kept = [every[address.revision]]
            if kept[0].yanked:
                warnings.warn(f"{address} was yanked by those who made it.", stacklevel=2)
        elif every and not kept:
            raise UnknownVersion(
                f"All versions of {address} are yanked: {listed(every)}. Name one to take it anyway."
            )
        if kept:
            return address.at(kept[0].version), kept[0].commit
        address = address.at(MAIN)
    with told(address):
        sha = api(address).repo_info(address.repository, revision=address.revision).sha
    if not sha:
        raise HubError(f"{address}: the hub names no commit.")
    return address, str(sha)


def move(address: Address, tag: str, commit: str) -> None:
    """Put a tag on a commit, wherever it stood before."""
    client = api(address)
    with told(address):
        refs = {
            each.name: each.target_commit for each in client.list_repo_refs(address.repository).tags
        }
        if refs.get(tag) == commit:
            return
        if tag in refs:
            client.delete_tag(address.repository, tag=tag)
        client.create_tag(address.repository, tag=tag, revision=commit)
