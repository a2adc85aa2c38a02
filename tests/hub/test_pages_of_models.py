"""The pages that a browser shows, in a real one; what a stranger's card may do there: nothing."""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from wire import ask, commit, commit_large, upload

from zoo.gallery.markup import Markup
from zoo.hub import embedded
from zoo.hub.server.numbers import metrics_of
from zoo.hub.server.written import body_of, written

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import browser

FILES = "/me/toy/resolve/c0ffee/"


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
     "[x](JAVA&#x53;CRIPT:alert(1))", "![x](javascript:alert(1))", "<javascript:alert(1)>",
     "[x](data:text/html;base64,PHN2Zz4=)", "[x](vbscript:x)", '[x](y "onmouseover=alert(1)")',
     "`<b>`", "![](https://evil.example/pixel.png)", "![](//evil.example/pixel.png)",
     "[x](../../../api/whoami-v2)", "| a |\n|:-:|\n| <i> |", "&lt;script&gt;", "![a\"b](x.png)"],
)  # fmt: skip
def test_a_card_can_do_nothing(text):
    page = written(text, FILES)
    tags = re.findall(r"<(/?[a-zA-Z]+)", page)
    assert not {"script", "i", "b"} & {each.lower() for each in tags}
    assert not re.search(r"<[^>]+\son\w+\s*=\s*[^\"]", page)
    for source in re.findall(r'src="([^"]*)"', page):
        assert source == "" or source.startswith(FILES)
    for target in re.findall(r'href="([^"]*)"', page):
        assert target == "#" or target.startswith((FILES, "http://", "https://"))


def test_a_card_is_rendered():
    text = "---\na: b\n---\n# Head\n\n![sheet](./a%20b.png)\n\n| n | m |\n|---|---:|\n| 1 | 2 |\n"
    page = written(body_of(text), FILES)
    assert "<h1>Head</h1>" in page
    assert f'<img src="{FILES}a%20b.png" alt="sheet"' in page
    assert '<td class="right">2</td>' in page
    assert isinstance(written("x" * 300_000, FILES), Markup)
    assert "&lt;b&gt;" in written("<b>" + "x" * 300_000, FILES)


def test_metrics_of_our_cards_and_of_others():
    ours = {"zoo": {"metrics": [{"name": "PSNR", "value": 23.2134, "unit": "dB", "se": 0.13,
                                 "data": "icons"}, 5]}}  # fmt: skip
    assert metrics_of(ours) == [("PSNR", "23.213 ± 0.13 dB", "icons")]
    other = {"model-index": [{"results": [{"dataset": {"name": "ImageNet"}, "metrics": [
        {"type": "accuracy", "value": "n/a"}]}, None]}]}  # fmt: skip
    assert metrics_of(other) == [("accuracy", "n/a", "ImageNet")]
    for odd in ({}, {"zoo": 1}, {"zoo": {"metrics": "x"}}, {"model-index": [[1], {"results": 2}]}):
        assert metrics_of(odd) == []


@pytest.fixture(scope="module")
def hub(shared_hub):
    assert ask(shared_hub, "POST", "/api/repos/create", "hf_writer", {"name": "vqgan"})[0] == 200
    folder = embedded.root() / "vqgan-f16"
    files = {"README.md": (folder / "README.md").read_bytes()}
    assert commit(shared_hub, "me/vqgan", files)[0] == 200
    for name in ("sheet.png", "codecs.png"):
        digest = upload(shared_hub, "me/vqgan", (folder / name).read_bytes())
        assert commit_large(shared_hub, "me/vqgan", name, digest)[0] == 200
    path = "/api/models/me/vqgan/tag/main"
    assert ask(shared_hub, "POST", path, "hf_writer", {"tag": "1.1.0"})[0] == 200
    assert commit(shared_hub, "me/vqgan", {"late.txt": b"late"})[0] == 200
    return shared_hub


def test_a_repository_in_chromium(hub):
    with browser() as window:
        window.open(hub.url)
        assert window.run("return document.querySelector('ul.models a').textContent") == "me/vqgan"
        window.run("document.querySelector('ul.models a').click()")
        assert urlsplit(window.run("return location.href")).path == "/me/vqgan"
        assert window.run("return document.querySelector('#card h1').textContent") == "vqgan-f16"
        assert window.run("return document.querySelectorAll('#card table tr').length") > 3
        rows = window.run("return document.querySelector('#metrics table').innerText")
        assert "23.213 ± 0.13 dB" in rows
        assert window.run(
            "const image = document.querySelector('#samples img'); image.loading = 'eager';"
            "return image.decode().then(() => image.naturalWidth)"
        ) > 100  # fmt: skip
        assert "late.txt" in window.run("return document.querySelector('#files').innerText")
        window.run("[...document.querySelectorAll('#versions a')][0].click()")
        assert window.run("return location.pathname").endswith("/tree/1.1.0")
        assert "late.txt" not in window.run("return document.querySelector('#files').innerText")
        assert window.run("return document.querySelector('[aria-current]').textContent") == "1.1.0"
        assert window.complaints() == []


def test_a_page_needs_what_the_repository_needs(hub):
    secret = {"name": "hidden", "private": True}
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", secret)[0] == 200
    for page in ("", "/tree/main", "/commit/main", "/blob/main/.gitattributes"):
        status, headers, _ = ask(hub, "GET", f"/me/hidden{page}")
        assert (status, headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")
        assert ask(hub, "GET", f"/me/hidden{page}", "hf_other")[0] == 404
        assert ask(hub, "GET", f"/me/hidden{page}", "hf_reader")[0] in (200, 307)
    assert ask(hub, "GET", "/login")[0] == 401
    assert ask(hub, "GET", "/login", "hf_reader")[0] == 303


def test_the_front_page_is_searched(hub):
    assert b"me/vqgan" in ask(hub, "GET", "/?search=vqgan+tokenizer")[2]
    status, _, page = ask(hub, "GET", "/?search=%22%3E%3Cscript%3E")
    assert (status, b"<script" in page, b"No repository" in page) == (200, False, True)
