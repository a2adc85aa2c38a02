"""Push to a real server and to a folder; pull by version, commit, branch; who may be trusted."""

import json
from pathlib import Path

import pytest
from parcels import make

import zoo
from zoo import hub
from zoo.card import Card
from zoo.cli import main
from zoo.errors import CardError, HubError, UnknownModel, UnknownVersion
from zoo.hub.home import home
from zoo.hub.pulling import pull
from zoo.sharing import push
from zoo.sharing.listing import versions


def test_a_version_travels_and_is_found_again(lab, repository, model):
    done = push(model, f"lab:{repository}", "1.2.0")
    assert done.where == f"{lab.url}/{repository}@1.2.0"
    assert (done.version, done.files, done.latest) == ("1.2.0", 3, True)
    found = pull(f"lab:{repository}")
    assert found.origin.commit == done.commit
    assert found.origin.version == found.card.version == "1.2.0"
    assert found.card.name == repository.partition("/")[2]
    for path in ("model.safetensors", "recipe.toml"):
        assert (found.folder / path).read_bytes() == (model / path).read_bytes()
    lab.kill()
    try:
        for name in (f"{repository}@1.2.0", f"lab:{repository}@{done.commit}", repository):
            assert hub.resolve(name).folder == found.folder
        assert zoo.show(repository, "1.2.0") == found.card
        assert repository in zoo.list()
        with pytest.raises(HubError, match="cannot be reached"):
            hub.resolve(f"lab:{repository}")
    finally:
        lab.restart()


def test_a_version_is_pushed_once_and_latest_moves(lab, repository, model):
    first = push(model, f"lab:{repository}", "1.0.0")
    with pytest.raises(HubError, match=rf"has version 1\.0\.0 already \(commit {first.commit}\)"):
        push(model, f"lab:{repository}", "1.0.0")
    assert push(model, f"lab:{repository}", "1.1.0-rc.1").latest is False
    second = push(model, f"lab:{repository}", "1.1.0")
    assert second.latest
    assert push(model, f"lab:{repository}", "1.0.1").latest is False
    there = versions(f"lab:{repository}")
    assert [each.version for each in there] == ["1.1.0", "1.0.1", "1.0.0", "1.1.0-rc.1"]
    assert [each.version for each in there if each.latest] == ["1.1.0"]
    assert pull(f"lab:{repository}").card.version == "1.1.0"
    assert pull(f"lab:{repository}@latest").origin.commit == second.commit
    assert pull(f"lab:{repository}@1.0.0").origin.commit == first.commit


def test_an_old_file_goes_with_its_version(lab, repository, tmp_path):
    push(make(tmp_path / "a", {"a.txt": b"a"}), f"lab:{repository}", "1.0.0")
    push(make(tmp_path / "b", {"b.txt": b"b"}), f"lab:{repository}", "2.0.0")
    new, old = pull(f"{repository}@2.0.0").folder, pull(f"{repository}@1.0.0").folder
    assert {each.name for each in new.iterdir()} == {"README.md", "b.txt", ".zoo-origin.json"}
    assert (old / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("model.bin", b"\x80\x02}q\x00.", "of a kind that is not pushed"),
        ("model.pt", b"PK\x03\x04", "of a kind that is not pushed"),
        ("config.json", b"\x80\x04}.", "but a pickle"),
        ("notes.txt", b"PK\x03\x04data", "as torch.save writes"),
        ("vocab.model", b"\x80\x04}.", "but a pickle"),
        ("run.sh", b"#!/bin/sh", "of a kind that is not pushed"),
        ("con.json", b"{}", "device on Windows"),
        ("model.safetensors", b"\x80\x02}q\x00.", "not a whole safetensors file"),
    ],
)
def test_what_must_not_be_shared_is_refused_without_a_hub(tmp_path, path, data, said):
    folder = make(tmp_path / "toy", {path: data})
    with pytest.raises(zoo.ZooError, match=said):
        push(folder, "http://127.0.0.1:9/me/toy", "1.0.0")


@pytest.mark.parametrize("digest", ["'" + "0" * 64 + "'", "f" * 64])
def test_a_hash_of_nothing_is_refused(tmp_path, digest):
    folder = make(tmp_path / "toy")
    text = (folder / "README.md").read_text()
    (sha,) = [facts.sha256 for facts in Card.read(folder).files.values()]
    (folder / "README.md").write_text(text.replace(sha, digest))
    with pytest.raises(CardError, match=r"recipe\.toml the sha256 .* which is no file's"):
        push(folder, "http://127.0.0.1:9/me/toy", "1.0.0")


def test_what_arrived_is_held_against_what_was_sent(lab, repository, model):
    from zoo.hub.address import addresses
    from zoo.sharing.pushing import Parcel, _refuse_other

    done = push(model, f"lab:{repository}", "1.0.0")
    (address,), card = addresses(f"lab:{repository}"), pull(f"lab:{repository}").card
    parcel = Parcel(card, b"", model)
    _refuse_other(parcel, address, done.commit)
    (model / "recipe.toml").write_bytes(b"steps = 4\n")
    with pytest.raises(HubError, match=r"has recipe\.toml with 10 bytes and the id"):
        _refuse_other(parcel, address, done.commit)


