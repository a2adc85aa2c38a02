"""The server's reading of .gitignore beside git's own."""

import subprocess
import time

import pytest
from wire import ask, commit

from zoo.hub.server.ignored import ignoring

RULES = ["*.log", "!keep.log", "/top", "build/", "a/**/z", "**/deep", "doc/*.txt", "x?y", "[ab].c",
         "[!ab].d", "# note", "", "sp\\ ace", "q/**", "!q/in", "(a|b)+", "nested/*"]  # fmt: skip
PATHS = ["x.log", "keep.log", "sub/x.log", "top", "sub/top", "build/o", "sub/build/o", "build", "a/z",
         "a/b/z", "a/b/c/z", "z", "deep", "u/deep/v", "doc/a.txt", "doc/b/a.txt", "xay", "x/y", "a.c",
         "c.c", "c.d", "a.d", "note", "q/in", "q/out", "(a|b)+", "ab", "nested/file", "nestedfile"]  # fmt: skip


@pytest.mark.parametrize("rule", [*RULES, "\n".join(RULES)], ids=[*RULES, "all"])
def test_as_git_reads_it(tmp_path, rule):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(rule + "\n")
    asked = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"],
        input="\n".join(PATHS), capture_output=True, text=True,
    )  # fmt: skip
    left_out = ignoring(rule)
    assert [path for path in PATHS if left_out(path)] == asked.stdout.split("\n")[:-1]


def test_the_client_is_told(shared_hub):
    assert ask(shared_hub, "POST", "/api/repos/create", "hf_writer", {"name": "dull"})[0] == 200
    assert commit(shared_hub, "me/dull", {".gitignore": b"nested/*\n"})[0] == 200
    row = {"path": "nested/a", "size": 1, "sample": ""}
    for rules, ignored in (({}, b"true"), ({"gitIgnore": ""}, b"false")):
        body = {"files": [row], **rules}
        said = ask(shared_hub, "POST", "/api/models/ME/Dull/preupload/main", "hf_writer", body)
        assert b'"shouldIgnore":' + ignored in said[2], said


def test_patterns_made_to_be_slow_are_not():
    left_out = ignoring("\n".join(["*a" * 100 + "b", "/".join(["**", "a*"] * 15) + "/b"] * 20))
    begun = time.process_time()
    assert not left_out("/".join(["a" * 200] * 20))
    assert time.process_time() - begun < 5
