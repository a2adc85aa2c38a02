"""An autoencoder of 16 px pictures and small latent diffusion models, for the tests of the family `ldm`."""

import torch
from toys import CAPTIONS, WORDS

from zoo.card import Density
from zoo.testing import Subject

SIDES, INNER = (3, 16, 16), (4, 4, 4)
SIDE = {"kind": "compact", "channels": 3, "patch": 2, "widths": [8, 32], "blocks": [1, 1]}
UNET = {
    "kind": "unet",
    "channels": 4,
    "outputs": 4,
    "widths": [8, 16],
    "blocks": 1,
    "residual": {"groups": 4},
    "attention": {"levels": [1], "heads": 2},
}
PROCESS = {"schedule": "cosine", "steps": 20, "prediction": "v"}
TEXT = {"vocabulary": WORDS, "length": 12, "width": 12, "heads": 2}


def autoencoder(**more):
    config = {
        "latent": 4,
        "scale": 1.5,
        "shift": 0.1,
        "encoder": SIDE,
        "decoder": {**SIDE, "latent": 6, "fine": 4},
        **more,
    }
    return Subject("autoencoder", config, (3, 16, 16), (4, 4, 4), "continuous", multiple=4).model


def config(net=None, **more):
    return {
        "image": [3, 16, 16],
        "latent": [4, 4, 4],
        "net": {**UNET, **(net or {})},
        "process": PROCESS,
        **more,
    }


def reading(**more):
    """The configuration of a model that reads prompts."""
    net = {"attention": {**UNET["attention"], "context": 12}}
    net |= {"labels": "vector"} if more.get("pooled") else {}
    return config(net, **{"text": TEXT, "null": True, **more})


def made(config=None, std=0.2, part=None, **parts):
    """A model with every weight drawn."""
    part = autoencoder() if part is None else part
    model = Subject(
        "ldm", config or reading(), SIDES, INNER, "continuous",
        log_prob=Density("lower bound", "latents"), parts={"autoencoder": part, **parts},
    ).model  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in (*model.net.parameters(), *part.net.parameters()):
            each.normal_(0, std, generator=generator)
    return model


__all__ = ["CAPTIONS", "SIDES", "autoencoder", "config", "made", "reading"]
