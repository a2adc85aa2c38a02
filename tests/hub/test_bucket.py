"""The same folder in a bucket, served read-only: a real S3 API, of moto's server in a process.

Copied in the order that the documentation asks for: blobs and objects, then refs.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest
from served_here import served
from wire import ask, commit, commit_large, upload

from zoo.errors import HubError
from zoo.hub.server.files import Bucket
from zoo.hub.server.store import Store
from zoo.testing.hub_server import running

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """An S3 endpoint with an empty bucket `hubs`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out, stderr=out, env={**os.environ, **KEYS},
        )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        else:
            pytest.fail(log.read_text()[-2000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_hub_in_s3_is_read_and_not_written(bucket, tmp_path, monkeypatch):
    import s3fs

    for key, value in {**KEYS, "AWS_ENDPOINT_URL": bucket}.items():
        monkeypatch.setenv(key, value)
    weights = os.urandom(3_000_000)
    with running(tmp_path / "hub") as hub:
        for name, private in (("toy", False), ("secret", True)):
            body = {"name": name, "private": private}
            assert ask(hub, "POST", "/api/repos/create", "hf_writer", body)[0] == 200
        assert commit(hub, "me/toy", {"README.md": b"---\nlicense: mit\n---\n# Toy\n"})[0] == 200
        digest = upload(hub, "me/toy", weights)
        assert commit_large(hub, "me/toy", "model.safetensors", digest)[0] == 200
        path = "/api/models/me/toy/tag/main"
        assert ask(hub, "POST", path, "hf_writer", {"tag": "v1"})[0] == 200
    system = s3fs.S3FileSystem()
    system.mkdir("hubs")
    every = [each for each in sorted((tmp_path / "hub").rglob("*")) if each.is_file()]
    for each in sorted(every, key=lambda path: "/refs/" in str(path)):
        system.put(str(each), f"hubs/here/{each.relative_to(tmp_path / 'hub')}")
    before = system.find("hubs/here", detail=True)
    with served("s3://hubs/here") as far:
        answer = ask(far, "GET", "/me/toy/resolve/v1/model.safetensors")
        assert (answer[0], answer[2]) == (200, weights)
        ranged = {"Range": "bytes=1000000-1999999"}
        status, _, said = ask(far, "GET", "/me/toy/resolve/v1/model.safetensors", headers=ranged)
        assert (status, said) == (206, weights[1_000_000:2_000_000])
        info = json.loads(ask(far, "GET", "/api/models/me/toy?blobs=true")[2])
        assert info["cardData"] == {"license": "mit"}
        assert {each["rfilename"]: each["size"] for each in info["siblings"]}[
            "model.safetensors"
        ] == 3_000_000  # fmt: skip
        listed = [each["id"] for each in json.loads(ask(far, "GET", "/api/models")[2])]
        assert listed == ["me/toy"]
        assert ask(far, "GET", "/api/models/me/secret")[0] == 401
        assert ask(far, "GET", "/api/models/me/secret", "hf_writer")[0] == 200
        assert b"Toy" in ask(far, "GET", "/me/toy")[2]
        for method, path, body in (
            ("POST", "/api/repos/create", {"name": "new"}),
            ("POST", "/api/models/me/toy/tag/main", {"tag": "v2"}),
            ("DELETE", "/api/models/me/toy/tag/v1", {}),
            ("POST", "/api/models/me/toy/super-squash/main", {}),
            ("PUT", "/api/models/me/toy/settings", {"private": True}),
            ("POST", "/api/repos/move", {"fromRepo": "me/toy", "toRepo": "me/other"}),
            ("DELETE", "/api/repos/delete", {"name": "toy"}),
            ("POST", "/me/toy.git/info/lfs/objects/batch",
             {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}),
            ("GET", "/api/models/me/toy/xet-write-token/main", None),
        ):  # fmt: skip
            status, _, said = ask(far, method, path, "hf_writer", body)
            assert (status, b"read-only" in said) == (403, True), (path, said)
        assert commit(far, "me/toy", {"a.txt": b"a"})[0] == 403
        home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": far.url}
        script = "import huggingface_hub as h; print(h.snapshot_download('me/toy', revision='v1'))"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **home},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert system.find("hubs/here", detail=True).keys() == before.keys()


def test_any_file_system_of_fsspec_serves():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/hub/hub.json", b'{"layout": 1, "store": "0"}')
    memory.pipe("/hub/blobs/ab/x", b"0123456789")
    files = Bucket("memory://hub")
    assert files.names("") == ["blobs", "hub.json"]
    assert files.names("nothing") == []
    assert (files.size("blobs/ab/x"), files.size("blobs/ab"), files.size("no")) == (10, None, None)
    with files.open("blobs/ab/x") as stream:
        stream.seek(3)
        assert stream.read(4) == b"3456"
    assert list(Store(files).repositories("models")) == []
    with pytest.raises(HubError, match="read-only"):
        files.write("a", b"a")


def test_a_folder_that_cannot_be_written_is_served_as_a_url(tmp_path):
    with running(tmp_path / "hub") as hub:
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        assert commit(hub, "me/toy", {"a/b.txt": b"b"})[0] == 200
        path = "/api/models/me/toy/branch/feature%2Fx"
        assert ask(hub, "POST", path, "hf_writer", {})[0] == 200
    before = sorted((tmp_path / "hub").rglob("*"))
    with served(f"file://{tmp_path / 'hub'}") as far:
        for revision in ("main", "feature%2Fx"):
            assert ask(far, "GET", f"/me/toy/resolve/{revision}/a/b.txt")[2] == b"b"
        assert ask(far, "GET", "/me/toy/resolve/feature/a/b.txt")[0] == 404
        assert commit(far, "me/toy", {"a.txt": b"a"})[0] == 403
    assert sorted((tmp_path / "hub").rglob("*")) == before


def test_a_protocol_that_is_not_there_is_said():
    with pytest.raises(HubError, match=r"nothing:.*genzoo\[bucket\]"):
        Bucket("nothing://x")
