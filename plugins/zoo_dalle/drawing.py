"""Pictures that grow token by token, their keys and values kept, with all of chance drawn before the first.

A picture's tokens follow from its T uniform numbers: token k is the place where the k-th number falls in the summed
probabilities. So to stop and go on takes no more than those numbers and the tokens so far, and the file that holds them
is small. What was kept of the tokens is computed anew in one pass, to rounding the same: the picture is the same unless
a number falls within that rounding of a boundary.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo_dalle.asking import Asked, null
from zoo_dalle.choosing import Choice
from zoo_dalle.guidance import Guidance
from zoo_dalle.memory import Memory

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


class Drawing:
    """`times` pictures for each of the `count` entries of a condition, side by side: n = count * times, entry by entry.

    Attributes:
        tokens: (n, T) int64, drawn up to `place`.
        kept: (n, T) int64: of variations the tokens that stay, -1 where one is drawn; None where all are.
        scores: (n,) float64: sum of log p(t_k | t_<k, c) of the tokens drawn, unguided, at temperature 1.
    """

    def __init__(
        self,
        net: DalleModel,
        count: int,
        times: int,
        cond: Asked | None,
        choice: Choice,
        guidance: Guidance,
        uniforms: Tensor,
        scoring: bool = False,
        weights: str = "float",
    ) -> None:
        self.net, self.count, self.times, self.cond = net, count, times, cond
        self.choice, self.guidance, self.scoring = choice, guidance, scoring
        self.stepper, self.logits = net.transformer.stepper(weights), net.reader(weights)
        self.uniforms = uniforms.to(net.weight.device)  # (n, T)
        self.tokens = torch.zeros(uniforms.shape, dtype=torch.int64, device=net.weight.device)
        self.scores = torch.zeros(len(uniforms), dtype=torch.float64, device=net.weight.device)
        self.kept: Tensor | None = None
        self.place = 0
        if cond is not None and cond.forced is not None:
            self.place = cond.forced.shape[1]
            self.tokens[:, : self.place] = cond.forced.repeat_interleave(times, dim=0)
        self.memory: Memory | None = None
        self.hidden = torch.empty(0)
        self.guided = False  # the null's streams stand behind the conditional ones
        self.prompts = 0  # how many different ones are read: 1 or count

    @property
    def left(self) -> range:
        """The places that are still to be drawn."""
        return range(self.place, self.net.length)

    def vary(self, image: Tensor, anew: Tensor) -> None:
        """Keep the tokens of pictures (count, T), but for those that are drawn `anew` (n, T) bool."""
        own = image.repeat_interleave(self.times, dim=0)
        self.kept = own.masked_fill(anew.to(own.device), -1)

    def step(self) -> None:
        """Draw the next token of every picture."""
        self._ready()
        n, logits = len(self.tokens), self.logits(self.hidden)[:, 0].float()
        chosen = self.choice.draw(
            self.guidance.combine(logits) if self.guided else logits, self.uniforms[:, self.place]
        )
        if self.kept is not None:
            here = self.kept[:, self.place]
            chosen = torch.where(here < 0, chosen, here)
        self.tokens[:, self.place] = chosen
        if self.scoring:
            likely = logits[:n].log_softmax(-1).gather(-1, chosen[:, None]).squeeze(-1)
            self.scores += likely.double()
        self.place += 1
        if self.place < self.net.length:
            self._advance(chosen)

    def _ready(self) -> None:
        """Remember what the next place needs: one half, or two where it is guided."""
        if self.memory is None:
            self.memory, self.hidden = self._grown(self.cond)
        if self.guidance.at(self.place) and not self.guided:
            memory, hidden = self._grown(null(self.net, self.cond, self.count))
            self.memory = self.memory.join(memory)
            self.hidden, self.guided = torch.cat([self.hidden, hidden]), True

    def _advance(self, chosen: Tensor) -> None:
        assert self.memory is not None
        n = len(chosen)
        if self.guided and not self.guidance.at(self.place):
            self.memory, self.guided = self.memory.take(0, n), False
        x = self.net.embed_tokens(chosen[:, None], self.place - 1)
        both = torch.cat([x, x]) if self.guided else x
        self.hidden = self.stepper.step(both, self.memory)

    def _grown(self, cond: Asked | None) -> tuple[Memory, Tensor]:
        """What is kept of the prefix and the tokens so far, and the last position (n, 1, C).

        One prompt for all pictures is read once; a null is read as often as what it is joined to.
        """
        x = self.net.embed_prefix(cond, self.count)  # (count, P, C)
        allowed = None if cond is None else cond.allowed
        alike = bool((x == x[:1]).all()) and (
            allowed is None or bool((allowed == allowed[:1]).all())
        )
        groups = self.prompts = self.prompts or (1 if alike else self.count)
        allowed = None if allowed is None else allowed[:groups]
        memory = self.net.transformer.memory(groups, allowed=allowed)
        hidden = self.net.transformer.extend(x[:groups], memory)[:, -1:]
        times = self.count * self.times // groups
        memory, hidden = memory.repeat(times), hidden.repeat_interleave(times, dim=0)
        if self.place:
            image = self.net.embed_tokens(self.tokens[:, : self.place], 0)
            hidden = self.net.transformer.extend(image, memory)[:, -1:]
        return memory, hidden

    def save(self, path: Path) -> None:
        """Write what is needed to go on: numbers, tokens and scores, under a mark of what was asked."""
        from safetensors.torch import save_file

        tensors = {"uniforms": self.uniforms, "tokens": self.tokens, "scores": self.scores}
        if self.kept is not None:
            tensors["kept"] = self.kept
        about = {"place": self.place, "asked": self._mark()}
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(path.name + ".part")
        save_file(
            {name: each.cpu().contiguous() for name, each in tensors.items()},
            half,
            {"drawing": json.dumps(about)},
        )
        half.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote, its own numbers included.

        Raises RequestError for a file of another drawing, or none at all.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("drawing", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise RequestError(
                f"state: {path} is not a drawing that was stopped ({error})."
            ) from error
        if about is None:
            raise RequestError(
                f"state: {path} is a safetensors file, but not of a stopped drawing."
            )
        mark = self._mark()
        differing = [
            f"{name} was {about['asked'].get(name)!r}, is {value!r}"
            for name, value in mark.items()
            if about["asked"].get(name) != value
        ]
        if differing:
            raise RequestError(
                f"state: {path} holds another drawing: {'; '.join(differing)}. Ask for the same, or name another file."
            )
        device = self.tokens.device
        self.uniforms = tensors["uniforms"].to(device)
        self.tokens, self.scores = tensors["tokens"].to(device), tensors["scores"].to(device)
        self.kept = tensors["kept"].to(device) if "kept" in tensors else None
        self.place, self.memory, self.guided = int(about["place"]), None, False

    def _mark(self) -> dict[str, Any]:
        """What must be the same for a drawing to go on."""
        digest, given = sha256(), list[Tensor | None]()
        if self.cond is not None:
            given += [self.cond.prefix, self.cond.forced]
            if self.cond.image is not None:
                given += [self.cond.image, torch.tensor(self.cond.strength)]
        for each in given:
            digest.update(b"-" if each is None else each.cpu().contiguous().numpy().tobytes())
        digest.update(self.net.weight.detach().float().cpu().contiguous().numpy().tobytes())
        return {
            "pictures": list(self.tokens.shape),
            "candidates": self.times,
            "weights": self.stepper.weights,
            "condition and net": digest.hexdigest()[:16],
            **vars(self.choice),
            **{f"guidance {name}": value for name, value in vars(self.guidance).items()},
        }
