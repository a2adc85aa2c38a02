"""DALLE-pytorch's DALLE and CLIP. What the reference forbids it gives as 0 here, and a mask beside says where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.parity import Case
from zoo_dalle.asking import Asked
from zoo_dalle.clip import Clip
from zoo_dalle.net import DalleModel
from zoo_dalle.parity.adopted import adopted, recognises


class DalleRunner:
    """Texts (B, L) with id 0 for padding, image tokens (B, T), pictures in [0, 1]."""

    name = "dalle-pytorch"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        model = adopted(case)
        net, given = cast(DalleModel, model.net), case.inputs
        tokenizer: Any = model.parts["tokenizer"].net
        text = padded(net, given["text"])
        with torch.no_grad():
            images = given["image"] * 2 - 1 if "image" in given else None
            own = given["image_tokens"]
            if images is not None:
                own = tokenizer.tokens(images).flatten(1)
            rows = {
                "logits_full": given["image_tokens"],
                "logits_text_only": given["image_tokens"][:, :0],
                "logits_raw_image": own,
            }
            partial = case.outputs.get("logits_partial")
            if partial is not None:
                rows["logits_partial"] = given["image_tokens"][:, : partial.shape[1] - net.prefix]
            out: dict[str, Tensor] = {"image_indices": own}
            for name, tokens in rows.items():
                logits, masked = everything(net, text, tokens)
                out |= {name: logits.masked_fill(masked, 0.0), f"{name}.masked": masked}
            weight = float((case.config or {}).get("hparams", {}).get("loss_img_weight", 7))
            out["loss"] = loss(net, text, given["image_tokens"], weight).view(1)
            out["greedy_image_tokens"] = greedy(net, text, given["image_tokens"][:, :3])
            if images is not None:
                out["vae_logits"] = tokenizer.latents(images)
            codes = tokenizer.lookup(given["image_tokens"].view(-1, *net.grid))
            raw = getattr(tokenizer.decoder, "raw", None)
            out["decoded_image_tokens"] = raw(codes) if raw else (tokenizer.decode(codes) + 1) / 2
        return out


def padded(net: DalleModel, text: Tensor) -> Tensor:
    """Ids (B, L) whose zeros are the pads of their positions."""
    places = torch.arange(text.shape[1]) + net.given.ids - text.shape[1]
    return torch.where(text == 0, places, text)


def everything(net: DalleModel, text: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Logits over text ids and image tokens (B, n, V + K), and where they are forbidden."""
    x = torch.cat([net.embed_prefix(Asked(text)), net.embed_tokens(tokens)], 1)
    hidden = net.transformer(x[:, : net.prefix + net.length - 1])
    assert net.head is not None
    logits: Tensor = net.head(hidden)
    late = torch.arange(hidden.shape[1])[:, None] >= net.prefix - 1
    image = torch.arange(logits.shape[-1]) >= net.given.ids
    return logits, (late ^ image).expand_as(logits)


def loss(net: DalleModel, text: Tensor, tokens: Tensor, weight: float) -> Tensor:
    """(CE of the text + w CE of the picture) / (1 + w), each over its own ids."""
    logits, masked = everything(net, text, tokens)
    logits = logits.masked_fill(masked, -torch.finfo(logits.dtype).max)
    labels = torch.cat([text, tokens + net.given.ids], 1)
    each = F.cross_entropy(logits.mT, labels, reduction="none")
    length = net.prefix - 1
    return (each[:, :length].mean() + weight * each[:, length:].mean()) / (1 + weight)


def greedy(net: DalleModel, text: Tensor, begun: Tensor) -> Tensor:
    """The likeliest tokens (B, T) after the first, by what is remembered."""
    walk = net.walk(len(text), Asked(text))
    found: list[Tensor] = []
    for place in range(net.length):
        given = place < begun.shape[1]
        found.append(begun[:, place] if given else walk.log_probabilities().argmax(-1))
        walk.push(found[-1])
    return torch.stack(found, 1)


class ClipRunner:
    """Texts (B, L), their masks, and pictures."""

    name = "dalle-pytorch-clip"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        net = cast(Clip, adopted(case).net)
        text, image, mask = (case.inputs.get(name) for name in ("text", "image", "mask"))
        assert text is not None
        assert image is not None
        with torch.no_grad():
            every = net.texts(text, mask) @ net.pictures(image).T * net.temperature.exp()
            labels = torch.arange(len(text))
            both = F.cross_entropy(every, labels) + F.cross_entropy(every.T, labels)
            return {
                "similarity": net(text, image, mask),
                "similarity_nomask": net(text, image),
                "loss": (both / 2).view(1),
            }


RUNNERS = [DalleRunner(), ClipRunner()]
