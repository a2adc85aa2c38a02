"""The rules of the field: which family for which situation, why, and what that stands on.

A rule holds where all that it says holds. What is wanted comes before the budget; of the rules that
hold, the first answers and the others are told of too.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.advice.situation import Situation

LOW = 64  # pixels a side; above, a pixel at a time and a density of all pixels become too dear


@dataclass(frozen=True)
class Family:
    """What a family is good for, as the guide's table says it."""

    what: str
    gives: frozenset[str]  # of WANTS
    log_prob: str
    sampling: str  # passes through the net for one picture
    control: str


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        families: best first; those with a model here go before those without.
        do: "finetune" a model, or "train" one.
        reason: why.
        stands_on: papers, with the table where a number is from one.
        wants: all of these are wanted.
        pretrained, data, compute: what the situation must say; None: either.
        low: whether the resolution must be low (True), must not be (False), or may be either.
        work_low: whether the answer is good at low resolution only.
    """

    families: tuple[str, ...]
    do: str
    reason: str
    stands_on: tuple[str, ...]
    wants: tuple[str, ...] = ()
    pretrained: bool | None = None
    data: str | None = None
    compute: str | None = None
    low: bool | None = None
    work_low: bool = False

    def holds(self, situation: Situation) -> bool:
        """Whether the rule is for that situation."""
        asked = {
            "pretrained": situation.pretrained,
            "data": situation.data,
            "compute": situation.compute,
            "low": situation.resolution <= LOW,
        }
        return set(self.wants) <= set(situation.wants) and all(
            getattr(self, key) in (None, value) for key, value in asked.items()
        )


FAMILIES = {
    "vae": Family(
        "variational autoencoder", frozenset({"speed", "compression"}),
        "a lower bound", "1", "labels",
    ),
    "gan": Family(
        "generative adversarial net", frozenset({"speed"}), "none", "1", "labels",
    ),
    "flow": Family(
        "normalizing flow", frozenset({"speed", "likelihood"}), "exact", "1", "labels",
    ),
    "pixel": Family(
        "autoregression over pixels", frozenset({"likelihood", "compression"}),
        "exact", "one a pixel", "labels, a given part of the picture",
    ),
    "vq": Family(
        "tokenizer", frozenset({"tokens"}), "none", "none: encodes and decodes", "none",
    ),
    "dalle": Family(
        "autoregression over tokens", frozenset({"control"}), "exact, of the tokens",
        "one a token", "text",
    ),
    "diffusion": Family(
        "diffusion of pixels", frozenset({"control"}), "a lower bound, or an estimate", "10 to 1,000",
        "labels, guidance, a given part of the picture",
    ),
    "ldm": Family(
        "diffusion of latents", frozenset({"control"}), "none of pixels", "10 to 250",
        "text, maps, edges and poses by ControlNet",
    ),
}  # fmt: skip

_PIXELCNN = "Salimans et al., 2017, arXiv:1701.05517, table 1 (2.92 bits/dim on CIFAR-10)"
_GLOW = "Kingma & Dhariwal, 2018, arXiv:1807.03039, table 2 (3.35 bits/dim on CIFAR-10)"
_BITS_BACK = "Townsend et al., 2019, arXiv:1901.04866 (bits back)"
_CONTROLNET = "Zhang et al., 2023, arXiv:2302.05543 (robust from under 50,000 pairs on)"
_LDM = "Rombach et al., 2022, arXiv:2112.10752"
_DALLE = "Ramesh et al., 2021, arXiv:2102.12092"
_DDPM = "Ho et al., 2020, arXiv:2006.11239"
_BEATS = "Dhariwal & Nichol, 2021, arXiv:2105.05233 (FID 4.59, BigGAN-deep 6.95, ImageNet 256 px)"
_LLAMAGEN = "Sun et al., 2024, arXiv:2406.06525"
_LORA = "Hu et al., 2021, arXiv:2106.09685"
_DREAMBOOTH = "Ruiz et al., 2023, arXiv:2208.12242 (three to five pictures of a subject)"
_ADA = "Karras et al., 2020, arXiv:2006.06676 (the discriminator learns a small set by heart)"
_VAE = "Kingma & Welling, 2014, arXiv:1312.6114"
_HEART = "Carlini et al., 2023, arXiv:2301.13188 (diffusion models repeat training pictures)"

RULES = (
    Rule(
        ("pixel", "vae"), "train",
        "An entropy coder needs the probability of each pixel given those before it. Autoregression "
        "gives just that, exactly, and with the fewest bits; a VAE codes within its bound, by bits "
        "back, in few passes.",
        (_PIXELCNN, _BITS_BACK), wants=("compression",),
    ),
    Rule(
        ("flow",), "train",
        "A flow is exact in both directions in one pass. That costs bits: 3.35 a dimension against "
        "the 2.92 of autoregression.",
        (_GLOW, _PIXELCNN), wants=("likelihood", "speed"),
    ),
    Rule(
        ("pixel", "flow"), "train",
        "A density is needed: autoregression or a flow, both exact. Autoregression has the fewest "
        "bits and samples a pixel at a time, which this resolution allows.",
        (_PIXELCNN, _GLOW), wants=("likelihood",), low=True,
    ),
    Rule(
        ("flow", "pixel"), "train",
        "A density is needed: a flow or autoregression, both exact. At this resolution a pixel at a "
        "time is slow; a flow samples in one pass.",
        (_GLOW, _PIXELCNN), wants=("likelihood",), low=False,
    ),
    Rule(
        ("ldm", "diffusion"), "finetune",
        "A trained diffusion model stays frozen and a ControlNet is trained beside it, on few pairs "
        "of pictures and edges, maps or poses.",
        (_CONTROLNET, _LDM), wants=("control",), pretrained=True,
    ),
    Rule(
        ("ldm", "dalle"), "train",
        "Without a trained model, control is trained in: latent diffusion takes text and maps by "
        "cross-attention, a token transformer takes the text before the picture.",
        (_LDM, _DALLE), wants=("control",), pretrained=False, compute="much",
    ),
    Rule(
        ("pixel", "gan"), "train",
        "Control by text or maps needs a trained model or much compute. With neither, labels and a "
        "given part of the picture are what remains: autoregression takes both.",
        ("van den Oord et al., 2016, arXiv:1606.05328", "Miyato & Koyama, 2018, arXiv:1802.05637"),
        wants=("control",), pretrained=False, compute="little", work_low=True,
    ),
    Rule(
        ("vq",), "train",
        "A transformer wants a short row of integers: a VQ-GAN makes a picture a small grid of them, "
        "and is trained before and without the transformer.",
        ("van den Oord et al., 2017, arXiv:1711.00937", "Esser et al., 2021, arXiv:2012.09841"),
        wants=("tokens",),
    ),
    Rule(
        ("gan", "flow"), "train",
        "One pass a picture, and with this much data the sharpest pictures that one pass gives.",
        ("Goodfellow et al., 2014, arXiv:1406.2661", _ADA), wants=("speed",), data="much",
    ),
    Rule(
        ("vae", "flow", "gan"), "train",
        "One pass a picture. A GAN's discriminator learns a small set by heart; a VAE is stable, and "
        "its bound on held-out pictures says when to stop.",
        (_VAE, _ADA), wants=("speed",), data="little",
    ),
    Rule(
        ("ldm", "diffusion", "dalle", "pixel"), "finetune",
        "A pretrained model and little compute: fine-tune a diffusion or an autoregressive model; "
        "few pictures and hours change what it draws.",
        (_LORA, _DREAMBOOTH), pretrained=True, compute="little",
    ),
    Rule(
        ("diffusion", "pixel", "ldm", "dalle"), "train",
        "Compute is no limit and a pretrained model fits: train diffusion or autoregression, from "
        "its weights on. At this resolution the pixels themselves can be modelled.",
        (_DDPM, _BEATS, _PIXELCNN), pretrained=True, compute="much", low=True,
    ),
    Rule(
        ("ldm", "dalle", "diffusion", "pixel"), "train",
        "Compute is no limit and a pretrained model fits: train diffusion or autoregression, from "
        "its weights on. At this resolution in a tokenizer's or an autoencoder's latents.",
        (_LDM, _LLAMAGEN), pretrained=True, compute="much", low=False,
    ),
    Rule(
        ("diffusion", "pixel"), "train",
        "Much data and compute: diffusion or autoregression, the best pictures and the best bits. "
        "At this resolution the pixels themselves can be modelled.",
        (_DDPM, _BEATS, _PIXELCNN), pretrained=False, data="much", compute="much", low=True,
    ),
    Rule(
        ("ldm", "dalle", "diffusion", "pixel"), "train",
        "Much data and compute: diffusion or autoregression, at this resolution in the latents of "
        "an autoencoder or a tokenizer.",
        (_LDM, _LLAMAGEN), pretrained=False, data="much", compute="much", low=False,
    ),
    Rule(
        ("vae",), "train",
        "Little data and little compute: a VAE at low resolution. It trains fast and steadily; its "
        "pictures are soft.",
        (_VAE,), pretrained=False, data="little", compute="little", work_low=True,
    ),
    Rule(
        ("vae", "gan"), "train",
        "Compute is the shorter of the two: a VAE at low resolution trains fast and steadily; a "
        "GAN is sharper, and harder to train.",
        (_VAE, _ADA), pretrained=False, data="much", compute="little", work_low=True,
    ),
    Rule(
        ("pixel", "flow", "vae"), "train",
        "Data is the shorter of the two, and a large model learns a small set by heart, diffusion "
        "too. Held-out log_prob shows it when it begins. Better still: look for a pretrained model.",
        (_HEART, _ADA), pretrained=False, data="little", compute="much", work_low=True,
    ),
)  # fmt: skip
