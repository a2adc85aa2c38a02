"""TAESD: its own two files, or one of them, and diffusers' AutoencoderTiny folders; see `zoo_vq.tiny`.

The names are positions in a list of layers. In the native decoder the list begins with the tanh, one before ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, indices
from zoo.nn.residual import ACTIVATIONS

_SIDE = 512  # of a picture, where nothing says another
_HALVES = ("encoder", "decoder")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    named = _named(keys)
    if named is None:
        return None
    said, diffusers = config or {}, any(".layers." in key for key in keys)
    shapes = {ours: keys[theirs] for theirs, ours in named.items()}
    halves = {name: _half(shapes, name) for name in _HALVES}
    given = {name: options for name, options in halves.items() if options is not None}
    first = next(iter(given.values()))
    latent = first["latent"]
    for name, options in given.items():
        _check(said, options, name)
        options["activation"] = _activation(said) if diffusers else "relu"
        agree("the decoder's channels of latents", options["latent"], latent)
    lacks = [name for name in _HALVES if name not in given]
    factor = 2 ** (len(first["blocks"]) - 1)
    notes = f"The {lacks[0]} is not in this file: load the folder of both." if lacks else ""
    return Adoption(
        layout="diffusers-autoencodertiny" if diffusers else "taesd",
        config={
            **halves,
            "latent": latent,
            "quant_conv": False,
            "post_quant_conv": False,
            "deterministic": True,
            "scale": float(said.get("scaling_factor") or 1.0),
            "shift": float(said.get("shift_factor") or 0.0),
        },
        rename=named,
        image=(first["channels"], _SIDE, _SIDE),
        latent=(latent, _SIDE // factor, _SIDE // factor),
        multiple=factor,
        hooks=[
            hook for half, hook in (("encoder", "encode"), ("decoder", "decode")) if half in given
        ],
        notes=notes,
    )


def _named(keys: Keys) -> dict[str, str] | None:
    """Their name -> ours for every tensor; None where they are of another layout."""
    if "encoder.layers.1.conv.0.weight" in keys and "decoder.layers.2.conv.0.weight" in keys:
        return {key: key for key in keys}
    both = all(key.startswith(("encoder.", "decoder.")) for key in keys)
    parts = {half: f"{half}." if both else "" for half in _HALVES}
    named: dict[str, str] = {}
    for half, prefix in parts.items():
        start = "0.weight" if half == "encoder" else "1.weight"
        block = "1.conv.0.weight" if half == "encoder" else "3.conv.0.weight"
        if f"{prefix}{start}" not in keys or f"{prefix}{block}" not in keys:
            continue
        if half == "decoder" and f"{prefix}0.weight" in keys:
            continue
        for key in keys:
            number, _, rest = key[len(prefix) :].partition(".")
            if key.startswith(prefix) and number.isdigit():
                named[key] = f"{half}.layers.{int(number) - (half == 'decoder')}.{rest}"
    return named or None


def _half(shapes: Keys, half: str) -> dict[str, Any] | None:
    """Options of `zoo_vq.tiny`'s Encoder or Decoder for these shapes; None where there is no such half."""
    start = f"{half}.layers."
    layers = sorted(indices(shapes, start))
    if not layers:
        return None
    blocks = [0]
    for number in layers[1:-1]:
        if f"{start}{number}.conv.0.weight" in shapes:
            blocks[-1] += 1
        elif f"{start}{number}.weight" in shapes:
            blocks.append(0)
    if half == "decoder" and len(blocks) > 1 and not blocks[-1]:
        raise ForeignError(f"the {half}'s last level has no block; the checkpoint is incomplete")
    first, last = (shapes[f"{start}{number}.weight"] for number in (layers[0], layers[-1]))
    return {
        "kind": "tiny",
        "channels": first[1] if half == "encoder" else last[0],
        "latent": last[0] if half == "encoder" else first[1],
        "width": first[0],
        "blocks": blocks,
        "pool": any(key.startswith(start) and ".pool." in key for key in shapes),
    }


def _activation(said: Mapping[str, Any]) -> str:
    name = str(said.get("act_fn", "relu"))
    if name not in ACTIVATIONS:
        raise ForeignError(f"act_fn {name!r} is not supported; there are {', '.join(ACTIVATIONS)}")
    return name


def _check(said: Mapping[str, Any], options: Mapping[str, Any], half: str) -> None:
    """Hold a configuration to the shapes. Raises ForeignError naming the option that disagrees, or is not supported."""
    agree(f"num_{half}_blocks", said.get(f"num_{half}_blocks"), options["blocks"])
    agree("latent_channels", said.get("latent_channels"), options["latent"])
    side = "in_channels" if half == "encoder" else "out_channels"
    agree(side, said.get(side), options["channels"])
    widths = said.get(f"{half}_block_out_channels")
    agree(f"{half}_block_out_channels", widths, [options["width"]] * len(options["blocks"]))
    for name, known in (("upsampling_scaling_factor", 2), ("upsample_fn", "nearest")):
        if said.get(name, known) != known:
            raise ForeignError(f"{name} = {said[name]!r} is not supported, only {known!r}")
