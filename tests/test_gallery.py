"""The gallery: what stands on the page, that no card can break out of it, and that it works in a real browser."""

import shutil
from html.parser import HTMLParser

import pytest
from browser import browser

import zoo
from zoo import hub
from zoo.card import Card, File, Metric
from zoo.errors import UnknownModel
from zoo.gallery import gallery
from zoo.gallery.markup import VOID
from zoo.saving import described

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"


class Page(HTMLParser):
    """Elements with their attributes; fails at an element that is closed by another."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def page(written):
    return Page(written)


def test_every_model_is_there_with_its_picture_and_all_its_numbers(page):
    cards = [each.card for each in hub.cards()]
    assert [each["id"] for each in page.all("article")] == [card.name for card in cards]
    pictures = [card for card in cards if any(name.endswith(".png") for name in card.files)]
    assert len(page.all("img")) == len(pictures) > 5
    assert all(each["alt"] and each["width"] and each["height"] for each in page.all("img"))
    for card in cards:
        assert f'zoo.load("{card.title}")' in page.text
    assert len(page.all("tr")) == sum(len(card.metrics) for card in cards)


def test_plots_are_of_what_several_models_have(page):
    shared = {}
    for each in hub.cards():
        for metric in each.card.metrics:
            key = (metric.name, metric.data, metric.unit)
            shared.setdefault(key, set()).add(each.card.name)
    several = [names for names in shared.values() if len(names) > 1]
    assert len(page.all("figure")) == len(several)
    assert len(page.all("rect")) == sum(map(len, several))


def test_it_asks_the_network_for_nothing(page):
    for tag, attributes in page.elements:
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("data:image/webp;base64,", "#")), tag
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    [policy] = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none';")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder of one model whose card tries everything, with a picture that is none."""
    folder = tmp_path / "models" / "hostile"
    folder.mkdir(parents=True)
    (folder / "sheet.png").write_text("no picture")
    card = Card(
        name="hostile", family=EVIL, version="1.0.0", license=EVIL, config={}, image=(1, 8, 8),
        pipeline_tag=EVIL, tags=(EVIL,), body=f"\n# {EVIL}\n\n{EVIL} ![x]({EVIL})\n",
        metrics=(Metric(EVIL, 1.0, EVIL, EVIL, unit=EVIL),),
        files={"sheet.png": described(folder / "sheet.png")},
    )  # fmt: skip
    (folder / "README.md").write_text(card.text())
    monkeypatch.setenv("ZOO_PATH", str(folder.parent))
    return folder


def test_what_a_card_says_stays_text(hostile, tmp_path):
    with pytest.warns(UserWarning, match=r"hostile@1\.0\.0: sheet\.png cannot be shown"):
        page = Page(gallery(tmp_path / "one.html", ["hostile"]))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.text.count("<script>alert(1)</script>") >= 5
    assert not any(name.startswith("on") for _, each in page.elements for name in each)


def test_a_page_of_nothing_is_refused(tmp_path):
    with pytest.raises(UnknownModel, match="No model matches nonesuch"):
        gallery(tmp_path, ["nonesuch"])
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_gone_is_told(tmp_path, monkeypatch):
    shutil.copytree(hub.resolve("vae-mnist").folder, tmp_path / "models" / "vae-mnist")
    (tmp_path / "models" / "vae-mnist" / "sheet.png").unlink()
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "models"))
    with pytest.warns(UserWarning, match="vae-mnist@.*: sheet.png cannot be shown: .*No such file"):
        gallery(tmp_path, ["vae-mnist"])
    assert isinstance(zoo.show("vae-mnist").files["sheet.png"], File)


SHOWN = (
    "return [...document.querySelectorAll('article')].filter(e => e.offsetParent).map(e => e.id)"
)
FOCUS = "return document.activeElement.id || document.activeElement.textContent"
CONTRAST = """
const light = color => {
  const [r, g, b] = color.match(/[0-9.]+/g).map(Number)
    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = e => {
  for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (!color.startsWith("rgba(0, 0, 0, 0")) return color;
  }
};
const least = {};
for (const e of document.querySelectorAll("h1, h2 a, small, p, dt, dd, th, td, summary, code, label, button, output")) {
  const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  least[e.tagName] = Math.min(ratio, least[e.tagName] || 99);
}
return least;
"""


@pytest.fixture(scope="module")
def window():
    with browser() as opened:
        yield opened


def test_it_works_in_a_browser_by_keyboard_alone(written, window):
    names = [each.card.name for each in hub.cards()]
    window.open(written.as_uri())
    assert window.run(SHOWN) == names
    window.type("tab")
    assert window.run(FOCUS) == "To the models"
    window.type("/")
    assert window.run(FOCUS) == "text"
    window.type("mnist exact")
    assert window.run(SHOWN) == ["pixelcnn-mnist"]
    assert window.run("return document.getElementById('count').textContent").startswith("1 of ")
    window.type("escape")
    assert window.run("return location.hash") == ""
    assert window.run(SHOWN) == names
    window.type("tab")
    assert window.run(FOCUS) == "family"
    window.type("vq")
    assert window.run(SHOWN) == sorted(hub.names(family="vq"))
    assert window.run("return location.hash") == "#?family=vq"
    off = window.run(
        "return [...document.querySelectorAll('figure')].filter(e => e.offsetParent).length"
    )
    assert 0 < off < window.run("return document.querySelectorAll('figure').length")
    window.open("about:blank")
    window.open(f"{written.as_uri()}#?family=pixel&size=1")
    small = hub.names(family="pixel", max_bytes=1_000_000)
    assert window.run(SHOWN) == small
    assert small
    scroll = "document.querySelectorAll('img').forEach(e => { e.loading = 'eager' })"
    window.run(scroll)
    decoded = "return Promise.all([...document.images].map(e => e.decode())).then(() => true)"
    assert window.run(decoded) is True
    assert window.run("return performance.getEntriesByType('resource').map(e => e.name)"
                      ".filter(e => !e.startsWith('data:'))") == []  # fmt: skip
    assert window.complaints() == []


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_can_be_read_by_day_and_by_night(written, window, scheme, dark):
    window.prefer(scheme)
    window.open(written.as_uri())
    ground = window.run("return getComputedStyle(document.body).backgroundColor")
    assert (int(ground.removeprefix("rgb(").split(",")[0]) < 128) is dark
    assert min(window.run(CONTRAST).values()) >= 4.5  # WCAG 2.2, 1.4.3
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert window.run(wide)


def test_nothing_of_a_hostile_card_runs(hostile, tmp_path, window):
    with pytest.warns(UserWarning, match="cannot be shown"):
        path = gallery(tmp_path / "one.html", ["hostile"])
    window.open(path.as_uri())
    assert window.run(SHOWN) == ["hostile"]
    assert window.run("return document.scripts.length") == 1
    assert window.complaints() == []
