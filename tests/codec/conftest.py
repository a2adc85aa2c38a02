"""Models of both kinds, saved and loaded as a stranger's are."""

from pathlib import Path

import pytest
import torch
from coded_pictures import CHAIN

HERE = Path(__file__).parent


@pytest.fixture
def family(tmp_path, monkeypatch):
    """The family `coded`, found as a stranger's is: through a distribution on the path."""
    facts = tmp_path / "site" / "zoo_coded-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-coded\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[zoo.families]\ncoded = coded_family\n")
    monkeypatch.syspath_prepend(str(facts.parent))
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "models"))
    from zoo import plugins

    plugins.family.cache_clear()
    yield tmp_path
    plugins.family.cache_clear()


@pytest.fixture
def make(family):
    """A model of a config, saved in a folder of ZOO_PATH and loaded by name."""
    import zoo
    from zoo import plugins
    from zoo.card import Card, Density
    from zoo.model import Model, build

    def made(config, name="chain", seed=0, spread=1.0):
        hooks = plugins.family("coded")
        over = "8-bit pixels" if config["levels"] == 256 else "binary pixels"
        kind = "lower bound" if "latents" in config else "exact"
        card = Card(
            name=name, family="coded", version="1.0.0", config=config, image=tuple(config["image"]),
            license="mit", log_prob=Density(kind, over), hooks=("log_prob", "condition"),
            body=f"# {name}\n",
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = build(hooks, card, {}, meta=False)
        with torch.no_grad():
            for each in net.parameters():
                each.mul_(spread)
        Model(card, net.eval(), hooks).save(family / "models" / name)
        return zoo.load(name)

    return made


@pytest.fixture
def chain(make):
    return make(CHAIN)


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A model of tokens: tests/evaluate/words_family.py, 8 x 8 pictures as 2 x 2 colours given a text."""
    facts = tmp_path / "site" / "zoo_words-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-words\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[zoo.families]\nwords = words_family\n")
    monkeypatch.syspath_prepend(str(facts.parent))
    monkeypatch.syspath_prepend(str(HERE.parent / "evaluate"))
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "models"))
    import words_family

    import zoo
    from zoo import plugins
    from zoo.card import Card, Density
    from zoo.model import Model

    plugins.family.cache_clear()
    card = Card(
        name="words", family="words", version="1.0.0", config={}, image=(3, 8, 8), latent=(2, 2),
        latent_kind="tokens", codes=4, license="mit", log_prob=Density("exact", "tokens"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"), body="# words\n",
    )  # fmt: skip
    Model(card, words_family.Words(), plugins.family("words")).save(tmp_path / "models" / "words")
    yield zoo.load("words")
    plugins.family.cache_clear()
