"""CompVis' latent diffusion and Stable Diffusion 1.x in one file: U-Net, autoencoder and what the U-Net is told.

    model.diffusion_model.*  the U-Net; model_ema.* its average, named without dots, which is taken where it is
    first_stage_model.*      the autoencoder, our part `autoencoder`
    cond_stage_model.*       CLIP's text half or BERTEmbedder, our part `text`, or a row for each label, which are the
                             model's own, or the autoencoder once more, of the model that fills in
    scale_factor             the latents' scale as measured in training; the configuration's does not count then

The rest are tables that the configuration gives. Source: Rombach et al., arXiv:2112.10752.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count
from zoo_ldm.layouts import _process
from zoo_ldm.layouts.unet import Around, Net, model, read

NET, EMA, STAGE, TOLD = (
    "model.diffusion_model.",
    "model_ema.",
    "first_stage_model.",
    "cond_stage_model.",
)
_TABLES = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "lvlb_weights", "logvar",
)  # fmt: skip
_LABELS = f"{TOLD}embedding.weight"
_TEXT = f"{TOLD}transformer."
_BERT = f"{_TEXT}token_emb.weight"
_AGAIN = "__is_first_stage__"  # a cond_stage_config: the very autoencoder, under both names
_STABLE = {"scale_factor": 0.18215, "image_size": 64}
_TEXT_TO_IMAGE = {**_STABLE, "image_size": 32}  # its process is Stable Diffusion's


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    own = {key[len(NET) :]: shape for key, shape in keys.items() if key.startswith(NET)}
    if not own or any(key.startswith("control_model.") for key in keys):
        return None
    given = config or {}
    params = given.get("model", given).get("params") or {}
    net = read(own, (params.get("unet_config") or {}).get("params"))
    if net is None:
        raise ForeignError(f"the {NET}* of this file are no U-Net that is known here")
    notes = [net.notes] if net.notes else []
    if params:
        process = _process.compvis(params)
    elif _BERT in keys and net.options["channels"] == 4:
        process, params = _process.STABLE, _TEXT_TO_IMAGE
        notes.append("No configuration: CompVis' text-to-image model (txt2img-1p4B) is assumed.")
    elif net.options["attention"].get("context") == 768 and net.options["channels"] == 4:
        process, params = _process.STABLE, _STABLE
        notes.append("No configuration: Stable Diffusion 1.x is assumed.")
    else:
        raise ForeignError(
            "a latent diffusion model without its configuration: the shapes do not tell its schedule nor the scale of "
            "its latents. Put its config.yaml (models/ldm/... in the published repository) beside the file."
        )
    agree("channels", params.get("channels"), net.options["channels"])
    parts = _parts(keys, params, given.get("tokenizer"))
    more, extra = _told(keys, net)
    if "scale_factor" in keys:
        more, extra = more | {"stored": True}, extra | {"scale_factor": "scale"}
    else:
        more = more | {"scale": float(params.get("scale_factor", 1.0))}
    if (
        net.options.get("concat") == 1 + net.options["channels"]
        and "context" not in net.options["attention"]
    ):
        more = more | {"beside": "kept"}
    renamed = _averaged(keys, net)
    if renamed is not None:
        net = Net(net.layout, net.options, renamed, net.transforms)
        notes.append("The averaged weights (model_ema) were taken.")
    if "attends" in more:
        notes.append(
            "The last of its labels stands for none, as in the published model of ImageNet."
        )
    again = []
    if params.get("cond_stage_config") == _AGAIN:
        again = [TOLD + key[len(STAGE) :] for key in keys if key.startswith(STAGE)]
    depth = count(keys, f"{STAGE}encoder.down.")
    channels = keys.get(f"{STAGE}decoder.conv_out.weight", (3,))[0]
    side: Any = params.get("image_size", 64)
    around = Around(
        "compvis-latent-diffusion",
        process,
        (side, side) if isinstance(side, int) else tuple(side),
        "" if renamed is not None else NET,
        2 ** (depth - 1) if depth else 8,
        channels,
        parts,
        (*_TABLES, *((f"{NET}*",) if renamed is not None else ()), f"{EMA}*", *again),
        more,
        extra,
    )
    return model(net, around, " ".join(notes))


def _averaged(keys: Keys, net: Net) -> dict[str, str] | None:
    """The U-Net's names among the averages -> ours; None without any. Raises ForeignError where some are missing."""
    copies = {EMA + ("diffusion_model." + k).replace(".", ""): own for k, own in net.rename.items()}
    there = [name for name in copies if name in keys]
    if not there:
        return None
    if len(copies) != len(net.rename) or len(there) != len(copies):
        raise ForeignError(
            f"the file has the average (model_ema.*) of {len(there)} of the U-Net's {len(net.rename)} tensors; it is "
            "incomplete"
        )
    return copies


def _parts(keys: Keys, params: Mapping[str, Any], tokenizer: Any) -> dict[str, Within]:
    """The models in the file. Raises ForeignError for a text encoder that is not supported."""
    parts = {}
    if any(key.startswith(STAGE) for key in keys):
        parts["autoencoder"] = Within(STAGE, params.get("first_stage_config"))
    told = [key for key in keys if key.startswith(TOLD) and key != _LABELS]
    if not told or params.get("cond_stage_config") == _AGAIN:
        return parts
    stage = params.get("cond_stage_config") or {}
    kind, inner = stage.get("target") or "not said", stage.get("params") or {}
    if _BERT in keys:
        if not inner.get("use_tokenizer", True) or kind.endswith("TransformerEmbedder"):
            raise ForeignError(
                f"the transformer in {TOLD}* ({kind}) is told tokens of its own, not a text: that is not supported"
            )
        said = dict(inner)
    elif all(key.startswith(_TEXT) and "text_model" in key for key in told):
        said = dict(inner.get("text_config") or {})
    else:
        raise ForeignError(
            f"the text encoder in {TOLD}* ({kind}) is neither CLIP's as Stable Diffusion 1.x has it "
            f"({_TEXT}text_model.*) nor BERTEmbedder ({_BERT}): that is not supported"
        )
    parts["text"] = Within(_TEXT, said | ({"tokenizer": tokenizer} if tokenizer else {}))
    return parts


def _told(keys: Keys, net: Net) -> tuple[dict[str, Any], dict[str, str]]:
    """What the model is told beside a text: configuration, and their name -> ours."""
    if _LABELS not in keys:
        return {}, {}
    rows, width = keys[_LABELS]
    agree("context_dim", net.options["attention"].get("context"), width)
    labels = {"attends": "label", "classes": rows - 1, "null": True}
    return labels, {_LABELS: "names.weight"}
