"""What callers do at the same time, and what they send that is no use to anybody."""

import http.client
import json
import threading
import time
from contextlib import closing
from hashlib import sha256

import pytest
from served_here import served
from wire import ask, commit

from zoo.hub.server.files import Disk
from zoo.hub.server.store import Store

BATCH = "/me/toy.git/info/lfs/objects/batch"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    small = {"buffered": 100_000, "repository": 200_000, "part": 50_000, "multipart": 50_000,
             "message": 1_000}  # fmt: skip
    with served(tmp_path_factory.mktemp("hub") / "hub", **small) as hub:
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        yield hub


def begun(hub, method, path, length, sent=b"", token=None):
    """A request of which only a part of the body has been sent."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=20)
    connection.putrequest(method, path)
    connection.putheader("Content-Length", str(length))
    if token:
        connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    connection.send(sent)
    return connection


@pytest.mark.parametrize("path", ["/_cas-1-2/v1/shards", "/_lfs/complete/e30.00"])
def test_a_permission_is_asked_for_before_a_body(hub, path):
    with closing(begun(hub, "POST", path, 60_000_000)) as connection:
        assert connection.getresponse().status in (401, 403)


def test_all_bodies_together_have_a_largest_size(hub):
    def status_of_another():
        text = json.dumps({"content": "x" * 60_000})
        status, headers, _ = ask(hub, "POST", "/api/validate-yaml", body=text.encode())
        return status, headers["Retry-After"]

    with closing(begun(hub, "POST", "/api/validate-yaml", 90_000, b" " * 80_000)):
        while status_of_another() == (200, None):  # until those 80 kB have come
            time.sleep(0.01)
        assert status_of_another() == (503, "2")
    for _ in range(1000):
        if status_of_another() == (200, None):
            return
        time.sleep(0.01)
    pytest.fail("what a caller that went away had sent is still counted")


def announced(hub, sizes):
    """The addresses for files of those sizes, or why there are none."""
    objects = [{"oid": f"{size:064x}", "size": size} for size in sizes]
    body = {"operation": "upload", "objects": objects, "transfers": ["basic", "multipart"]}
    rows = json.loads(ask(hub, "POST", BATCH, "hf_writer", body)[2])["objects"]
    return [row["actions"]["upload"] if "actions" in row else row["error"]["code"] for row in rows]


def test_what_is_on_its_way_counts(hub):
    first, second = b"a" * 40_000, b"b" * 40_000
    hrefs = []
    for data in (first, second):
        objects = [{"oid": sha256(data).hexdigest(), "size": len(data)}]
        body = {"operation": "upload", "objects": objects}
        said = json.loads(ask(hub, "POST", BATCH, "hf_writer", body)[2])
        hrefs.append(said["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.url))
    found = hub.store.repository("models", "me/toy")
    with closing(begun(hub, "PUT", hrefs[0], len(first), first[:10])) as slow:
        while found.coming < len(first):
            time.sleep(0.01)
        assert announced(hub, [165_000]) == [507]
        assert ask(hub, "PUT", hrefs[1], body=second)[0] == 200
        slow.send(first[10:])
        assert slow.getresponse().status == 200
    while found.coming:
        time.sleep(0.01)
    assert found.granted(sha256(first).hexdigest()) == len(first)


def test_parts_that_are_never_put_together_count(hub):
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "parts"})[0] == 200
    path = "/me/parts.git/info/lfs/objects/batch"

    def asked(size):
        body = {"operation": "upload", "objects": [{"oid": f"{size:064x}", "size": size}],
                "transfers": ["multipart"]}  # fmt: skip
        return json.loads(ask(hub, "POST", path, "hf_writer", body)[2])["objects"][0]

    upload = asked(150_000)["actions"]["upload"]
    assert upload["header"]["chunk_size"] == "50000"
    for number in ("1", "2", "3"):
        href = upload["header"][number].removeprefix(hub.url)
        assert ask(hub, "PUT", href, body=b"x" * 50_000)[0] == 200
    assert asked(100_000)["error"]["code"] == 507
    assert "actions" in asked(150_000)  # the same file begun again takes the same room
    again = asked(150_000)["actions"]["upload"]["header"]["1"].removeprefix(hub.url)
    assert ask(hub, "PUT", again, body=b"y" * 50_000)[0] == 200


def test_halves_of_letters_are_no_text(hub):
    header = {"key": "header", "value": {"summary": "\ud800"}}
    status, _, said = ask(
        hub, "POST", "/api/models/me/toy/commit/main", "hf_writer", json.dumps(header).encode()
    )
    assert (status, b"cannot be read" in said) == (400, True)
    for path, body in (
        ("/api/models/me/toy/tag/main", {"tag": "v1", "message": "\udfff"}),
        ("/api/models/me/toy/discussions", {"title": "\ud83d"}),
        ("/api/validate-yaml", {"content": "\ud800"}),
    ):
        assert ask(hub, "POST", path, "hf_writer", body)[0] == 400, path
    raw = b'{"tag": "v1", "message": "\xed\xa0\x80"}'
    assert ask(hub, "POST", "/api/models/me/toy/tag/main", "hf_writer", raw)[0] == 400
    pair = {"tag": "v-pair", "message": "\U0001f600"}
    assert ask(hub, "POST", "/api/models/me/toy/tag/main", "hf_writer", pair)[0] == 200


def test_messages_have_a_largest_size(hub):
    long = "x" * 1_001
    for path, body in (
        ("/api/models/me/toy/tag/main", {"tag": "v2", "message": long}),
        ("/api/models/me/toy/super-squash/main", {"message": long}),
    ):
        assert ask(hub, "POST", path, "hf_writer", body)[0] == 413, path
    assert commit(hub, "me/toy", {"a": b"a"}, description=long)[0] == 413


@pytest.mark.parametrize(
    "matter",
    ["tags: 5", "tags: text", "tags: {a: 1}", "license: [a, b]", 'x: "\\ud800"', "pipeline_tag: [1]",
     "library_name: {a: [1]}", "model-index: 3", "zoo: [1]"],
)  # fmt: skip
def test_one_card_cannot_spoil_the_lists(hub, matter):
    assert commit(hub, "me/toy", {"README.md": f"---\n{matter}\n---\n# x\n".encode()})[0] == 200
    for path in ("/api/models", "/api/models?full=true", "/", "/me/toy", "/api/models/me/toy"):
        assert ask(hub, "GET", path)[0] == 200, path
    assert json.loads(ask(hub, "GET", "/api/models?search=toy")[2])[0]["id"] == "me/toy"


def test_one_damaged_repository_cannot_spoil_the_lists(hub):
    root = hub.store.files.root / "repositories/models/me"
    for name in ("torn", "rotten"):
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": name})[0] == 200
        assert commit(hub, f"me/{name}", {"README.md": b"---\nlicense: mit\n---\n"})[0] == 200
    (root / "torn/zoo.json").write_text("{")
    for each in (root / "rotten/objects").glob("*/*"):
        each.write_bytes(b"rot")
    with served(hub.store.files.root) as again:
        for path in ("/api/models", "/"):
            status, _, said = ask(again, "GET", path)
            assert (status, b"me/toy" in said, b"me/torn" in said) == (200, True, False)
        for name in ("torn", "rotten"):
            status, _, said = ask(again, "GET", f"/api/models/me/{name}")
            assert (status, b"damaged" in said) == (422, True), said


class Slow(Disk):
    """A disk on which threads that read at once really do."""

    def read(self, name):
        time.sleep(0.02)
        return super().read(name)


def test_a_repository_is_one_object_for_all(tmp_path):
    Store.at(tmp_path).create("models", "me/toy", False, "me")
    store = Store(Slow(tmp_path))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(store.repository("models", "me/toy")))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert {id(each) for each in found} == {id(found[0])}


def test_an_old_handle_never_stands_for_a_new_repository(tmp_path):
    Store.at(tmp_path).create("models", "me/toy", False, "me")
    store = Store(Slow(tmp_path))
    threads = [
        threading.Thread(target=store.repository, args=("models", "me/toy")) for _ in range(4)
    ]
    for each in threads:
        each.start()
    store.delete(store.repository("models", "me/toy"))
    store.create("models", "me/toy", True, "me")
    for each in threads:
        each.join()
    assert store.repository("models", "me/toy").private
