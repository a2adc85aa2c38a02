"""Bytes to a server and back, without any client's kindness."""

import http.client
import json
from urllib.parse import urlsplit


def ask(hub, method, path, token=None, body=None, headers=None):
    """Status, headers and body of one request; a dict goes as JSON, the path as it is."""
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=20)
    sent = dict(headers or {})
    if token:
        sent["Authorization"] = f"Bearer {token}"
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def commit(hub, repo, files, token="hf_writer", revision="main", **header):
    """Commit {path: bytes} as regular files; status and JSON."""
    import base64

    lines = [{"key": "header", "value": {"summary": "test", **header}}]
    for path, data in files.items():
        value = {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    body = "\n".join(json.dumps(line) for line in lines).encode()
    status, _, said = ask(hub, "POST", f"/api/models/{repo}/commit/{revision}", token, body)
    return status, json.loads(said)


def upload(hub, repo, data, token="hf_writer"):
    """Send bytes by LFS basic; the sha256."""
    from hashlib import sha256

    asked = {"oid": sha256(data).hexdigest(), "size": len(data)}
    body = {"operation": "upload", "transfers": ["basic"], "objects": [asked]}
    status, _, said = ask(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", token, body)
    assert status == 200, said
    row = json.loads(said)["objects"][0]
    if "actions" in row:
        path = row["actions"]["upload"]["href"].removeprefix(hub.url)
        status, _, said = ask(hub, "PUT", path, body=data)
        assert status == 200, said
    return asked["oid"]


def commit_large(hub, repo, path, digest, token="hf_writer", **header):
    """Commit a file that was uploaded; status and JSON."""
    lines = [
        {"key": "header", "value": {"summary": "large", **header}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": digest}},
    ]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    status, _, said = ask(hub, "POST", f"/api/models/{repo}/commit/main", token, body)
    return status, json.loads(said)