def test_a_damaged_file_is_not_pushed(tmp_path, model):
    (model / "recipe.toml").write_bytes(b"steps = 4\n")
    with pytest.raises(zoo.WeightsError, match=r"recipe\.toml: its sha256"):
        push(model, str(tmp_path / "models"))


def test_a_folder_is_a_hub_too(tmp_path, model, monkeypatch):
    shelf = tmp_path / "shelf"
    done = push(model, str(shelf), "1.2.0")
    assert Path(done.where) == shelf / "toy@1.2.0"
    with pytest.raises(HubError, match=r"a version never changes\. In .*: toy@1\.2\.0"):
        push(model, str(shelf), "1.2.0")
    push(model, str(shelf), "1.3.0")
    assert zoo.show(f"{shelf}/toy@1.2.0").version == "1.2.0"
    assert [each.version for each in versions(f"{shelf}/toy")] == ["1.3.0", "1.2.0"]
    monkeypatch.setenv("ZOO_PATH", str(shelf))
    assert zoo.show("toy").version == "1.3.0"
    assert zoo.verify("toy@1.2.0")


def test_what_is_missing_is_told_with_what_exists(lab, repository, model):
    with pytest.raises(UnknownModel, match=rf"{lab.url} has no repository {repository}"):
        pull(f"lab:{repository}")
    push(model, f"lab:{repository}", "1.0.0")
    with pytest.raises(UnknownVersion, match=r"no version '1\.0\.1'\. Did you mean '1\.0\.0'\?"):
        pull(f"{repository}@1.0.1")
    with pytest.raises(UnknownVersion, match=r"no revision 'nain'\. Did you mean 'main'\?"):
        pull(f"{repository}@nain")
    with pytest.raises(UnknownVersion, match="two versions"):
        pull(f"{repository}@1.0.0", "1.0.1")
    with pytest.raises(UnknownModel, match=r"no hub is called 'lob'\. Did you mean 'lab'\?"):
        hub.resolve(f"lob:{repository}")
    for name in (f"lab:{repository}/x", "lab:me", "lab:../x", "http://host/me/..", "lab:me/toy@"):
        with pytest.raises(UnknownModel, match="names no repository"):
            hub.resolve(name)


def test_a_token_goes_to_its_own_host_alone(lab, repository, model, monkeypatch):
    monkeypatch.setenv("ZOO_HUBS", "")
    with pytest.raises(HubError, match=rf"refused \(401\): .*, set ZOO_HUB_TOKEN={lab.url}=TOKEN"):
        push(model, f"{lab.url}/{repository}")
    monkeypatch.setenv("ZOO_HUB_TOKEN", f"http://other:1=x,{lab.url}={lab.token}")
    push(model, f"{lab.url}/{repository}", private=True)
    assert pull(f"{lab.url}/{repository}").card.version == "1.0.0"
    monkeypatch.setenv("ZOO_HUBS", f"lab={lab.url}")
    monkeypatch.setenv("ZOO_HUB_TOKEN", "lob=x")
    with pytest.raises(HubError, match=r"no hub is called 'lob'\. Did you mean 'lab'\?"):
        pull(f"{lab.url}/{repository}@main")
    monkeypatch.setenv("ZOO_HUB_TOKEN", f"{lab.url}={lab.other}")
    with pytest.raises(UnknownModel, match="or it is private"):
        pull(f"{lab.url}/{repository}@main")


