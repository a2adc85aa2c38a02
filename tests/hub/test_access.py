"""Who may do what, route by route, asked of the server as bytes."""

import json
import re
from hashlib import sha256

import pytest
from wire import ask, commit, commit_large, upload

from zoo.hub.server.app import ROUTES

CHANGING = [route for route in ROUTES if route.method not in ("GET", "HEAD")]
FREE = {"api/validate-yaml"}  # takes a text, changes nothing


@pytest.fixture(scope="module")
def hub(shared_hub):
    for name, private in (("open", False), ("secret", True)):
        body = {"name": name, "private": private}
        assert ask(shared_hub, "POST", "/api/repos/create", "hf_writer", body)[0] == 200
        assert commit(shared_hub, f"me/{name}", {"a.txt": b"a"})[0] == 200
    return shared_hub


def state(hub):
    """Every byte of the folder, but what is written and taken back at once."""
    return {
        str(path.relative_to(hub.folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(hub.folder.rglob("*"))
        if path.is_file()
    }


def address(route, name):
    words = {"kind": "models", "org": "me", "name": name, "rev": "main", "branch": "main",
             "tag": "v1", "number": "1", "hash": "0" * 64, "cas": "_cas-1-2", "event": "0",
             "address": "e30.00"}  # fmt: skip
    path = re.sub(r"\{(\w+)\}", lambda match: words[match[1]], route.pattern)
    return "/" + re.sub(r"\{\*\w+\}", "a.txt", path)


def body_of(route, name):
    return {"name": name, "organization": "me", "fromRepo": f"me/{name}", "toRepo": f"me/{name}2",
            "tag": "v2", "private": True, "visibility": "private", "operation": "upload",
            "objects": [{"oid": "0" * 64, "size": 1}], "files": [], "oid": "0" * 64,
            "size": 1}  # fmt: skip


@pytest.mark.parametrize("token", [None, "hf_reader", "hf_other", "hf_forged"])
@pytest.mark.parametrize("name", ["open", "secret"])
def test_nobody_else_can_change_anything(hub, token, name):
    before = state(hub)
    for route in CHANGING:
        if route.pattern in FREE or route.access == "read":
            continue
        for fields in (body_of(route, name), {}):
            status, _, said = ask(hub, route.method, address(route, name), token, fields)
            assert status in (400, 401, 403, 404), (route, status, said)
            if fields and route.access == "write":
                assert status in (401, 403, 404), (route, status, said)
    assert state(hub) == before


@pytest.mark.parametrize("token", [None, "hf_other", "hf_forged"])
def test_a_private_repository_cannot_be_told_from_none(hub, token):
    for route in ROUTES:
        if route.access not in ("read", "write"):
            continue
        answers = []
        for name in ("secret", "absent"):
            status, headers, said = ask(hub, route.method, address(route, name), token, {})
            assert status in (401, 404), (route, status)
            answers.append((status, headers.get("X-Error-Code"), said.replace(name.encode(), b"")))
        assert answers[0] == answers[1], route


def test_every_changing_route_is_guarded():
    for route in CHANGING:
        guarded = route.access in ("user", "write", "link") or route.pattern in FREE
        assert guarded or route.pattern.endswith("paths-info/{rev}"), route


def test_private_repositories_are_not_listed(hub):
    for path in ("/api/models", "/"):
        assert b"secret" not in ask(hub, "GET", path)[2]
        assert b"secret" in ask(hub, "GET", path, "hf_reader")[2]


def test_the_sha256_of_a_private_file_opens_nothing(hub):
    digest = upload(hub, "me/secret", b"private weights")
    assert commit_large(hub, "me/secret", "w.safetensors", digest)[0] == 200
    assert ask(hub, "POST", "/api/repos/create", "hf_other", {"name": "thief"})[0] in (200, 409)
    status, said = commit_large(hub, "you/thief", "w.safetensors", digest, "hf_other")
    assert (status, "not uploaded to this repository" in said["error"]) == (400, True)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 15\n"
    status, said = commit(hub, "you/thief", {"w": pointer.encode()}, "hf_other")
    assert (status, "pointer" in said["error"]) == (400, True)


def test_an_upload_address_takes_what_it_was_made_for_alone(hub):
    asked = {"oid": sha256(b"right").hexdigest(), "size": 5}
    body = {"operation": "upload", "objects": [asked]}
    batch = ask(hub, "POST", "/me/open.git/info/lfs/objects/batch", "hf_writer", body)[2]
    href = json.loads(batch)["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.url)
    before = state(hub)
    assert ask(hub, "PUT", href, body=b"wrong")[0] == 422
    assert ask(hub, "PUT", href, body=b"right and more")[0] == 413
    assert ask(hub, "PUT", href[:-1] + ("0" if href[-1] != "0" else "1"), body=b"right")[0] == 403
    assert ask(hub, "PUT", href.replace("whole", "part/1"), body=b"right")[0] == 403
    assert state(hub) == before
    assert ask(hub, "PUT", href, body=b"right")[0] == 200


def test_no_token_is_logged_or_kept(hub):
    text = hub.folder.with_name("hub.log").read_text() + "".join(
        path.read_text("latin-1") for path in hub.folder.glob("*.json")
    )
    assert "hf_writer" not in text


def test_an_address_for_all_needs_a_token(tmp_path):
    from zoo.errors import HubError
    from zoo.hub.server.running import serve

    with pytest.raises(HubError, match=r"0\.0\.0\.0 is reachable.*zoo hub token"):
        serve(tmp_path / "hub", host="0.0.0.0")
    with pytest.raises(HubError, match=r"holds something that is no hub"):
        serve(tmp_path)
