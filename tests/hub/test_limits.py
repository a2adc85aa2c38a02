"""What one caller can take of the server: time, memory, disk, and none of it for ever."""

import contextlib
import json
import pickle
import socket
import sys
import threading
import time
from hashlib import sha256

import lz4.frame
import pytest
from served_here import served
from wire import ask, commit, commit_large, upload

from zoo.errors import HubError
from zoo.hub.server.xet_format import XorbReader, read_shard

BATCH = "/me/toy.git/info/lfs/objects/batch"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "hub"
    small = {"json": 100_000, "card": 100_000, "regular": 10_000, "commit": 200_000, "changes": 20, "files": 30,
             "large": 50_000, "repository": 200_000, "seconds": 0.5}  # fmt: skip
    with served(folder, silence=0.5, **small) as hub:
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        yield hub


def left_alone(hub, sent, patience=20):
    """What the server says, and that it ends the connection by itself."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=patience) as connection:
        connection.sendall(sent)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


def test_a_head_that_never_ends_is_cut(hub):
    assert left_alone(hub, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ") == b""
    assert left_alone(hub, b"") == b""
    whole = left_alone(hub, b"GET /api/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET")
    assert whole.startswith(b"HTTP/1.1 200 ")


def test_a_body_that_never_comes_is_cut(hub):
    head = b"POST /api/validate-yaml HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    said = left_alone(hub, head + b"Content-Length: 100\r\n\r\n{")
    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_trickles_is_cut(hub):
    head = b"POST /api/validate-yaml HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as connection:
        connection.sendall(head)
        said, begun = b"", time.monotonic()
        connection.settimeout(0.05)
        while not said and time.monotonic() - begun < 20:
            connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                said = connection.recv(1000)
        assert said.startswith(b"HTTP/1.1 408 ")


def test_an_answer_that_nobody_takes_is_cut(hub):
    with served(hub.store.files.root.parent / "wide", silence=0.5) as wide:
        assert ask(wide, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        digest = upload(wide, "me/toy", bytes(30_000_000))
        assert commit_large(wide, "me/toy", "w.bin", digest)[0] == 200
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", wide.port))
            connection.sendall(
                b"GET /me/toy/resolve/main/w.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            )
            time.sleep(3)
            connection.settimeout(20)
            seen = 0
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(1 << 20):
                    seen += len(piece)
            assert seen < 30_000_000


def test_bodies_have_a_largest_size(hub):
    long = {"content": "x" * 200_000}
    assert ask(hub, "POST", "/api/validate-yaml", body=long)[0] == 413
    assert commit(hub, "me/toy", {"a.txt": b"x" * 20_000})[0] == 413
    assert commit(hub, "me/toy", {f"{each}.txt": b"x" * 9_000 for each in range(19)})[0] == 413
    assert commit(hub, "me/toy", {f"{each}.txt": b"" for each in range(21)})[0] == 413
    for start in (0, 15):
        status = commit(hub, "me/toy", {f"n{start + each}": b"" for each in range(15)})[0]
    assert status == 413  # 31 with .gitattributes


def test_what_is_not_json_is_refused(hub):
    for body in (b"{", b"[]", b"\xff", b"[" * 50_000, b'{"paths": 5}'):
        sent = {"Content-Type": "application/json"}
        for path in ("/api/validate-yaml", "/api/models/me/toy/paths-info/main"):
            status, _, said = ask(hub, "POST", path, body=body, headers=sent)
            assert status == 400, (body[:20], path, said)
    line = b'{"key": "file", "value": {"path": "a", "content": "!"}}'
    assert ask(hub, "POST", "/api/models/me/toy/commit/main", "hf_writer", line)[0] == 400


def test_a_file_and_a_repository_have_a_quota(hub):
    def asked(*sizes):
        objects = [{"oid": f"{size:064x}", "size": size} for size in sizes]
        body = {"operation": "upload", "objects": objects}
        rows = json.loads(ask(hub, "POST", BATCH, "hf_writer", body)[2])["objects"]
        return [row.get("error", {}).get("code") for row in rows]

    assert asked(50_001, 49_000) == [507, None]
    assert asked(50_000, 49_999, 49_998, 49_997, 49_996) == [None, None, None, 507, 507]
    digests = {name: upload(hub, "me/toy", name.encode() * 45_000) for name in "abcd"}
    assert len(digests) == 4
    assert asked(45_000) == [507]


def test_a_disk_without_room_is_said(hub):
    with served(hub.store.files.root.parent / "full", spare=1 << 62) as full:
        assert ask(full, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        status, said = commit(full, "me/toy", {"a.txt": b"a"})
        assert (status, "disk is full" in said["error"]) == (507, True)


def test_another_name_for_this_machine_is_no_name_of_the_hub(hub):
    for host in ("evil.example", "127.0.0.1.evil.example", "192.168.0.1"):
        status, _, said = ask(hub, "GET", "/api/models", headers={"Host": host})
        assert (status, b"serve with --url" in said) == (421, True)
    assert ask(hub, "GET", "/api/models", headers={"Host": "localhost:1"})[0] == 200


def test_a_password_that_a_browser_sends_reads_and_changes_nothing(hub):
    import base64

    basic = {"Authorization": "Basic " + base64.b64encode(b"me:hf_writer").decode()}
    assert json.loads(ask(hub, "GET", "/api/whoami-v2", headers=basic)[2])["name"] == "me"
    body = {"name": "by-form"}
    assert ask(hub, "POST", "/api/repos/create", body=body, headers=basic)[0] == 403
    path = "/api/models/me/toy/tag/main"
    assert ask(hub, "POST", path, body={"tag": "v1"}, headers=basic)[0] == 403


def test_a_card_that_grows_or_cannot_be_written_as_json_is_empty(hub):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + old] * 9)}]\n"
        for old, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    cards = {bomb: 200, "when: 2024-01-01\n": 200, "x: .nan\n": 200, "? [1]\n: 2\n": 400}
    for matter, checked in {**cards, "a: [\n": 400, f"a: {'[' * 9_000}\n": 200}.items():
        text = f"---\n{matter}---\n"
        said = ask(hub, "POST", "/api/validate-yaml", body={"content": text})
        assert said[0] == checked, (matter[:20], said)
        assert commit(hub, "me/toy", {"README.md": text.encode()})[0] == 200
        status, _, said = ask(hub, "GET", "/api/models/me/toy")
        assert (status, json.loads(said)["cardData"]) == (200, {}), matter[:20]


def test_long_messages_are_cut(hub):
    status, headers, said = ask(hub, "GET", "/api/models/me/toy/revision/" + "x" * 30_000)
    assert status == 404
    assert len(headers["X-Error-Message"]) < 3_000
    assert len(said) < 10_000


def test_many_deletions_are_not_slow(hub):
    lines = [{"key": "header", "value": {"summary": "test"}}]
    lines += [{"key": "deletedFolder", "value": {"path": f"none{each}"}} for each in range(19)]
    body = "\n".join(map(json.dumps, lines)).encode()
    assert ask(hub, "POST", "/api/models/me/toy/commit/main", "hf_writer", body)[0] == 200


def test_a_repository_deleted_under_a_commit_leaves_no_ruin(hub):
    def create():
        return ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "fleeting"})[0]

    told = []

    def change(number):
        told.append(commit(hub, "me/fleeting", {f"{number}": b"x"})[0])

    for _ in range(3):
        assert create() == 200
        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        gone = ask(hub, "DELETE", "/api/repos/delete", "hf_writer", {"name": "fleeting"})[0]
        for thread in threads:
            thread.join()
        assert gone == 200
        assert set(told) <= {200, 404, 409}
    assert create() == 200
    assert commit(hub, "me/fleeting", {"a": b"a"})[0] == 200
    assert ask(hub, "DELETE", "/api/repos/delete", "hf_writer", {"name": "fleeting"})[0] == 200


def chunk(data, scheme=1, size=None):
    packed = lz4.frame.compress(data) if scheme else data
    length = len(data) if size is None else size
    head = b"\0" + len(packed).to_bytes(3, "little") + bytes([scheme])
    return head + length.to_bytes(3, "little") + packed


def test_a_xorb_is_read_to_its_limits_and_no_further():
    assert list(XorbReader(100).feed(chunk(b"abc") + chunk(b"de", 0))) == [b"abc", b"de"]
    bomb = chunk(bytes(1 << 20))
    assert len(bomb) < 10_000
    with pytest.raises(HubError, match="unpacks to more"):
        list(XorbReader(3 << 20).feed(bomb * 4))
    for wrong, message in (
        (chunk(bytes(1 << 20), size=1000), "should have 1000 bytes"),
        (chunk(b"abc", size=2_000_000), "impossible head"),
        (chunk(b"abc", 0, size=2), "should have 2"),
        (b"\1" + chunk(b"abc")[1:], "impossible head"),
        (chunk(b"abc").replace(b"\x04\x22\x4d\x18", b"\0\0\0\0"), "no LZ4 frame"),
    ):
        with pytest.raises(HubError, match=message):
            list(XorbReader(1 << 30).feed(wrong))
    reader = XorbReader(100)
    assert list(reader.feed(chunk(b"abc")[:-1])) == []
    with pytest.raises(HubError, match="ends inside chunk 0"):
        reader.close()


def test_a_shard_is_read_to_its_limits_and_no_further():
    head, end = bytes(48), b"\xff" * 32 + bytes(16)
    many = bytes(32) + (0).to_bytes(4, "little") + (1 << 31).to_bytes(4, "little") + bytes(8)
    with pytest.raises(HubError, match="more than 10 segments"):
        read_shard(head + many, most=10)
    one = bytes(32) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8)
    with pytest.raises(HubError, match="ends inside a record"):
        read_shard(head + one, most=10)
    backwards = bytes(36) + b"".join(each.to_bytes(4, "little") for each in (5, 3, 2))
    with pytest.raises(HubError, match=r"chunks 3 \.\. 2"):
        read_shard(head + one + backwards + end, most=10)
    assert read_shard(head + end, most=10) == []


def test_forged_chunks_never_become_a_file(hub):
    status, headers, _ = ask(hub, "GET", "/api/models/me/toy/xet-write-token/main", "hf_writer")
    assert status == 200
    cas = headers["X-Xet-Cas-Url"].removeprefix(hub.url)
    bearer = {"Authorization": f"Bearer {headers['X-Xet-Access-Token']}"}
    path = f"{cas}/v1/xorbs/default/{'0' * 64}"
    for new in (b"true", b"false"):
        status, _, said = ask(hub, "POST", path, body=chunk(b"forged"), headers=bearer)
        assert (status, new in said) == (200, True)
    record = bytes(32) + (1 << 30).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8)
    segment = bytes(36) + b"".join(each.to_bytes(4, "little") for each in (6, 0, 1))
    right = sha256(b"honest").digest()
    words = b"".join(right[at : at + 8][::-1] for at in range(0, 32, 8))
    shard = bytes(48) + record + segment + words + bytes(16) + b"\xff" * 32 + bytes(16)
    status, _, said = ask(hub, "POST", f"{cas}/v1/shards", body=shard, headers=bearer)
    assert (status, b"were announced" in said) == (422, True)
    assert not (hub.store.files.root / f"blobs/{right.hex()[:2]}/{right.hex()}").exists()
    digest = sha256(b"forged").hexdigest()
    assert not (hub.store.files.root / f"blobs/{digest[:2]}/{digest}").exists()
    honest = ask(hub, "POST", path, body=chunk(b"honest"), headers=bearer)[2]
    assert b"true" in honest  # what did not fit is not in the way of what does
    assert ask(hub, "POST", f"{cas}/v1/shards", body=shard, headers=bearer)[0] == 200


class Loud:
    def __reduce__(self):
        return eval, ("1 + 1",)


OPENED = []
sys.addaudithook(lambda event, _: OPENED.append(event) if event == "pickle.find_class" else None)


def test_no_pickle_is_opened(hub):
    data = pickle.dumps(Loud()) * 3
    pickle.loads(data)
    assert OPENED  # the hook hears
    OPENED.clear()
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "pickled"})[0] == 200
    digest = upload(hub, "me/pickled", data)
    assert commit_large(hub, "me/pickled", "pytorch_model.bin", digest)[0] == 200
    for path in ("/me/pickled", "/api/models/me/pickled?blobs=true", "/api/models/me/pickled/tree/main",
                 "/me/pickled/resolve/main/pytorch_model.bin"):  # fmt: skip
        assert ask(hub, "GET", path)[0] == 200
    assert OPENED == []
