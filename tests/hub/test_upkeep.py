"""A hub's folder is checked to the last byte, and what nothing uses is given back."""

import json

from click.testing import CliRunner
from wire import ask, commit, commit_large, upload

from zoo.cli import cli
from zoo.hub.server.objects import object_id
from zoo.testing.hub_server import running


def zoo(*words):
    done = CliRunner().invoke(cli, ["hub", *map(str, words)])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def test_damage_is_found_and_healed_by_a_push(hub_server):
    hub, data = hub_server, b"w" * 100_000
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    digest = upload(hub, "me/toy", data)
    assert commit_large(hub, "me/toy", "w.bin", digest)[0] == 200
    assert "served by another process" in zoo("check", hub.folder)[1]
    hub.kill()
    assert zoo("check", hub.folder)[0] == 0
    blob = hub.folder / "blobs" / digest[:2] / digest
    blob.chmod(0o600)
    blob.write_bytes(data[:-1] + b"x")
    code, said = zoo("check", hub.folder, "--mend")
    assert (code, f"blob {digest} does not have its sha256" in said) == (1, True)
    assert "push that file again" in said
    hub.restart()
    assert ask(hub, "GET", "/me/toy/resolve/main/w.bin")[0] == 422
    assert upload(hub, "me/toy", data) == digest
    assert ask(hub, "GET", "/me/toy/resolve/main/w.bin")[2] == data
    hub.kill()
    assert zoo("check", hub.folder)[0] == 0
    loose = next((hub.folder / "repositories/models/me/toy/objects").glob("??/*"))
    loose.write_bytes(loose.read_bytes()[:-3] + b"xyz")
    code, said = zoo("check", hub.folder)
    assert (code, "damaged" in said) == (1, True)
    assert "Nothing more is deleted" in zoo("tidy", hub.folder)[1]


def test_a_small_file_is_healed_too(hub_server):
    hub, text = hub_server, b"# Toy\n"
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    assert commit(hub, "me/toy", {"README.md": text})[0] == 200
    head = (hub.folder / "repositories/models/me/toy/refs/heads/main").read_text()
    hub.kill()
    oid = object_id("blob", text)
    (hub.folder / f"repositories/models/me/toy/objects/{oid[:2]}/{oid[2:]}").write_bytes(b"rot")
    code, said = zoo("check", hub.folder, "--mend")
    assert (code, f"object {oid} is missing or damaged" in said) == (1, True)
    hub.restart()
    asked = {"files": [{"path": "README.md", "size": len(text), "sample": ""}]}
    path = "/api/models/me/toy/preupload/main"
    row = json.loads(ask(hub, "POST", path, "hf_writer", asked)[2])["files"][0]
    assert "oid" not in row  # or clients would think it is there and send nothing
    assert commit(hub, "me/toy", {"README.md": text})[0] == 200
    assert ask(hub, "GET", "/me/toy/resolve/main/README.md")[2] == text
    assert (hub.folder / "repositories/models/me/toy/refs/heads/main").read_text() == head


def test_a_folder_that_is_no_hub_is_left_alone(tmp_path):
    for command in ("check", "tidy"):
        code, said = zoo(command, tmp_path / "none")
        assert (code, "is no hub's folder" in said) == (1, True)
    assert not (tmp_path / "none").exists()


def test_what_nothing_uses_is_given_back(tmp_path):
    with running(tmp_path / "hub") as hub:
        for name in ("keep", "drop"):
            assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": name})[0] == 200
        digests = {}
        for version, repo in ((1, "keep"), (2, "keep"), (3, "drop")):
            digests[version] = upload(hub, f"me/{repo}", bytes([version]) * 100_000)
            assert commit_large(hub, f"me/{repo}", "w.bin", digests[version])[0] == 200
        squash = "/api/models/me/keep/super-squash/main"
        assert ask(hub, "POST", squash, "hf_writer", {"message": "one"})[0] == 200
        assert ask(hub, "DELETE", "/api/repos/delete", "hf_writer", {"name": "drop"})[0] == 200
        token = "/api/models/me/keep/xet-write-token/main"
        before = ask(hub, "GET", token, "hf_writer")[1]["X-Xet-Cas-Url"]
        hub.kill()
        code, said = zoo("tidy", hub.folder)
        assert code == 0
        assert int(said.split()[0].replace(",", "")) > 200_000
        assert [each.name for each in (hub.folder / "blobs").glob("*/*")] == [digests[2]]
        assert zoo("check", hub.folder)[0] == 0
        hub.restart()
        assert ask(hub, "GET", "/me/keep/resolve/main/w.bin")[2] == bytes([2]) * 100_000
        assert ask(hub, "GET", token, "hf_writer")[1]["X-Xet-Cas-Url"] != before
        assert commit(hub, "me/keep", {"a.txt": b"a"})[0] == 200
