"""A tokenizer of a thousand parameters in a folder of its own, and pictures for it."""

import torch
from PIL import Image

from zoo.card import Card
from zoo.model import Model, build
from zoo.plugins import family

SIDE = {"channels": 3, "patch": 2, "widths": [8, 16], "blocks": [1, 1]}
CONFIG = {
    "post_quant_conv": False,
    "encoder": {"kind": "compact", **SIDE},
    "decoder": {"kind": "compact", **SIDE, "latent": 4, "fine": 4},
    "quantizer": {"kind": "vector", "codes": 32, "dim": 4},
}


def tokenizer(folder, name="tiny-tokens", seed=0):
    """A folder that `zoo.load` takes: pictures (3, 16, 16) to tokens (4, 4) of 32."""
    card = Card(
        name=name, family="vq", version="1.0.0", config=CONFIG, image=(3, 16, 16), latent=(4, 4),
        latent_kind="tokens", codes=32, hooks=("encode", "decode"), license="cc0-1.0",
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build(family("vq"), card, {}, meta=False).eval()
    return str(Model(card, net, family("vq")).save(folder / name))


def pictures(folder, count, side=16):
    """A folder of pictures of noise, each fixed by its number, with captions beside them."""
    folder.mkdir()
    for number in range(24, 24 + count):  # the name 041.png is in the test split
        noise = torch.Generator().manual_seed(number)
        pixels = torch.randint(0, 256, (side, side, 3), generator=noise, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(f"picture {number}")
    return str(folder)
