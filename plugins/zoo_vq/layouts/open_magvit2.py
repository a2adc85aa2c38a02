"""Open-MAGVIT2's lookup-free tokenizers (Luo et al., arXiv:2409.04410), SEED-Voken's `lfqgan`.

Names are ours already. With EMA weights in the file (`model_ema.`, names without dots) those are
taken, as the published evaluation does. Their tokenizers use 32 groups in every norm.
`token_factorization` splits the same token in two for a transformer: token = first + second *
2^bits of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count

_SIGNS = (
    "encoder.conv_in.weight",
    "encoder.conv_out.weight",
    "decoder.adaptive.0.gamma.weight",
    "decoder.conv_in.weight",
    "decoder.conv_out.weight",
)
_EMA = "model_ema."
_DROPPED = ("loss.*", "model_ema.*", "inception_model.*", "lpips_*", "colorize", "quantize.*")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """This layout's adoption; None if the keys are of another one, ForeignError if they clash."""
    if not all(key in keys for key in _SIGNS):
        return None
    if len(keys["encoder.conv_in.weight"]) != 4:
        raise ForeignError(
            "Open-MAGVIT2's video tokenizer (3-dimensional convolutions) is not supported"
        )
    options = arguments(config)
    dd = options.get("ddconfig") or {}
    encoder, decoder = _side(keys, "encoder", "down"), _side(keys, "decoder", "up")
    _check(dd, encoder, decoder)
    bits = encoder["latent"]
    agree("embed_dim", options.get("embed_dim"), bits)
    agree("n_embed", options.get("n_embed"), 2**bits)
    nets = [key for key in keys if key.startswith(("encoder.", "decoder."))]
    copies = {f"{_EMA}{key.replace('.', '')}": key for key in nets}
    averaged = all(key in keys for key in copies)
    factor = 2 ** (len(encoder["widths"]) - 1)
    size = int(dd.get("resolution") or 256)
    sample = float(options.get("sample_minimization_weight", 1.0))
    batch = float(options.get("batch_maximization_weight", 1.0))
    loss = (options.get("lossconfig") or {}).get("params") or {}
    return Adoption(
        layout="open-magvit2",
        config={
            "encoder": {"kind": "magvit2", **encoder},
            "decoder": {"kind": "magvit2", **decoder},
            "quant_conv": False,
            "post_quant_conv": False,
            "quantizer": {
                "kind": "lookup-free",
                "bits": bits,
                "first": "least",
                "entropy": sample * float(loss.get("codebook_weight", 0.1)),
                "gamma": batch / sample if sample else 0.0,
                "commitment": float(loss.get("commit_weight", 0.25)),
            },
        },
        rename=copies if averaged else {key: key for key in nets},
        dropped=(*_DROPPED, "encoder.*", "decoder.*") if averaged else _DROPPED,
        image=(decoder["channels"], size, size),
        latent=(size // factor, size // factor),
        codes=2**bits,
        multiple=factor,
        notes="The averaged weights (model_ema) were taken." if averaged else "",
    )


def arguments(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The model's arguments in a Lightning configuration, wherever its top is; {} without one."""
    found: Any = config or {}
    for name in ("model", "init_args"):
        found = found.get(name, found) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) and "ddconfig" in found else {}


def _side(keys: Keys, name: str, levels: str) -> dict[str, Any]:
    depth = count(keys, f"{name}.{levels}.")
    blocks = {count(keys, f"{name}.{levels}.{i}.block.") for i in range(depth)}
    if len(blocks) != 1 or blocks != {count(keys, f"{name}.mid_block.")}:
        raise ForeignError(
            f"the {name}'s levels and middle must have one number of blocks, not {sorted(blocks)}"
        )
    first, last = keys[f"{name}.conv_in.weight"], keys[f"{name}.conv_out.weight"]
    options: dict[str, Any] = {
        "channels": first[1] if name == "encoder" else last[0],
        "latent": last[0] if name == "encoder" else first[1],
        "widths": [keys[f"{name}.{levels}.{i}.block.0.conv1.weight"][0] for i in range(depth)],
        "blocks": blocks.pop(),
    }
    if name == "encoder" and first[0] != options["widths"][0]:
        options["stem"] = first[0]
    return options


def _check(dd: Mapping[str, Any], encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> None:
    """Hold a `ddconfig` to the shapes. Raises ForeignError naming the option that disagrees."""
    multipliers, width = dd.get("ch_mult"), dd.get("ch")
    for side in (encoder, decoder):
        if multipliers is not None and width is not None:
            agree("ch * ch_mult", [width * m for m in multipliers], side["widths"])
        agree("num_res_blocks", dd.get("num_res_blocks"), side["blocks"])
        agree("z_channels", dd.get("z_channels"), side["latent"])
    agree("in_channels", dd.get("in_channels"), encoder["channels"])
    agree("out_ch", dd.get("out_ch"), decoder["channels"])