def test_hubs_are_asked_in_order(lab, repository, model, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_HUBS", f"gone=http://127.0.0.1:9,lab={lab.url}")
    push(model, f"lab:{repository}", "1.0.0")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        pull(repository)  # a hub that does not answer is no hub that does not have it
    monkeypatch.setenv("ZOO_HUBS", f"lab={lab.url},gone=http://127.0.0.1:9")
    assert pull(repository).origin.endpoint == lab.url


def test_hf_is_whatever_hf_endpoint_says(lab, repository, model, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", lab.url)
    monkeypatch.setenv("HF_TOKEN", lab.token)
    monkeypatch.delenv("ZOO_HUBS")
    assert push(model, f"hf:{repository}", "1.0.0").where == f"hf:{repository}@1.0.0"
    assert hub.resolve(f"hf:{repository}").source == f"hf:{repository}@1.0.0"
    assert hub.resolve(repository).source == f"hf:{repository}@1.0.0"


def test_a_strangers_repository_never_answers_for_a_model_that_is_here(lab, model):
    push(model, "lab:me/vqgan-f16", "99.0.0")
    pull("me/vqgan-f16")
    assert hub.resolve("vqgan-f16").source == "embedded"
    assert {"vqgan-f16", "me/vqgan-f16"} <= set(zoo.list("*vqgan-f16"))


def test_a_path_that_is_mistyped_asks_no_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "models" / "toy")
    monkeypatch.setenv("ZOO_HUBS", "http://127.0.0.1:9")
    with pytest.raises(UnknownModel, match=r"models/toi does not exist\. Did you mean 'toy'\?"):
        hub.resolve("models/toi")
    assert hub.resolve("models/toy").source == "folder"


def test_a_branch_is_what_it_is_now(lab, repository, tmp_path):
    push(make(tmp_path / "a", {"a.txt": b"a"}), f"lab:{repository}", "1.0.0")
    first = pull(f"{repository}@main")
    assert first.folder.name == f"{repository.partition('/')[2]}@{first.origin.commit[:12]}"
    push(make(tmp_path / "b", {"b.txt": b"b"}), f"lab:{repository}", "1.1.0")
    second = pull(f"{repository}@main")
    assert (first.card.version, second.card.version) == ("1.0.0", "1.1.0")
    assert first.folder.exists()


def test_a_tag_that_moved_is_not_believed(lab, repository, model, tmp_path):
    import huggingface_hub

    push(model, f"lab:{repository}", "1.0.0")
    was = pull(f"{repository}@1.0.0")
    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    push(make(tmp_path / "b", {"b.txt": b"b"}, version="2.0.0"), f"lab:{repository}")
    client.delete_tag(repository, tag="1.0.0")
    client.create_tag(repository, tag="1.0.0", revision="main")
    assert pull(f"{repository}@1.0.0").origin == was.origin  # nobody is asked
    from zoo.hub.pulling import pull_commit
    from zoo.hub.remote import settled

    with pytest.raises(CardError, match=r"holds a card of version 2\.0\.0"):
        pull_commit(*settled(was.origin.address.at("1.0.0")))


def test_files_are_stored_once(lab, repository, model):
    push(model, f"lab:{repository}", "1.0.0")
    push(model, f"lab:{repository}", "1.1.0")
    old, new = pull(f"{repository}@1.0.0").folder, pull(f"{repository}@1.1.0").folder
    assert (old / "model.safetensors").samefile(new / "model.safetensors")
    assert len(list((home() / "blobs").glob("??/*"))) == 2
    assert not list((home() / "partial").iterdir())


def test_parts_come_along(lab, repository, model, tmp_path):
    name = repository.partition("/")[2]
    whole = make(tmp_path / "whole", parts={"decoder": f"{name}@1.0.0"})
    with pytest.raises(HubError, match=rf"which lab|which http.*{name} does not have"):
        push(whole, f"lab:{repository}-whole", "1.0.0")
    push(model, f"lab:{repository}", "1.0.0")
    push(whole, f"lab:{repository}-whole", "1.0.0")
    folder = pull(f"{repository}-whole").folder
    assert Card.read(folder.parent / f"{name}@1.0.0").title == f"{name}@1.0.0"


def test_a_card_without_its_file_is_told(lab, repository, model):
    import huggingface_hub

    push(model, f"lab:{repository}", "1.0.0")
    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    client.delete_file("recipe.toml", repository)
    with pytest.raises(HubError, match=r"recipe\.toml: the hub answers 404"):
        pull(f"{repository}@main")
    client.delete_file("README.md", repository)
    with pytest.raises(HubError, match=r"has no file README\.md, so it is no model"):
        pull(f"{repository}@main")


def test_a_model_is_loaded_by_its_repository(lab, repository):
    import torch

    made = zoo.load("vae-mnist")
    done = push(made, f"lab:{repository}", "1.2.0")
    loaded = zoo.load(f"{repository}@1.2.0")
    assert loaded.card.title == f"{repository.partition('/')[2]}@1.2.0"
    for key, value in made.net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[key], value)
    assert zoo.load(f"lab:{repository}@{done.commit}").card == loaded.card


def test_the_commands_print_what_was_resolved(lab, repository, model, capsys):
    def zoo_command(*words):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    code, out, _ = zoo_command("push", model, f"lab:{repository}", "--version", "1.2.0", "--json")
    pushed = json.loads(out)
    assert (code, pushed["version"], pushed["latest"]) == (0, "1.2.0", True)
    code, _, err = zoo_command("push", model, f"lab:{repository}", "--version", "1.2.0")
    assert code == 1
    assert err.startswith("zoo: ")
    assert "a version never changes" in err
    _, out, _ = zoo_command("pull", f"lab:{repository}")
    assert f"lab:{repository} -> {lab.url}/{repository}@1.2.0 (commit {pushed['commit']})" in out
    _, out, _ = zoo_command("pull", repository, "--json")
    assert json.loads(out)[0]["commit"] == pushed["commit"]
    _, out, _ = zoo_command("versions", repository)
    assert out.splitlines()[1].split() == [
        "1.2.0", pushed["commit"][:12], f"{lab.url}/{repository}", "latest,", "here",
    ]  # fmt: skip
    _, out, _ = zoo_command("versions", repository, "--json")
    assert [row["version"] for row in json.loads(out)] == ["1.2.0"]
    assert zoo_command("pull", f"{repository}@9.0.0")[0] == 2
