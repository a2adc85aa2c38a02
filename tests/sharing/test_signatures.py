"""Who signed a version, who may, and what happens when it was somebody else."""

import base64
import json
from pathlib import Path

import pytest
from parcels import make

from zoo.errors import HubError
from zoo.hub.home import home
from zoo.hub.pulling import pull
from zoo.hub.signatures import FILE
from zoo.sharing import push
from zoo.sharing.bundles import export, import_
from zoo.sharing.collecting import collect
from zoo.sharing.mirroring import mirror
from zoo.sharing.signing import make_key

pytest.importorskip("cryptography", reason="an extra: genzoo[sign]")


@pytest.fixture
def keys(tmp_path):
    """Two private keys and their ids."""
    return [(tmp_path / name, make_key(tmp_path / name)) for name in ("ours.pem", "theirs.pem")]


@pytest.fixture
def place(tmp_path, repository, monkeypatch):
    return repository.replace("me/", "lab/")  # trust is of the organisation, so mind the order


def test_the_first_key_of_an_organisation_is_remembered(lab, place, model, keys):
    (ours, key), (theirs, other) = keys
    assert (ours.stat().st_mode & 0o777) == 0o600
    assert push(model, f"lab:{place}", "1.0.0", key=ours).signer == key
    push(model, f"lab:{place}", "1.1.0", key=theirs)
    push(model, f"lab:{place}", "1.2.0")
    found = pull(f"{place}@1.0.0")
    assert found.origin.signer == key
    assert (found.folder / FILE).exists()
    with pytest.raises(
        HubError, match=rf"is signed by {other}, but its organisation .* {key} before"
    ):
        pull(f"{place}@1.1.0")
    with pytest.raises(HubError, match=rf"is not signed, but its organisation signed with {key}"):
        pull(f"{place}@1.2.0")
    for file in (home() / "trust").rglob("lab"):
        file.unlink()
    assert pull(f"{place}@1.1.0").origin.signer == other


def test_a_list_of_signers_is_the_law(lab, place, model, keys, monkeypatch):
    (ours, key), (theirs, other) = keys
    push(model, f"lab:{place}", "1.0.0", key=ours)
    push(model, f"lab:{place}", "1.1.0", key=theirs)
    push(model, f"lab:{place}", "1.2.0")
    monkeypatch.setenv("ZOO_SIGNERS", f"you={other},lab={key}")
    assert pull(f"{place}@1.0.0").origin.signer == key
    with pytest.raises(HubError, match=r"which ZOO_SIGNERS does not allow"):
        pull(f"{place}@1.1.0")
    with pytest.raises(HubError, match=r"is not signed, but ZOO_SIGNERS allows"):
        pull(f"{place}@1.2.0")
    monkeypatch.setenv("ZOO_SIGNERS", "mine")
    with pytest.raises(HubError, match="no key of 64 hex digits"):
        pull(f"{place}@1.1.0")
    assert not (home() / "trust").exists()


def forged(envelope, of):
    """An envelope, damaged in one of several ways."""
    data = json.loads(envelope)
    if of == "payload":
        said = json.loads(base64.b64decode(data["payload"]))
        said["predicate"]["version"] = "9.9.9"
        data["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
    elif of == "signature":
        data["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    elif of == "kind":
        data["payloadType"] = "text/plain"
    elif of == "two":
        data["signatures"] *= 2
    return json.dumps(data).encode() if of != "text" else b"{"


@pytest.mark.parametrize("of", ["payload", "signature", "kind", "two", "text", "other"])
def test_a_signature_that_does_not_hold_is_refused(lab, place, model, keys, tmp_path, of):
    import huggingface_hub

    push(model, f"lab:{place}", "1.0.0", key=keys[0][0])
    push(make(tmp_path / "b", {"b.txt": b"b"}), f"lab:{place}", "1.1.0", key=keys[0][0])
    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    if of == "other":  # a true signature, of another version
        file = client.hf_hub_download(place, FILE, revision="1.0.0", cache_dir=tmp_path / "cache")
        envelope = Path(file).read_bytes()
    else:
        file = client.hf_hub_download(place, FILE, revision="1.1.0", cache_dir=tmp_path / "cache")
        envelope = forged(Path(file).read_bytes(), of)
    client.upload_file(path_or_fileobj=envelope, path_in_repo=FILE, repo_id=place)
    with pytest.raises(HubError, match=r"signature|cannot be read"):
        pull(f"{place}@main")
    assert not list((home() / "hubs").glob("*/*/*"))


def test_a_signature_goes_wherever_the_model_goes(lab, place, model, keys, tmp_path, monkeypatch):
    (ours, key), _ = keys
    push(model, f"lab:{place}", "1.0.0", key=ours)
    mirror(f"lab:{place}", f"lab:{place.replace('lab/', 'me/')}")
    found = pull(f"{place.replace('lab/', 'me/')}@1.0.0")
    assert found.origin.signer == key
    (name,) = export([str(found.origin)], tmp_path / "all.zoo").models
    collect([name], grace=-1)
    monkeypatch.setenv("ZOO_SIGNERS", key)
    import_(tmp_path / "all.zoo")
    assert pull(name).origin.signer == key


def test_keys_that_cannot_be_used_are_told(lab, place, model, keys, tmp_path):
    with pytest.raises(HubError, match="exists: a key is not overwritten"):
        make_key(keys[0][0])
    (tmp_path / "none.pem").write_text("x")
    with pytest.raises(HubError, match=r"no private key could be read.*`zoo hub key"):
        push(model, f"lab:{place}", "1.0.0", key=tmp_path / "none.pem")
