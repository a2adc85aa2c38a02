"""Drawing pictures: t_k ~ p(t_k | t_<k, c) for k = 1 ... T, then the tokenizer's decoder.

The options:

    temperature, top_k, top_p, typical    which tokens may come: zoo_dalle.choosing
    guidance, guidance_from, _until       away from p(t): zoo_dalle.guidance
    best_of, rerank                       the best of n candidates: zoo_dalle.rerank
    preview, preview_to, on_preview       the picture as it grows, every so many rows: zoo.previews
    weights                               "float" as loaded, or "int8", rounded to read less a token: zoo_dalle.stepping
    state, stop                           a file in which to stop, after `stop` rows or when interrupted, and from which
                                          the same call goes on: zoo_dalle.drawing

Candidate j of picture i has a stream of random numbers of its own, number i * best_of + j of the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from zoo import options, rng
from zoo.errors import RequestError
from zoo.hookspecs import Progress
from zoo.previews import OPTIONS, Previews
from zoo_dalle import rerank
from zoo_dalle.asking import Asked
from zoo_dalle.choosing import Choice
from zoo_dalle.drawing import Drawing
from zoo_dalle.guidance import guidance
from zoo_dalle.previews import partial, show

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel

DEFAULTS: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "typical": 1.0,
    "guidance": 1.0,
    "guidance_from": 0.0,
    "guidance_until": 1.0,
    "best_of": 1,
    "rerank": None,
    **OPTIONS,
    "weights": "float",
    "state": None,
    "stop": 0,
}


def sample(
    net: DalleModel,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """(count, C, H, W) in [-1, 1]; picture i depends on (seed, i) alone. Raises RequestError.

    Where `stop` ends the drawing early, pictures are grey below what is drawn.
    """
    tokens, place = draw(net, count, cond, given, generator, progress)
    return net.pictures(tokens) if place == net.length else partial(net, tokens, place).tensor


def draw(
    net: DalleModel,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> tuple[Tensor, int]:
    """The tokens (count, T) of pictures, and how many of each are drawn: T, or less where `stop` says so."""
    asked = options.read(given, "sampling option", **DEFAULTS)
    by = rerank.scorer(asked.rerank, asked.best_of)
    choice = Choice(asked.temperature, asked.top_k, asked.top_p, asked.typical)
    guided = guidance(net, cond, asked.guidance, asked.guidance_from, asked.guidance_until)
    previews = Previews(asked.preview, asked.preview_to, asked.on_preview)
    end = _end(net, asked.stop, asked.state)
    streams = rng.streams(generator, count * asked.best_of)
    uniforms = rng.uniform(streams, net.length)
    scoring = by == rerank.LIKELIHOOD
    drawing = Drawing(
        net, count, asked.best_of, cond, choice, guided, uniforms, scoring, asked.weights
    )
    if cond is not None and cond.image is not None:
        drawing.vary(cond.image, rng.uniform(streams, net.length) < cond.strength)
    state = None if asked.state is None else Path(asked.state)
    if state is not None and state.exists():
        drawing.resume(state)
    try:
        left = range(drawing.place, end)
        for _ in progress(left, total=len(left), label="tokens"):
            with torch.inference_mode():
                drawing.step()
            show(previews, net, drawing.tokens, drawing.place)
    finally:
        if state is not None and drawing.place < net.length:
            drawing.save(state)
    if state is not None and drawing.place == net.length:
        state.unlink(missing_ok=True)
    tokens = drawing.tokens.clone()
    if by is not None and drawing.place == net.length:
        return rerank.best(net, by, tokens, drawing.scores.clone(), asked.best_of), net.length
    return tokens[:: asked.best_of], drawing.place


def _end(net: DalleModel, stop: int, state: Any) -> int:
    """After how many tokens to stop. Raises RequestError."""
    if not stop:
        return net.length
    if state is None:
        raise RequestError(
            f"stop = {stop} rows: give state='drawing.safetensors' as well, the file from which to go on."
        )
    if not 0 < stop <= net.grid[0]:
        raise RequestError(f"stop is after how many of {net.grid[0]} rows of tokens; got {stop}.")
    return stop * net.grid[1]
