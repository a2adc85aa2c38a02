"""Pull requests: proposed, talked about, merged file by file."""

import json

import pytest
from wire import ask, commit


@pytest.fixture
def repo(shared_hub, request):
    name = f"pr-{abs(hash(request.node.name))}"
    assert ask(shared_hub, "POST", "/api/repos/create", "hf_writer", {"name": name})[0] == 200
    assert commit(shared_hub, f"me/{name}", {"a.txt": b"a", "b.txt": b"b"})[0] == 200
    return f"me/{name}"


def talk(hub, repo, path, body=None, token="hf_writer"):
    method = "GET" if body is None else "POST"
    status, _, said = ask(hub, method, f"/api/models/{repo}/discussions{path}", token, body)
    return status, json.loads(said)


def propose(hub, repo, files):
    return commit(hub, repo, files, revision="main?create_pr=1")[1]["pullRequestUrl"].split("/")[-1]


def content(hub, repo, path):
    return ask(hub, "GET", f"/{repo}/resolve/main/{path}")[2]


def test_a_proposal_is_merged_over_what_main_did_elsewhere(shared_hub, repo):
    number = propose(shared_hub, repo, {"a.txt": b"better", "new.txt": b"new"})
    assert commit(shared_hub, repo, {"b.txt": b"changed"})[0] == 200
    assert talk(shared_hub, repo, f"/{number}/merge", {}, "hf_reader")[0] == 403
    assert talk(shared_hub, repo, f"/{number}/merge", {})[0] == 200
    assert [content(shared_hub, repo, f"{name}.txt") for name in ("a", "b", "new")] == [
        b"better", b"changed", b"new"
    ]  # fmt: skip
    status, facts = talk(shared_hub, repo, f"/{number}")
    assert (status, facts["status"], facts["isPullRequest"]) == (200, "merged", True)
    assert facts["changes"]["mergeCommitId"]
    assert talk(shared_hub, repo, f"/{number}/merge", {})[0] == 409


def test_a_proposal_that_main_contradicts_is_refused(shared_hub, repo):
    number = propose(shared_hub, repo, {"a.txt": b"theirs"})
    assert commit(shared_hub, repo, {"a.txt": b"ours"})[0] == 200
    status, said = talk(shared_hub, repo, f"/{number}/merge", {})
    assert (status, "a.txt" in said["error"]) == (409, True)
    assert content(shared_hub, repo, "a.txt") == b"ours"
    clashing = propose(shared_hub, repo, {"c.txt": b"1"})
    assert commit(shared_hub, repo, {"C.txt": b"2"})[0] == 200
    assert talk(shared_hub, repo, f"/{clashing}/merge", {})[0] == 409


def test_what_was_said_is_kept_and_changed_by_its_author_alone(shared_hub, repo):
    first = talk(shared_hub, repo, "", {"title": " On it ", "description": "why?"})[1]["num"]
    proposal = propose(shared_hub, repo, {"a.txt": b"2"})
    assert int(proposal) == first + 1
    said = talk(shared_hub, repo, f"/{first}/comment", {"comment": "<b>because</b>"})[1]
    edit = f"/{first}/comment/{said['newMessage']['id']}/edit"
    assert talk(shared_hub, repo, edit, {"content": "so"})[0] == 200
    assert talk(shared_hub, repo, edit, {"content": "no"}, "hf_other")[0] == 403
    assert talk(shared_hub, repo, f"/{first}/status", {"status": "closed"})[0] == 200
    assert talk(shared_hub, repo, f"/{first}/merge", {})[0] == 409
    events = talk(shared_hub, repo, f"/{first}")[1]["events"]
    assert [each["type"] for each in events] == ["comment", "comment", "status-change"]
    assert events[1]["data"]["latest"]["raw"] == "so"
    for query, numbers in (("?status=open", [first + 1]), ("?type=discussion", [first]),
                           ("?author=nobody", []), ("", [first + 1, first])):  # fmt: skip
        found = talk(shared_hub, repo, query)[1]["discussions"]
        assert [each["num"] for each in found] == numbers, query
    for path in ("/0", "/x", "/..%2f..%2fzoo", "/999999999"):
        assert talk(shared_hub, repo, path)[0] == 404
    assert talk(shared_hub, repo, "", {"title": " "})[0] == 400
    assert talk(shared_hub, repo, f"/{first}/comment", {"comment": "x" * 70_000})[0] == 413
