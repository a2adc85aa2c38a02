"""A lock gets the same bytes or nothing, from whichever hub has them."""

import json
from pathlib import Path

import pytest
from parcels import make

import zoo
from zoo import hub
from zoo.errors import HubError, UnknownModel
from zoo.sharing import push
from zoo.sharing.collecting import collect
from zoo.sharing.locking import check, lock, pull_locked
from zoo.sharing.mirroring import mirror


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("zoo.lock")


def test_a_lock_holds_a_project_to_its_bytes(lab, repository, model, here, monkeypatch):
    name = repository.partition("/")[2]
    push(model, f"lab:{repository}", "1.0.0")
    push(make(here.absolute().parent / "whole", parts={"decoder": f"{name}@1.0.0"}),
         f"lab:{repository}-whole", "3.0.0")  # fmt: skip
    entries = lock([f"lab:{repository}-whole", "vae-mnist"], here)
    assert [each.title for each in sorted(entries, key=lambda each: each.title)] == sorted(
        [f"{repository}-whole@3.0.0", f"{repository}@1.0.0", zoo.show("vae-mnist").title]
    )
    assert all(each.error is None for each in check(here))
    push(model, f"lab:{repository}", "1.1.0")
    collect([repository, f"{repository}-whole"], grace=0)
    assert [each.title for each in pull_locked(here)] == sorted(each.title for each in entries)
    monkeypatch.setenv("ZOO_LOCK", str(here))
    assert hub.resolve(f"lab:{repository}").card.version == "1.0.0"
    assert zoo.show("vae-mnist").name == "vae-mnist"
    with pytest.raises(UnknownModel, match=r"1\.1\.0 is not in zoo\.lock, which has me/toy"):
        hub.resolve(f"lab:{repository}@1.1.0")
    assert lock([], here)
    monkeypatch.delenv("ZOO_LOCK")
    lock([f"lab:{repository}"], here, update=True)
    (row,) = [each for each in json.loads(here.read_text())["models"] if each["name"] == repository]
    assert row["version"] == "1.1.0"


def test_drift_is_refused(lab, repository, model, here):
    import huggingface_hub

    push(model, f"lab:{repository}", "1.0.0")
    lock([f"lab:{repository}@1.0.0"], here)
    collect([repository], grace=0)
    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    text = (model / "README.md").read_text().replace("version: 1.0.0", "version: 1.0.0\n  paper: x")
    client.upload_file(
        path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=repository
    )  # fmt: skip
    client.delete_tag(repository, tag="1.0.0")
    client.create_tag(repository, tag="1.0.0")
    (verdict,) = check(here)
    assert "now, locked is" in verdict.error
    found = pull_locked(here)[0]  # the commit is still there, whatever the tag says
    collect([repository], grace=0)
    data = json.loads(here.read_text())
    data["models"][0]["origin"]["commit"] = client.model_info(repository).sha
    here.write_text(json.dumps(data))
    with pytest.raises(HubError, match=r"cannot be had as it was locked.* has a card of sha256"):
        pull_locked(here)
    assert not Path(found.folder).exists()


def test_another_hub_with_the_same_bytes_will_do(lab, repository, model, here, monkeypatch):
    push(model, f"lab:{repository}", "1.0.0")
    lock([f"lab:{repository}@1.0.0"], here)
    text = here.read_text().replace(lab.url, "http://127.0.0.1:9")
    here.write_text(text)
    collect([repository], grace=0)
    assert pull_locked(here)[0].error is None
    assert hub.resolve(repository).origin.endpoint == lab.url


def test_what_a_lock_cannot_hold_is_told(lab, tmp_path, model, here):
    with pytest.raises(HubError, match=r"There is no zoo\.lock: `zoo lock NAME"):
        pull_locked(here)
    with pytest.raises(HubError, match="Nothing to lock"):
        lock([], here)
    with pytest.raises(HubError, match="is a folder of yours"):
        lock([str(model)], here)
    here.write_text("{")
    with pytest.raises(HubError, match="cannot be read as a lock"):
        check(here)


def test_a_mirror_has_the_same_bytes(lab, repository, model, tmp_path, here):
    name = repository.partition("/")[2]
    push(model, f"lab:{repository}", "1.0.0")
    push(
        make(tmp_path / "whole", parts={"decoder": f"{name}@1.0.0"}), f"lab:{repository}-w", "1.0.0"
    )
    push(make(tmp_path / "second"), f"lab:{repository}-w", "1.1.0")
    done = mirror(f"lab:{repository}-w", f"lab:lab/{name}-w")
    assert [(each.version, each.copied) for each in done] == [
        ("1.0.0", True), ("1.0.0", True), ("1.1.0", True)
    ]  # fmt: skip
    assert done[0].where.endswith(f"lab/{name}@1.0.0")
    assert not any(each.copied for each in mirror(f"lab:{repository}-w", f"lab:lab/{name}-w"))
    old, new = (hub.resolve(f"lab:{each}-w@1.0.0") for each in (repository, f"lab/{name}"))
    assert old.origin.card_sha256 == new.origin.card_sha256
    (shelved,) = mirror(f"lab:{repository}@1.0.0", str(tmp_path / "shelf"))
    assert zoo.verify(shelved.where)
    push(make(tmp_path / "third"), f"lab:{repository}-w", "2.0.0")
    push(make(tmp_path / "fourth", {"x.txt": b"x"}), f"lab:lab/{name}-w", "2.0.0")
    with pytest.raises(HubError, match=r"has another version 2\.0\.0"):
        mirror(f"lab:{repository}-w", f"lab:lab/{name}-w", ["2.0.0"])
