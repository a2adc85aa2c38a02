"""A gigabyte through the server: its memory, and its pace beside a plain hash-and-copy.

    pytest -m long tests/hub/test_large.py -s
    ZOO_HUB_BYTES=20_000_000 pytest -m long ...      # smaller

The default run does the same with 30 MB and looks at memory alone. The pace is asserted by the clock and by
processor time, which other work on the machine changes less.
"""

import http.client
import json
import os
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from test_real_client import client
from wire import ask, commit_large

SIZE = int(os.environ.get("ZOO_HUB_BYTES", "1_000_000_000"))
MB = 10**6


def written(path, size):
    """A file of bytes that do not repeat."""
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(os.urandom(MB))
    return path


def peak(hub):
    """The most memory that the server has held, in bytes."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def worked(hub):
    """Seconds of processor that the server has used."""
    fields = Path(f"/proc/{hub.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hash_and_copy(source, target):
    """Seconds of the plain way: read, hash, write, sync; and the sha256."""
    begun, digest = time.monotonic(), sha256()
    with source.open("rb") as old, target.open("wb") as new:
        while piece := old.read(4 << 20):
            digest.update(piece)
            new.write(piece)
        new.flush()
        os.fsync(new.fileno())
    return time.monotonic() - begun, digest.hexdigest()


def put(hub, path, digest):
    """Seconds of an LFS upload whose sha256 is known, and the address it went to."""
    body = {"operation": "upload", "objects": [{"oid": digest, "size": path.stat().st_size}]}
    status, _, said = ask(hub, "POST", "/me/toy.git/info/lfs/objects/batch", "hf_writer", body)
    assert status == 200, said
    href = json.loads(said)["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.url)
    connection = http.client.HTTPConnection(
        urlsplit(hub.url).netloc, timeout=600, blocksize=1 << 20
    )
    begun = time.monotonic()
    with closing(connection), path.open("rb") as file:
        connection.request("PUT", href, file, {"Content-Length": str(path.stat().st_size)})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    return time.monotonic() - begun


def get(hub, digest):
    """Seconds of a download, hashed as it comes."""
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=600)
    begun, seen = time.monotonic(), sha256()
    with closing(connection):
        connection.request("GET", "/me/toy/resolve/main/w.bin")
        answer = connection.getresponse()
        while piece := answer.read(1 << 20):
            seen.update(piece)
    assert seen.hexdigest() == digest
    return time.monotonic() - begun


def through(hub, folder, size):
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    source = written(folder / "w.bin", size)
    used = time.process_time()
    plain, digest = hash_and_copy(source, folder / "copy.bin")
    used = time.process_time() - used
    (folder / "copy.bin").unlink()
    before = worked(hub)
    pushed = put(hub, source, digest)
    serving = worked(hub) - before
    assert commit_large(hub, "me/toy", "w.bin", digest)[0] == 200
    pulled = get(hub, digest)
    source.unlink()
    told = {"bytes": size, "plain": plain, "push": pushed, "pull": pulled,
            "plain processor": used, "server processor": serving,
            "push / plain pace": plain / pushed, "server peak MB": peak(hub) / MB}  # fmt: skip
    print({key: round(value, 3) for key, value in told.items()})
    return told


XET = """
import os, sys, time, huggingface_hub as hub
begun = time.monotonic()
hub.upload_file(path_or_fileobj=sys.argv[1], path_in_repo="w.bin", repo_id="me/xet")
print(time.monotonic() - begun)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_flat(hub_server, tmp_path):
    started = peak(hub_server)
    through(hub_server, tmp_path, 30 * MB)
    assert peak(hub_server) - started < 25 * MB


@pytest.mark.long
def test_a_gigabyte(hub_server, tmp_path):
    told = through(hub_server, tmp_path, SIZE)
    assert told["server peak MB"] < 200
    assert told["push / plain pace"] >= 0.8
    assert told["plain processor"] / told["server processor"] >= 0.8


@pytest.mark.long
def test_a_gigabyte_by_the_default_client(hub_server, tmp_path):
    assert ask(hub_server, "POST", "/api/repos/create", "hf_writer", {"name": "xet"})[0] == 200
    source = written(tmp_path / "w.bin", SIZE)
    before = worked(hub_server)
    seconds = float(client(hub_server, tmp_path / "home", XET, str(source)))
    used = worked(hub_server) - before
    print({"bytes": SIZE, "seconds": seconds, "server processor": used,
           "server peak MB": peak(hub_server) / MB})  # fmt: skip
    assert peak(hub_server) < 200 * MB
    assert SIZE / used > 35 * MB
