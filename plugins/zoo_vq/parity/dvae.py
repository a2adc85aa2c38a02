"""OpenAI's dVAE and DALLE-pytorch's DiscreteVAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ForeignError
from zoo.foreign import Foreign
from zoo.nn.quantizers.gumbel import kl_to_uniform
from zoo.parity import Case
from zoo_vq import discrete_vae, dvae
from zoo_vq.parity.adopted import adopted, recognises

_PAIR = ("encoder.pkl", "decoder.pkl")


class OpenAIRunner:
    """Both halves from one file or from two pickles; a case with both must agree."""

    name = "openai-dvae"

    def recognise(self, case: Case) -> bool:
        names = [path.name for path in case.files if path.name not in _PAIR]
        if len(names) > 1 or not case.files or not (names or (case.folder / _PAIR[0]).is_file()):
            return False
        return recognises(case, self.name, names[0] if names else _PAIR[0])

    def run(self, case: Case) -> Mapping[str, Tensor]:
        names = [path.name for path in case.files if path.name not in _PAIR]
        pickled = pair(case) if all((case.folder / name).is_file() for name in _PAIR) else None
        whole = case.checkpoint(names[0]) if names else None
        if pickled is not None and whole is not None:
            _same(pickled.tensors(), whole.tensors())
        foreign = whole or pickled
        if foreign is None:
            raise ForeignError(f"{case.folder} has neither one file with both halves nor {_PAIR}")
        _, net = adopted(foreign)
        encoder, decoder = cast(dvae.Encoder, net.encoder), cast(dvae.Decoder, net.decoder)
        images = case.inputs["image"] * 2 - 1
        with torch.no_grad():
            logits = encoder(images)
            tokens = net.quantizer.tokens(logits)
            codes = net.lookup(tokens)
            return {
                "mapped": dvae.squeeze(images),
                "z_logits": logits,
                "indices": tokens,
                "decoder_stats": torch.cat(decoder.statistics(codes), dim=1),
                "reconstruction": (net.decode(codes) + 1) / 2,
                "decoder_of_soft": torch.cat(decoder.statistics(logits.softmax(dim=1)), dim=1),
            }


def pair(case: Case) -> Foreign:
    """The two pickles as one checkpoint."""
    tensors = {
        f"{name.removesuffix('.pkl')}.{key}": value
        for name in _PAIR
        for key, value in case.checkpoint(name).tensors().items()
    }
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    return Foreign(case.folder, shapes, case.config, _tensors=tensors)


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    differ = [
        key
        for key in sorted(one.keys() | other.keys())
        if key not in one
        or key not in other
        or not torch.equal(one[key].float(), other[key].float())
    ]
    if differ:
        raise ForeignError(
            f"the pickles and the weights file differ in {differ[:4]} ({len(differ)} tensors)"
        )


class DiscreteVAERunner:
    """The reference works on pictures in [0, 1] and compares in its normalised range."""

    name = "dalle-pytorch-discretevae"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config = case.config or {}
        _, net = adopted(case.checkpoint())
        encoder = cast(discrete_vae.Encoder, net.encoder)
        decoder = cast(discrete_vae.Decoder, net.decoder)
        images = case.inputs["image"] * 2 - 1
        with torch.no_grad():
            normalised = encoder.normalise(images)
            logits = encoder(images)
            tokens = net.quantizer.tokens(logits)
            out = {"normalised": normalised, "logits": logits, "indices": tokens.flatten(1)}
            out["decoded_indices"] = decoder.raw(net.lookup(tokens))
            out["kl_div"] = kl_to_uniform(logits).sum().reshape(1)
            if "gumbel" in case.inputs:
                drawn = net.quantizer.train()(logits, noise=case.inputs["gumbel"])
                sampled = decoder.raw(drawn.codes)
                distance = F.smooth_l1_loss if config.get("smooth_l1_loss") else F.mse_loss
                weight = config.get("kl_div_loss_weight", 0.0)
                loss = distance(sampled, normalised) + weight * out["kl_div"]
                out |= {"reconstruction_sampled": sampled, "loss": loss.reshape(1)}
        return out


RUNNERS = [OpenAIRunner(), DiscreteVAERunner()]
