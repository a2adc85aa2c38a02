"""Names to models: folders, versions, and a hub that really answers over HTTP."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import zoo
from zoo import hub
from zoo.card import Card, File
from zoo.errors import CardError, UnknownModel, UnknownVersion, WeightsError

CARD = Card(
    name="toy",
    family="pixelgauss",
    version="1.0.0",
    license="mit",
    pipeline_tag="text-to-image",
    config={},
    image=(3, 8, 8),
)
DATA = b"steps = 3\n"


def write(root, folder=None, **changes):
    """A model's folder with one file that is no weights."""
    files = {"recipe.toml": File(sha256(DATA).hexdigest(), len(DATA))}
    card = replace(CARD, **{"files": files, **changes})
    where = root / (folder or card.title)
    where.mkdir(parents=True)
    (where / "recipe.toml").write_bytes(DATA)
    (where / "README.md").write_text(card.text())
    return where


@pytest.fixture
def zoo_path(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "mine"))
    monkeypatch.setattr("zoo.hub.embedded.root", lambda: None)
    return tmp_path / "mine"


def test_a_model_is_found_by_name_and_version(zoo_path):
    old, new = write(zoo_path), write(zoo_path, version="1.10.0")
    write(zoo_path, version="2.0.0-rc.1")
    assert hub.resolve("toy").folder == new
    assert hub.resolve("toy@1.0.0").folder == hub.resolve("toy", "1.0.0").folder == old
    assert hub.resolve("toy", "2.0.0-rc.1").card.version == "2.0.0-rc.1"


def test_zoo_path_goes_before_the_store(zoo_path):
    write(hub.models())
    assert hub.resolve("toy").source == "store"
    mine = write(zoo_path)
    assert hub.resolve("toy") == hub.Found(Card.read(mine), mine, "ZOO_PATH")


def test_an_unknown_name_is_told_the_nearest(zoo_path):
    write(zoo_path, name="vqgan-f16")
    with pytest.raises(UnknownModel, match=r"'vqgan-f8'.*mean 'vqgan-f16'.*Known here: vqgan-f16"):
        zoo.load("vqgan-f8")


def test_an_unknown_version_is_told_which_exist(zoo_path):
    write(zoo_path)
    write(zoo_path, version="1.1.0")
    with pytest.raises(UnknownVersion, match=r"'1\.2\.0'.*Versions here: 1\.0\.0, 1\.1\.0"):
        zoo.load("toy@1.2.0")
    with pytest.raises(UnknownVersion, match=r"two versions"):
        zoo.load("toy@1.0.0", "1.1.0")


def test_a_broken_card_hides_no_other_and_is_told(zoo_path):
    write(zoo_path)
    (zoo_path / "torn").mkdir()
    (zoo_path / "torn" / "README.md").write_text("---\nzoo: {schema: 1}\n---\n")
    assert hub.resolve("toy").card.name == "toy"
    with pytest.warns(UserWarning, match=r"A model was left out: .*torn.README\.md"):
        assert zoo.list() == ["toy"]
    with pytest.raises(UnknownModel, match=r"Unreadable: .*torn.README\.md"):
        hub.resolve("torn")


def test_the_list_is_filtered(zoo_path):
    write(zoo_path)
    write(zoo_path, version="1.1.0")
    write(zoo_path, name="vae", family="vae", license="apache-2.0", pipeline_tag=None)
    assert zoo.list() == ["toy", "vae"]
    assert zoo.list("t*") == zoo.list(family="pixel*") == zoo.list(license="mit") == ["toy"]
    assert zoo.list(task="text-to-image") == ["toy"]
    assert zoo.list(max_bytes=len(DATA)) == ["toy", "vae"]
    assert zoo.list(max_bytes=len(DATA) - 1) == zoo.list("no*") == []


def test_a_folder_is_a_model(tmp_path):
    folder = write(tmp_path)
    assert zoo.show(folder) == zoo.show(str(folder)) == Card.read(folder)
    with pytest.raises(UnknownModel, match=r"toy@1\.0\.1 does not exist\. Did you mean 'toy@1\.0"):
        zoo.show(tmp_path / "toy@1.0.1")


def test_a_folder_with_a_broken_card_is_no_strangers_checkpoint(tmp_path):
    folder = write(tmp_path)
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("version:", "verison:"))
    assert not hub.is_foreign(folder)
    with pytest.raises(CardError, match=r"verison is no key"):
        zoo.load(folder)
    (folder / "README.md").write_text("# A stranger's model\n")
    assert hub.is_foreign(folder)
    assert not hub.is_foreign("toy")
    assert not hub.is_foreign("hf:toy/toy")


