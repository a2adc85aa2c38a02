"""File names: those that mean one file inside a folder everywhere, and no other.

ZOO_HUB_EXAMPLES=20000 pytest tests/hub/test_paths.py
"""

import os
from pathlib import PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wire import ask, commit

from zoo.hub.paths import clash, folded, name_problem, path_problem, ref_problem

EXAMPLES = int(os.environ.get("ZOO_HUB_EXAMPLES", "60"))
PIECES = st.sampled_from(
    ["a", "b.txt", ".", "..", "...", "", "\\", "C:", "con", "NUL.txt", "LPT1", ".git", "GIT~1",
     ".cache", "huggingface", " ", "a ", "a.", "\0", "\n", "\u202e", "é", "e\u0301", "A", "ﬁ", "~",
     "$HOME", "%2e%2e", "..%2f", "%00", "x" * 256, "?", "*", "refs", "//host", "model.safetensors"]
)  # fmt: skip
PATHS = st.lists(PIECES, min_size=1, max_size=6).map("/".join) | st.text(max_size=40)


@settings(max_examples=EXAMPLES, deadline=None)
@given(PATHS)
@example("../x")
@example("\ud800")
def test_what_is_let_through_stays_inside(path):
    if path_problem(path) is not None:
        return
    joined = f"/root/folder/{path}"
    assert os.path.normpath(joined) == joined
    windows = PureWindowsPath(path)
    assert not windows.drive
    assert not windows.root
    assert not windows.is_reserved() if hasattr(windows, "is_reserved") else True
    assert "\\" not in path
    assert path.isprintable() or not any(ord(letter) < 32 for letter in path)
    assert path_problem(path.encode().decode()) is None


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "C:/x", "C:x", "\\\\host\\share",
     "a\\b", "a\0b", "a\nb", "con", "CON.txt", "aux/b", "com1.safetensors", ".git/config",
     "x/.GIT/hooks", "git~1", ".cache/huggingface/x", "a.", "a ", " a", "a/b /c", "a\u200bb",
     "x" * 256, "é" * 128, "/".join("a" * 40), "a:b", "a?", "\u202egpj.exe"],
)  # fmt: skip
def test_refused(path):
    assert path_problem(path)


@pytest.mark.parametrize(
    "path", ["README.md", ".gitattributes", "a/b/c.txt", "übung.png", "a b.txt", "x" * 255, "...a"]
)
def test_allowed(path):
    assert path_problem(path) is None


def test_names_that_some_system_takes_for_one():
    assert clash(["a/B.txt", "a/b.txt"])
    assert clash(["é", "e\u0301"])
    assert clash(["A/x", "a/y"]) == ("A/x", "a/y")
    assert clash(["a", "a/b"])
    assert clash(["a", "b", "c/a", "c/b"]) is None
    assert folded("ﬁ.TXT") == "fi.txt"


def test_names_of_repositories_and_refs():
    assert name_problem("vqgan-f16.1_a") is None
    for name in ("", "..", "a..b", "-a", "a/b", "api", "models", "con", "x" * 97, "a.git", "ä"):
        assert name_problem(name), name
    assert ref_problem("feature/x-1.0") is None
    for name in ("refs/x", "a..b", "a.lock", "HEAD", "../x", "a b", "deadbeef", "-x", "a@{0}"):
        assert ref_problem(name), name


@pytest.fixture(scope="module")
def hub(shared_hub):
    assert ask(shared_hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    return shared_hub


@settings(max_examples=max(10, EXAMPLES // 5), deadline=None)
@given(path=PATHS)
@example(path="")
@example(path="a\rb")
def test_the_server_commits_safe_names_alone_and_reads_nothing_outside(hub, path):
    status, said = commit(hub, "me/toy", {path.encode("utf-8", "replace").decode(): b"x"})
    problem = path_problem(path.encode("utf-8", "replace").decode())
    assert status in ((422,) if problem else (200, 400)), (path, said)
    from urllib.parse import quote

    raw = quote(path.encode("utf-8", "replace"), safe="/")
    for where in (f"/me/toy/resolve/main/{raw}", f"/me/toy/resolve/{raw}/a",
                  f"/api/models/me/toy/tree/main/{raw}", f"/api/models/me/{raw}",
                  f"/api/models/me/toy/revision/{quote(raw, safe='')}"):  # fmt: skip
        status, _, body = ask(hub, "GET", where)
        assert status < 500, (where, body)
        assert b"store" not in body or b'"layout"' not in body


@pytest.mark.parametrize(
    "path",
    ["/me/toy/resolve/..%2f..%2fzoo.json/x", "/me/toy/resolve/refs%2F..%2Fzoo.json/x",
     "/me/toy/resolve/main/..%2f..%2f..%2fhub.json", "/..%2f..%2fhub.json", "/../hub.json",
     "/api/models/..%2f..%2f/hub.json", "/me/toy/resolve/main/%ff", "/%2e%2e/%2e%2e/tokens.json",
     "/api/models/me/toy/branch/..%2f..%2fHEAD", "/_cas-x-y/v1/xorbs/default/..%2f..%2fsecret"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_known_ways_out(hub, method, path):
    status, _, body = ask(hub, method, path, "hf_writer", {})
    assert 400 <= status < 500, body
    assert b"layout" not in body
