"""Names to models on this machine: folders and versions. Hubs: tests/sharing."""

from dataclasses import replace
from hashlib import sha256

import pytest

import zoo
from zoo import hub
from zoo.card import Card, File
from zoo.errors import CardError, UnknownModel, UnknownVersion, WeightsError

CARD = Card(
    name="toy",
    family="pixelgauss",
    version="1.0.0",
    license="mit",
    pipeline_tag="text-to-image",
    config={},
    image=(3, 8, 8),
)
DATA = b"steps = 3\n"


def write(root, folder=None, **changes):
    """A model's folder with one file that is no weights."""
    files = {"recipe.toml": File(sha256(DATA).hexdigest(), len(DATA))}
    card = replace(CARD, **{"files": files, **changes})
    where = root / (folder or card.title)
    where.mkdir(parents=True)
    (where / "recipe.toml").write_bytes(DATA)
    (where / "README.md").write_text(card.text())
    return where


@pytest.fixture
def zoo_path(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "mine"))
    monkeypatch.setattr("zoo.hub.embedded.root", lambda: None)
    return tmp_path / "mine"


def test_a_model_is_found_by_name_and_version(zoo_path):
    old, new = write(zoo_path), write(zoo_path, version="1.10.0")
    write(zoo_path, version="2.0.0-rc.1")
    assert hub.resolve("toy").folder == new
    assert hub.resolve("toy@1.0.0").folder == hub.resolve("toy", "1.0.0").folder == old
    assert hub.resolve("toy", "2.0.0-rc.1").card.version == "2.0.0-rc.1"


def test_zoo_path_goes_before_the_store(zoo_path):
    write(hub.models())
    assert hub.resolve("toy").source == "store"
    mine = write(zoo_path)
    assert hub.resolve("toy") == hub.Found(Card.read(mine), mine, "ZOO_PATH")


def test_an_unknown_name_is_told_the_nearest(zoo_path):
    write(zoo_path, name="vqgan-f16")
    with pytest.raises(UnknownModel, match=r"'vqgan-f8'.*mean 'vqgan-f16'.*Known here: vqgan-f16"):
        zoo.load("vqgan-f8")


def test_an_unknown_version_is_told_which_exist(zoo_path):
    write(zoo_path)
    write(zoo_path, version="1.1.0")
    with pytest.raises(UnknownVersion, match=r"'1\.2\.0'.*Versions here: 1\.0\.0, 1\.1\.0"):
        zoo.load("toy@1.2.0")
    with pytest.raises(UnknownVersion, match=r"two versions"):
        zoo.load("toy@1.0.0", "1.1.0")


def test_a_broken_card_hides_no_other_and_is_told(zoo_path):
    write(zoo_path)
    (zoo_path / "torn").mkdir()
    (zoo_path / "torn" / "README.md").write_text("---\nzoo: {schema: 1}\n---\n")
    assert hub.resolve("toy").card.name == "toy"
    with pytest.warns(UserWarning, match=r"A model was left out: .*torn.README\.md"):
        assert zoo.list() == ["toy"]
    with pytest.raises(UnknownModel, match=r"Unreadable: .*torn.README\.md"):
        hub.resolve("torn")


def test_the_list_is_filtered(zoo_path):
    write(zoo_path)
    write(zoo_path, version="1.1.0")
    write(zoo_path, name="vae", family="vae", license="apache-2.0", pipeline_tag=None)
    assert zoo.list() == ["toy", "vae"]
    assert zoo.list("t*") == zoo.list(family="pixel*") == zoo.list(license="mit") == ["toy"]
    assert zoo.list(task="text-to-image") == ["toy"]
    assert zoo.list(max_bytes=len(DATA)) == ["toy", "vae"]
    assert zoo.list(max_bytes=len(DATA) - 1) == zoo.list("no*") == []


def test_a_folder_is_a_model(tmp_path):
    folder = write(tmp_path)
    assert zoo.show(folder) == zoo.show(str(folder)) == Card.read(folder)
    with pytest.raises(UnknownModel, match=r"toy@1\.0\.1 does not exist\. Did you mean 'toy@1\.0"):
        zoo.show(tmp_path / "toy@1.0.1")


def test_a_folder_with_a_broken_card_is_no_strangers_checkpoint(tmp_path):
    folder = write(tmp_path)
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("version:", "verison:"))
    assert not hub.is_foreign(folder)
    with pytest.raises(CardError, match=r"verison is no key"):
        zoo.load(folder)
    (folder / "README.md").write_text("# A stranger's model\n")
    assert hub.is_foreign(folder)
    assert not hub.is_foreign("toy")
    assert not hub.is_foreign("hf:toy/toy")


def test_verify_reads_every_file_again(tmp_path):
    folder = write(tmp_path)
    assert zoo.verify(folder) == [folder / "recipe.toml"]
    (folder / "recipe.toml").write_bytes(DATA[::-1])
    with pytest.raises(WeightsError, match=r"recipe\.toml: its sha256 is"):
        zoo.verify(folder)