def test_verify_reads_every_file_again(tmp_path):
    folder = write(tmp_path)
    assert zoo.verify(folder) == [folder / "recipe.toml"]
    (folder / "recipe.toml").write_bytes(DATA[::-1])
    with pytest.raises(WeightsError, match=r"recipe\.toml: its sha256 is"):
        zoo.verify(folder)


COMMITS = {"main": sha1(b"2").hexdigest(), "1.0.0": sha1(b"1").hexdigest()}


@pytest.fixture
def server(tmp_path):
    """A hub with one repository, me/toy, of two revisions; the requests it was sent."""
    for revision, version in {"1.0.0": "1.0.0", "main": "1.1.0"}.items():
        write(tmp_path, COMMITS[revision], version=version)
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            parts = self.path.split("/")
            if self.path.startswith("/api/models/me/toy/refs"):
                tags = [{"name": "1.0.0", "ref": "refs/tags/1.0.0", "targetCommit": "0" * 40}]
                refs = {"tags": tags, "branches": [], "converts": []}
                return self.answer(200, json.dumps(refs).encode())
            if parts[1:4] != ["me", "toy", "resolve"]:
                return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            commit = COMMITS.get(parts[4], parts[4])
            if commit not in COMMITS.values():
                return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            file = tmp_path / commit / "/".join(parts[5:])
            if not file.is_file():
                headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
                return self.answer(404, b"", headers)
            data = file.read_bytes()
            headers = {"X-Repo-Commit": commit, "ETag": f'"{sha256(data).hexdigest()}"'}
            return self.answer(200, data, headers)

        do_HEAD = do_GET

        def answer(self, status, data, headers=()):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", tmp_path, seen
    httpd.shutdown()
    httpd.server_close()


def ask(server, *names, **environment):
    """`hub.resolve` in a process of its own, since the client reads HF_ENDPOINT when imported."""
    endpoint, folder, _ = server
    code = (
        "import sys\nfrom zoo import hub\nfrom zoo.errors import ZooError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found = hub.resolve(name)\n"
        "        files = sorted(each.name for each in found.folder.iterdir())\n"
        "        print(found.card.version, found.source, *files)\n"
        "    except ZooError as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    set_to = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "cache"),
        **environment,
    }
    path = os.pathsep.join(
        [str(Path(zoo.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    )
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        capture_output=True,
        text=True,
        env={**os.environ, **quiet, **set_to},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_repository_is_fetched_once_and_then_offline(server):
    name = f"hf:me/toy@{COMMITS['1.0.0']}"
    assert ask(server, "hf:me/toy", "hf:me/toy@1.0.0", name) == [
        f"1.1.0 hf:me/toy@{COMMITS['main']} README.md recipe.toml",
        "1.0.0 hf:me/toy@1.0.0 README.md recipe.toml",
        f"1.0.0 {name} README.md recipe.toml",
    ]
    seen = len(server[2])
    offline = ask(server, "hf:me/toy@1.0.0", HF_HUB_OFFLINE="1")
    assert offline == ["1.0.0 hf:me/toy@1.0.0 README.md recipe.toml"]
    assert len(server[2]) == seen


def test_what_a_hub_cannot_give_is_told(server):
    endpoint, folder, _ = server
    (folder / COMMITS["main"] / "recipe.toml").unlink()
    repository, revision, file, name = ask(
        server, "hf:me/toi", "hf:me/toy@1.0.1", "hf:me/toy", "hf:me/a/toy"
    )
    assert repository.startswith(f"UnknownModel {endpoint} has no repository me/toi")
    assert "UnknownVersion" in revision
    assert "no revision '1.0.1'. Did you mean '1.0.0'? It has: 1.0.0." in revision
    assert file.startswith("HubError hf:me/toy@")
    assert "has no file recipe.toml, though its card names it." in file
    assert name.startswith("UnknownModel hf:me/a/toy is no name of a repository (hf:org/repo)")


def test_offline_without_a_copy_is_told(server):
    (said,) = ask(server, "hf:me/toy", HF_HUB_OFFLINE="1")
    assert said.startswith("HubError hf:me/toy: README.md could not be fetched from http://127")
    assert "HF_HUB_OFFLINE" in said
    assert server[2] == []
