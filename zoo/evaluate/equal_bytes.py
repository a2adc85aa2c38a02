"""A model of tokens beside image codecs within the same bytes, by PSNR and LPIPS.

A tokenizer's bytes are its tokens at log2(codes) bits each. A model of the tokens' probabilities needs fewer: all
pictures go into one archive (`zoo.codec`, what `zoo compress --lossy` writes), whose whole size, header and all, is
divided by their number. Either way what comes back is what the tokens decode to.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo.codec import Picture, pack, unpack
from zoo.codec.tokens import over_tokens
from zoo.evaluate.baselines import Row, codecs, markdown
from zoo.evaluate.fidelity import psnr
from zoo.evaluate.gauges import codes_of
from zoo.evaluate.measure import batches, rebuilt
from zoo.evaluate.sheets import sheet
from zoo.evaluate.tokens import bytes_needed
from zoo.images import from_uint8
from zoo.nn.lpips import LPIPS

if TYPE_CHECKING:
    from zoo.model import Model

BATCH = 16
COUNT = 200  # pictures; searching scales and qualities takes about a second each
TOKENS = """\
The model's bytes are its tokens at log2(codes) bits each, without a header; its weights
are not counted."""
ARCHIVE = """\
The model's bytes are those of one archive of all (`zoo compress --lossy`) divided by {count}, and its
pictures are what came out of that; its weights are not counted."""
SECTION = """\
## Beside image codecs at the same bytes

{count} pictures of {data}, at most {bytes} bytes each. Every codec is at its best: shrunk by 1 to
8, encoded, enlarged again, at the scale and quality with the least LPIPS within the bytes, header
included. {ours}

{table}

![original, {name} and codecs]({file})

Measured by `{line}`."""


def compare(
    model: Model, data: Any, count: int | None, path: Path, called: str, line: str
) -> tuple[tuple[Row, ...], str]:
    """Measure codecs and the model on the same pictures; write the sheet, give rows and Markdown.

    Raises Unsupported if the model has no tokens, whose bytes are the budget, RequestError for one that was asked for
    something a picture, CodecError for an archive that does not come back.
    """
    count = min(count or len(data), COUNT, len(data))
    before = torch.cat(list(batches(data, count, BATCH)))
    archived = over_tokens(model.card)
    with torch.no_grad():
        spent, after = (of_archive if archived else of_tokens)(model, before)
        net = LPIPS("alex").to(model.device)
        far = [
            net(*(from_uint8(each.to(model.device)).expand(-1, 3, -1, -1) for each in pair))
            for pair in zip(torch.split(after, BATCH), torch.split(before, BATCH), strict=True)
        ]
    budget = ceil(spent)
    rows = codecs(before, budget, lpips=net)
    net.cpu()
    sheet(before, after, rows, path, model.name, budget, lpips=net)
    own = (model.name, spent, float(psnr(before, after).mean()), float(torch.cat(far).mean()))
    section = SECTION.format(
        count=count, data=called, bytes=budget, name=model.name, file=path.name, line=line,
        table=markdown(rows, [own]), ours=ARCHIVE.format(count=count) if archived else TOKENS,
    )  # fmt: skip
    return tuple(rows), section


def of_tokens(model: Model, pictures: Tensor) -> tuple[float, Tensor]:
    """Bytes a picture of tokens at fixed length, and what they decode to; uint8 (N, C, H, W)."""
    made, tokens = [], 0
    for some in torch.split(pictures, BATCH):
        back, latents = rebuilt(model, from_uint8(some))
        made.append(back)
        tokens = latents[0].numel()
    return float(bytes_needed(tokens, codes_of(model.card))), torch.cat(made)


def of_archive(model: Model, pictures: Tensor) -> tuple[float, Tensor]:
    """Bytes a picture of one archive of them all, and what comes out of it; uint8 (N, C, H, W)."""
    given = [Picture(each, "L" if len(each) == 1 else "RGB") for each in pictures.numpy()]
    data = pack(model, given, lossy=True).data
    back = torch.from_numpy(np.stack([each.pixels for each in unpack(data, model)]))
    return len(data) / len(given), back
