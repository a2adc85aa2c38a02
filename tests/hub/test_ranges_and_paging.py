"""Parts of files (RFC 9110, sections 13 and 14) and lists that come in pages."""

import json
import re
from hashlib import sha256

import pytest
from served_here import served
from wire import ask, commit, commit_large, upload

DATA = bytes(range(256)) * 40
LARGE, SMALL = "/me/toy/resolve/main/w.bin", "/me/toy/resolve/main/small.txt"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with served(tmp_path_factory.mktemp("hub") / "hub", page=3) as hub:
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
        digest = upload(hub, "me/toy", DATA)
        assert commit_large(hub, "me/toy", "w.bin", digest)[0] == 200
        assert commit(hub, "me/toy", {"small.txt": b"0123456789", "empty": b""})[0] == 200
        yield hub


@pytest.mark.parametrize(
    ("asked", "status", "first", "stop"),
    [
        ("bytes=0-0", 206, 0, 1), ("bytes=5-", 206, 5, 10), ("bytes=-3", 206, 7, 10),
        ("bytes=2-99", 206, 2, 10), ("bytes=-99", 206, 0, 10), ("bytes=9-9", 206, 9, 10),
        ("bytes=0-1,3-4", 200, 0, 10), ("items=0-1", 200, 0, 10), ("bytes=x-1", 200, 0, 10),
        ("bytes=-", 200, 0, 10),
    ],
)  # fmt: skip
def test_a_range_of_a_file(hub, asked, status, first, stop):
    got, headers, body = ask(hub, "GET", SMALL, headers={"Range": asked})
    assert (got, body) == (status, b"0123456789"[first:stop])
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Range"] == (f"bytes {first}-{stop - 1}/10" if got == 206 else None)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=11-12", "bytes=5-4", "bytes=-0"])
def test_a_range_outside_a_file_is_refused(hub, asked):
    status, headers, _ = ask(hub, "GET", SMALL, headers={"Range": asked})
    assert (status, headers["Content-Range"]) == (416, "bytes */10")


def test_a_large_file_in_pieces_is_that_file(hub):
    pieces = [
        ask(hub, "GET", LARGE, headers={"Range": f"bytes={start}-{start + 999}"})[2]
        for start in range(0, len(DATA), 1000)
    ]
    assert b"".join(pieces) == DATA


def test_what_is_known_is_not_sent_and_what_changed_is_sent_whole(hub):
    for path, digest in ((LARGE, sha256(DATA).hexdigest()), (SMALL, None)):
        status, headers, _ = ask(hub, "HEAD", path)
        tag = headers["ETag"]
        assert (status, headers["X-Repo-Commit"] is None) == (200, False)
        assert digest is None or tag == headers["X-Linked-Etag"] == f'"{digest}"'
        for known in (tag, f'"x", W/{tag}'):
            status, _, body = ask(hub, "GET", path, headers={"If-None-Match": known})
            assert (status, body) == (304, b"")
        assert ask(hub, "GET", path, headers={"If-None-Match": '"x"'})[0] == 200
        for condition, status in ((tag, 206), ('"x"', 200), ("Mon, 01 Jan 2026 00:00:00 GMT", 200)):
            sent = {"Range": "bytes=1-2", "If-Range": condition}
            assert ask(hub, "GET", path, headers=sent)[0] == status


def test_a_missing_file_names_the_commit(hub):
    status, headers, _ = ask(hub, "GET", "/me/toy/resolve/main/none")
    assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert re.fullmatch("[0-9a-f]{40}", headers["X-Repo-Commit"])
    assert ask(hub, "GET", "/me/toy/resolve/main/empty")[2] == b""


def every(hub, path, token=None):
    """The rows of all pages, and how many pages there were."""
    rows, pages = [], 0
    while path:
        status, headers, said = ask(hub, "GET", path, token)
        assert status == 200, said
        part = json.loads(said)
        assert len(part) <= 3
        rows, pages = rows + part, pages + 1
        following = re.fullmatch(r'<([^>]+)>; rel="next"', headers.get("Link") or "")
        path = following[1].removeprefix(hub.url) if following else None
    return rows, pages


def test_lists_come_in_pages_and_are_whole(hub):
    for number in range(7):
        name = {"name": f"many-{number}"}
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", name)[0] == 200
        assert commit(hub, "me/many-0", {f"d/{number} ü.txt": b"x"})[0] == 200
    rows, pages = every(hub, "/api/models?search=many&author=me")
    assert ([row["id"] for row in rows], pages) == ([f"me/many-{each}" for each in range(7)], 3)
    rows, pages = every(hub, "/api/models/me/many-0/tree/main/d")
    assert ([row["path"] for row in rows], pages) == (
        [f"d/{number} ü.txt" for number in range(7)], 3
    )  # fmt: skip
    rows, pages = every(hub, "/api/models/me/many-0/commits/main")
    assert (len({row["id"] for row in rows}), pages) == (8, 3)
    assert rows[-1]["title"] == "initial commit"
    assert ask(hub, "GET", "/api/models?cursor=-1")[0] == 400
    assert ask(hub, "GET", f"/api/models/me/many-0/commits/main?cursor={'0' * 40}")[0] == 404


def test_what_is_ones_own_is_listed_with_what_it_takes(hub):
    for name, private in (("large", True), ("small", False)):
        body = {"name": name, "type": "dataset", "private": private}
        assert ask(hub, "POST", "/api/repos/create", "hf_writer", body)[0] == 200
    rows, _ = every(hub, "/api/settings/repositories", "hf_writer")
    assert (rows[0]["id"], rows[0]["type"]) == ("me/toy", "model")
    assert rows[0]["storage"] >= len(DATA)
    assert sum(row["storagePercent"] for row in rows) == pytest.approx(100, abs=0.1)
    told = {row["id"]: (row["type"], row["visibility"]) for row in rows}
    assert told["me/large"] == ("dataset", "private")
    assert told["me/small"] == ("dataset", "public")
    assert ask(hub, "GET", "/api/settings/repositories")[0] == 401
    other = "/api/organizations/theirs/settings/repositories"
    assert ask(hub, "GET", other, "hf_writer")[0] == 403
