"""Repositories of a Hugging Face hub, or any server that speaks its protocol (HF_ENDPOINT).

`huggingface_hub` moves and caches the bytes and honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and
HF_TOKEN; the card says which files, and their sha256 is checked here as everywhere. The repository
is resolved once, to a commit, and every file is taken from that commit. Nothing in a repository is
ever run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.card import README, Card, reference
from zoo.errors import HubError, UnknownModel, UnknownVersion, ZooError, listed, nearest

if TYPE_CHECKING:
    from zoo.hub import Found


def resolve(name: str, version: str | None = None) -> Found:
    """Fetch the card and the files it names from `org/repo[@revision]` (tag, branch, commit).

    Raises UnknownModel, UnknownVersion, CardError, HubError (unreachable, or offline and not
    cached).
    """
    from zoo.hub import Found

    repository, revision = reference(name)
    if version and revision and version != revision:
        raise UnknownVersion(
            f"hf:{name} was asked for with version={version!r}: two versions. Give one."
        )
    revision = version or revision
    path = _fetch(repository, README, revision)
    card = Card.read(path)
    commit = path.parent.name  # .../snapshots/<commit>/README.md
    for file in card.files:
        _fetch(repository, file, commit)
    return Found(card, path.parent, f"hf:{repository}@{revision or commit}")


def _fetch(repository: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(repository, file, revision=revision, library_name="genzoo"))
    except HFValidationError as error:
        raise UnknownModel(
            f"hf:{repository} is no name of a repository (hf:org/repo): {error}"
        ) from error
    except Exception as error:
        raise _told(error, repository, file, revision, constants.ENDPOINT) from error


def _told(
    error: Exception, repository: str, file: str, revision: str | None, endpoint: str
) -> ZooError:
    """One sentence of ours for each way in which a fetch can fail."""
    from huggingface_hub import errors

    at = f"hf:{repository}" + (f"@{revision}" if revision else "")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{at} is gated: ask for access on {endpoint}/{repository}, then set HF_TOKEN."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnknownModel(
            f"{endpoint} has no repository {repository} (or it is private: set HF_TOKEN)."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        refs = _refs(repository)
        return UnknownVersion(
            f"{endpoint}/{repository} has no revision {revision!r}.{nearest(str(revision), refs)} "
            f"It has: {listed(refs)}."
        )
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(
        error, errors.LocalEntryNotFoundError
    ):
        what = "so it is no model" if file == README else "though its card names it"
        return HubError(f"{at} on {endpoint} has no file {file}, {what}.")
    offline = isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled)
    reason = (
        "it is not in the cache, and the hub is offline or cannot be reached"
        if offline
        else f"{error}"
    )
    return HubError(
        f"{at}: {file} could not be fetched from {endpoint}: {reason}. Check the network, "
        "HF_ENDPOINT and HF_HUB_OFFLINE."
    )


def _refs(repository: str) -> list[str]:
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(repository)
    except Exception:  # the message is about the revision; without this list it only says less
        return []
    return [each.name for each in (*refs.tags, *refs.branches)]
