"""The published layout of PixelCNN++: pixel-cnn-pp, the PyTorch port with trained weights.

Parameters have our names; weight normalisation's two halves are `weight_g` and `weight_v`, or `original0` and
`original1` as newer torch writes them. Files saved from several GPUs begin every name with `module.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError

Keys = Mapping[str, tuple[int, ...]]
_SIGNS = ("ul_init.1.conv.weight_v", "nin_out.lin_a.weight_v", "u_init.conv.weight_v")
_RENAMED = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
_SIZE = 32  # of CIFAR-10, which the port was trained on; the shapes do not tell


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """This layout's adoption; None if the keys are of another one, ForeignError if they clash."""
    ours = {key: _plain(key) for key in keys}
    shapes = {ours[key]: shape for key, shape in keys.items()}
    if not all(sign in shapes for sign in _SIGNS):
        return None
    width, inputs = shapes["u_init.conv.weight_v"][:2]
    channels = inputs - 1
    prefix = "up_layers.0.u_stream."
    blocks = len({key.split(".")[3] for key in shapes if key.startswith(prefix)})
    numbers, each = shapes["nin_out.lin_a.weight_v"][0], 10 if channels == 3 else 3
    if channels not in (1, 3) or numbers % each:
        raise ForeignError(
            f"a PixelCNN++ of {channels} channels with {numbers} outputs: it has 1 or 3 channels and "
            "3 or 10 outputs a component of its mixture"
        )
    found = {
        "input_channels": channels,
        "nr_filters": width,
        "nr_resnet": blocks,
        "nr_logistic_mix": numbers // each,
        "resnet_nonlinearity": "concat_elu",
    }
    for key, value in found.items():
        said = (config or {}).get(key, value)
        if said != value:
            raise ForeignError(
                f"the configuration says {key} is {said!r}, the tensors say {value!r}: "
                "the two do not belong together"
            )
    size = int((config or {}).get("image_size", _SIZE))
    return Adoption(
        layout="pixel-cnn-pp",
        config={
            "kind": "pixelcnn++",
            "size": size,
            "channels": channels,
            "width": width,
            "blocks": blocks,
            "mixtures": numbers // each,
        },
        rename={key: f"core.logits.{name}" for key, name in ours.items()},
        image=(channels, size, size),
        log_prob={"kind": "exact", "over": "8-bit pixels"},
        notes="Its loss took the density for the mass of unlikely levels; ours is exact, so bits differ a little.",
    )


def _plain(key: str) -> str:
    for new, old in _RENAMED.items():
        key = key.replace(new, old)
    return key.removeprefix("module.")
