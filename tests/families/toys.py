"""A tokenizer of 16 px pictures, a vocabulary and small nets, for the tests of the DALL-E family."""

import torch

from zoo.nn.text import trained
from zoo.testing import Subject
from zoo_dalle.making import dalle

CAPTIONS = ["noto: red apple", "noto: green apple", "twemoji: red house", "twemoji: green house"]
SHAPE = {"width": 16, "depth": 2, "heads": 2, "positions": "axial"}
WORDS = trained(CAPTIONS, 60)
TEXT = {"length": 9, "vocabulary": WORDS}


def tokenizer(codes=24, size=16):
    side = {"kind": "compact", "channels": 3, "patch": 2, "widths": [8, 32], "blocks": [1, 1]}
    config = {
        "post_quant_conv": False,
        "encoder": side,
        "decoder": {**side, "latent": 4, "fine": 4},
        "quantizer": {"kind": "vector", "codes": codes, "dim": 4},
    }
    cells = (size // 4, size // 4)
    return Subject(
        "vq", config, image=(3, size, size), latent=cells, latent_kind="tokens", codes=codes
    ).model


def net(part=None, codes=24, grid=(4, 4), std=0.5, **config):
    """A net in float64 whose weights are large enough for its distributions to be far from even."""
    shape = {**SHAPE, **config.pop("shape", {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {} if part is None else {"tokenizer": part}
        made = dalle({"shape": shape, "grid": grid, "codes": codes, **config}, parts)
        for each in made.parameters():
            torch.nn.init.normal_(each, std=std)
    return made.double().eval()
