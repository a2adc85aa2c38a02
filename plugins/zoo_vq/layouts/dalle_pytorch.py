"""DALLE-pytorch's DiscreteVAE: vae.pt with `hparams` and `weights`.

Everything but the picture size, the normalisation and the training options is in the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree

_SIGNS = ("codebook.weight", "encoder.0.0.weight")
_DEFAULT = ((0.5, 0.5, 0.5, 0.0), (0.5, 0.5, 0.5, 1.0))


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """This layout's adoption; None if the keys are of another one, ForeignError if they clash."""
    if not all(sign in keys for sign in _SIGNS) or keys["encoder.0.0.weight"][2:] != (4, 4):
        return None
    config = _options(config)
    codes, width = keys["codebook.weight"]
    steps = [key for key in keys if key.startswith("encoder.") and key.endswith(".0.weight")]
    layers = sum(keys[key][2:] == (4, 4) for key in steps)
    blocks = sum(key.endswith(".net.0.weight") for key in steps)
    hidden, channels = keys["encoder.0.0.weight"][:2]
    last = f"encoder.{layers + blocks}.weight"
    if last not in keys:
        raise ForeignError(f"the encoder lacks {last}; the checkpoint is incomplete")
    agree("num_tokens", config.get("num_tokens"), codes)
    agree("num_tokens", config.get("num_tokens"), keys[last][0])
    agree("codebook_dim", config.get("codebook_dim"), width)
    agree("num_layers", config.get("num_layers"), layers)
    agree("num_resnet_blocks", config.get("num_resnet_blocks"), blocks)
    agree("hidden_dim", config.get("hidden_dim"), hidden)
    agree("channels", config.get("channels"), channels)
    means, deviations = _normalisation(config, channels)
    side = {
        "kind": "discrete-vae",
        "channels": channels,
        "hidden": hidden,
        "layers": layers,
        "blocks": blocks,
        "means": means,
        "deviations": deviations,
    }
    size = int(config.get("image_size") or 256)
    factor = 2**layers
    positions = (size // factor) ** 2
    return Adoption(
        layout="dalle-pytorch-discretevae",
        config={
            "encoder": {**side, "latent": codes},
            "decoder": {**side, "latent": width},
            "quant_conv": False,
            "post_quant_conv": False,
            "quantizer": {
                "kind": "gumbel",
                "codes": codes,
                "width": width,
                "temperature": float(config.get("temperature", 0.9)),
                "hard": bool(config.get("straight_through", False)),
                # theirs sums over the positions of a picture, ours takes their mean
                "kl_weight": float(config.get("kl_div_loss_weight", 0.0)) * positions,
            },
        },
        rename={key: "quantizer.codebook" if key == "codebook.weight" else key for key in keys},
        image=(channels, size, size),
        latent=(size // factor, size // factor),
        codes=codes,
        multiple=factor,
        notes=""
        if config
        else "no hparams: a picture size of 256 and the usual normalisation are assumed",
    )


def _options(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """DiscreteVAE's arguments: the configuration itself, or its `hparams` or `vae_params`."""
    for name in ("hparams", "vae_params"):
        inner = (config or {}).get(name)
        if isinstance(inner, Mapping):
            return inner
    return config or {}


def _normalisation(config: Mapping[str, Any], channels: int) -> tuple[list[float], list[float]]:
    given = config.get("normalization", _DEFAULT)
    if given is None:
        given = ([0.0] * channels, [1.0] * channels)
    means, deviations = ([float(each) for each in side][:channels] for side in given)
    if len(means) != channels or len(deviations) != channels:
        raise ForeignError(
            f"normalization {given} has fewer entries than there are channels, {channels}"
        )
    return means, deviations
