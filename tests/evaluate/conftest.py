"""A tiny tokenizer, synthetic pictures, and the weights that this machine has built."""

import math

import pytest
import torch
from synthetic import drawn

from zoo.hub.home import home

BUILT = home() / "data"  # before each test gets a store of its own


@pytest.fixture
def pictures():
    return drawn(10)


@pytest.fixture
def lpips_weights(tmp_path_factory, monkeypatch):
    """The real weights in the test's own store; skips where they were never built."""
    return _built("lpips", monkeypatch)


@pytest.fixture
def feature_weights(monkeypatch):
    return _built("efficientnet-lite2", monkeypatch)


def _built(name, monkeypatch):
    if not (BUILT / name).is_dir():
        pytest.skip(f"needs `zoo data build {name}`")
    folder = home() / "data" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(BUILT / name)
    return folder


@pytest.fixture
def fake_lpips(tmp_path):
    """Weights with which LPIPS has a closed form.

    Of the first layer only two channels speak: channel 0 is relu(red) at the window's middle,
    channel 1 is the constant 1; the first head weighs them with 2 and 3, the others are 0.
    """
    from safetensors.torch import save_file

    with torch.device("meta"):
        import zoo.nn.lpips as module

        features = torch.nn.Sequential(*module._alexnet())
    state = {
        f"features.{key}": torch.zeros(value.shape) for key, value in features.state_dict().items()
    }
    state["features.0.weight"][0, 0, 5, 5] = module.SCALE[0]  # undoes the division
    state["features.0.bias"][0] = module.SHIFT[0]  # and the shift: what is left is red itself
    state["features.0.bias"][1] = 1.0
    for level, width in enumerate(module.WIDTHS["alex"]):
        state[f"lin.{level}.weight"] = torch.zeros(1, width, 1, 1)
    state["lin.0.weight"][0, :2, 0, 0] = torch.tensor([2.0, 3.0])
    save_file(state, tmp_path / "alex.safetensors")
    return tmp_path


def installed(family, folder, monkeypatch):
    """Put NAME_family.py on the path as the distribution zoo-NAME, which brings the family NAME."""
    facts = folder / "site" / f"zoo_{family}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{family}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[zoo.families]\n{family} = {family}_family\n")
    monkeypatch.syspath_prepend(str(facts.parent))


@pytest.fixture
def coins(tmp_path, monkeypatch):
    """A folder of models of the family `coins`, 2 x 2 black and white pixels, 3 labels: `fair`
    knows nothing, `bent` has a density of its own for each label, and `eight` is `bent` as the
    card of a model of 8-bit pixels would tell of it."""
    import coins_family

    from zoo import plugins
    from zoo.card import Card, Density, Training
    from zoo.model import Model

    installed("coins", tmp_path, monkeypatch)
    for name, over in (("fair", "binary"), ("bent", "binary"), ("eight", "8-bit")):
        net = coins_family.Coins(3, [1, 2, 2]).double()
        if name != "fair":
            net.white.data = torch.tensor(
                [[[[0.9, 0.8], [0.3, 0.4]]], [[[0.2, 0.6], [0.7, 0.5]]], [[[0.1, 0.1], [0.6, 0.2]]]]
            ).double()
        card = Card(
            name=name, family="coins", version="1.0.0", config={"classes": 3, "shape": [1, 2, 2]},
            image=(1, 2, 2), license="mit", log_prob=Density("exact", f"{over} pixels"),
            hooks=("condition", "sample", "log_prob"), training=Training(data=("coins",)),
        )  # fmt: skip
        Model(card, net, plugins.family("coins")).save(tmp_path / "coins" / name)
    return tmp_path / "coins"


@pytest.fixture
def all_coins(tmp_path):
    """A built set: test, all 16 pictures of 2 x 2 black and white pixels, labelled 0, 1, 2, 0 ...;
    train, the first five of them."""
    import json

    import numpy as np
    from coins_family import every_picture

    folder = tmp_path / "data" / "coins-2"
    folder.mkdir(parents=True)
    pictures = (every_picture().permute(0, 2, 3, 1) > 0).to(torch.uint8).numpy() * 255
    for split, count in (("train", 5), ("test", 16)):
        np.save(folder / f"{split}.npy", pictures[:count])
        lines = [json.dumps({"name": f"{i}", "label": i % 3}) for i in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    facts = {"name": "coins", "size": 2, "sources": [], "counts": {"train": 5, "test": 16}}
    (folder / "data.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """A loaded model of the family `blocks`: 32 x 32 pictures, 4 x 4 tokens of 16 codes.

    The family is found as a stranger's is: through the entry point of a distribution on the path.
    """
    import blocks_family

    import zoo
    from zoo import plugins
    from zoo.card import Card, Density
    from zoo.model import Model

    installed("blocks", tmp_path, monkeypatch)
    net = blocks_family.Blocks(16)
    levels = torch.linspace(-1, 1, 16)
    net.colours.data = torch.stack([levels, levels.flip(0), (levels * math.pi).cos()], 1)
    card = Card(
        name="blocks", family="blocks", version="1.0.0", config={"codes": 16}, image=(3, 32, 32),
        latent=(4, 4), latent_kind="tokens", codes=16, multiple=8, license="mit",
        log_prob=Density("exact", "8-bit pixels"), hooks=("encode", "decode", "sample", "log_prob"),
        body="# blocks\n\nSixteen colours.\n",
    )  # fmt: skip
    folder = tmp_path / "blocks"
    Model(card, net, plugins.family("blocks")).save(folder)
    return zoo.load(folder)


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A loaded model of the family `words`: 8 x 8 pictures given a text, 2 x 2 tokens of 4 colours."""
    import words_family

    import zoo
    from zoo import plugins
    from zoo.card import Card, Density
    from zoo.model import Model

    installed("words", tmp_path, monkeypatch)
    card = Card(
        name="words", family="words", version="1.0.0", config={}, image=(3, 8, 8), latent=(2, 2),
        latent_kind="tokens", codes=4, license="mit", log_prob=Density("exact", "tokens"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"), body="# words\n\nFour colours.\n",
    )  # fmt: skip
    Model(card, words_family.Words(), plugins.family("words")).save(tmp_path / "words")
    return zoo.load(tmp_path / "words", dtype=torch.float64)
