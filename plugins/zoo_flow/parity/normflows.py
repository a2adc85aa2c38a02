"""normflows' RealNVP on vectors and its multi-scale Glow, run by our maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ForeignError
from zoo.parity import Case
from zoo_flow.bijections import Coupling
from zoo_flow.net import Gaussian
from zoo_flow.parity.layout import (
    Reversed,
    State,
    Unsqueeze,
    actnorm,
    below,
    convolution,
    coupling,
    numbers,
    permutation,
)


def there(chain: Sequence[nn.Module], z: Tensor) -> tuple[Tensor, Tensor]:
    """Z (B, ...) to x, and the log-determinant (B,)."""
    total = z.new_zeros(len(z))
    for step in chain:
        z, logdet = step(z)
        total = total + logdet
    return z, total


def back(chain: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """X (B, ...) to z, and the log-determinant (B,) of that direction."""
    total = x.new_zeros(len(x))
    for step in reversed(chain):
        x = step.inverse(x)  # type: ignore[operator]
        total = total - step(x)[1]
    return x, total


def base(state: State, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """Log-density (B,) of a diagonal Gaussian, of each label its own if there are labels."""
    loc, log_scale = state["loc"], state["log_scale"]
    if loc.ndim == z.ndim and (loc.shape[0] != 1 or loc.shape[1:] != z.shape[1:]):
        if labels is None:
            raise ForeignError("a base with classes needs labels ('in.y')")
        share = (
            labels.to(loc)
            if labels.ndim == 2
            else nn.functional.one_hot(labels.long(), loc.shape[-1]).to(loc)
        )
        total = [
            _gaussian((loc @ each)[None], (log_scale @ each)[None], one[None])
            for each, one in zip(share, z, strict=True)
        ]
        return torch.cat(total)
    return _gaussian(loc, log_scale, z)


def _gaussian(loc: Tensor, log_scale: Tensor, z: Tensor) -> Tensor:
    prior = Gaussian(tuple(loc.shape[1:]))
    prior.mean.data, prior.log_scale.data = loc, log_scale
    e, logdet = prior(z)
    squares: Tensor = e.square().flatten(1).sum(1)
    nats: Tensor = logdet - squares / 2 - z[0].numel() * math.log(2 * math.pi) / 2
    return nats


class RealNVPRunner:
    """Couplings, permutations and ActNorms over vectors."""

    name = "normflows-realnvp"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        if len(case.files) != 1 or not {"x", "z"} <= set(case.inputs):
            return False
        keys = case.checkpoint().keys
        return "q0.loc" in keys and any(k.startswith("flows.0.flows.1.param_map") for k in keys)

    def chain(self, case: Case) -> list[nn.Module]:
        """The maps in the order of `forward`, z to x."""
        config, state = case.config or {}, below(case.weights(), "flows.")
        channels = case.inputs["x"].shape[1]
        recorded = [int(k[4:].split(".")[0]) for k in case.outputs if k.startswith("step")]
        made: list[nn.Module] = []
        for number in range(max([*numbers(state), *recorded]) + 1):
            part = below(state, f"{number}.")
            if "s" in part:
                made.append(actnorm(part))
            elif any(key.startswith("flows.") for key in part):
                made.append(
                    coupling(
                        part,
                        channels,
                        str(config.get("scale_map", "exp")),
                        bool(config.get("scale", True)),
                        str(config.get("split_mode", "channel")),
                        float(config.get("leaky", 0.0)),
                    )
                )
            else:
                made.append(permutation(part, channels))
        return made

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        chain, q0 = self.chain(case), below(case.weights(), "q0.")
        x, out = case.inputs["x"], {}
        out["x_to_z"], out["x_to_z_logdet"] = back(chain, x)
        out["base_log_prob"] = base(q0, out["x_to_z"], case.inputs.get("y"))
        out["log_prob"] = out["base_log_prob"] + out["x_to_z_logdet"]
        z = case.inputs["z"]
        out["z_to_x"], out["z_to_x_logdet"] = there(chain, z)
        for number, step in enumerate(chain):
            if isinstance(step, Coupling):
                stays, moves = step.parts(z)
                raw, shift = step.net(stays).chunk(2, dim=1)
                named = {"x1": stays, "x2": moves, "t": shift, "s_raw": raw}
            z, logdet = step(z)
            out[f"step{number}.out"], out[f"step{number}.logdet"] = z, logdet
            if isinstance(step, Coupling):
                named["y2"] = step.parts(z)[1]
                out |= {f"step{number}.coupling.{key}": value for key, value in named.items()}
        return out


class GlowRunner:
    """Levels of Glow blocks; half of the channels leave between levels."""

    name = "normflows-glow"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        if len(case.files) != 1 or "x" not in case.inputs:
            return False
        keys = case.checkpoint().keys
        return "q0.0.loc" in keys and any(k.startswith("flows.0.0.flows.") for k in keys)

    def block(self, case: Case, state: State) -> list[nn.Module]:
        """One GlowBlock in the order of `forward`: coupling, convolution (if any), ActNorm."""
        config, parts = case.config or {}, below(state, "flows.")
        made: list[nn.Module] = []
        channels = max(below(parts, f"{n}.")["s"].shape[1] for n in numbers(parts)[-1:])
        for number in numbers(parts):
            part = below(parts, f"{number}.")
            if "s" in part:
                made.append(actnorm(part))
            elif "log_S" in part or "W" in part:
                made.append(Reversed(convolution(part)))
            else:
                made.append(
                    coupling(
                        part,
                        channels,
                        str(config.get("scale_map", "sigmoid")),
                        bool(config.get("scale", True)),
                        str(config.get("split_mode", "channel")),
                        float(config.get("leaky", 0.0)),
                    )
                )
        return made

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        state = case.weights()
        levels = [below(state, f"flows.{n}.") for n in numbers(below(state, "flows."))]
        blocks = [[self.block(case, below(s, f"{n}.")) for n in numbers(s)] for s in levels]
        chains = [[*(step for each in level for step in each), Unsqueeze()] for level in blocks]
        h, leaves, logdet, out = case.inputs["x"], [], [], {}
        for number in reversed(range(len(chains))):
            h, total = back(chains[number], h)
            logdet.append(total)
            if number:
                h, leaving = h.chunk(2, dim=1)
                leaves.append(leaving)
        leaves = [h, *reversed(leaves)]
        labels = case.inputs.get("y")
        out["logdet"] = torch.stack(logdet).sum(0)
        out["log_prob"] = out["logdet"] + sum(
            base(below(state, f"q0.{n}."), z, labels) for n, z in enumerate(leaves)
        )
        out["bits_per_dim"] = -out["log_prob"] / (case.inputs["x"][0].numel() * math.log(2))
        out |= {f"z.{number}": z for number, z in enumerate(leaves)}
        x, total = leaves[0], torch.zeros(len(h))
        for number, chain in enumerate(chains):
            x = torch.cat([x, leaves[number]], dim=1) if number else x
            x, more = there(chain, x)
            total = total + more
        out["x_back"], out["logdet_forward"] = x, total
        return out | self._parts(case, blocks[-1][0])

    def _parts(self, case: Case, block: list[nn.Module]) -> dict[str, Tensor]:
        """The maps of the first block of the finest level, in inverse order, on the squeezed input."""
        h = nn.functional.pixel_unshuffle(case.inputs["x"], 2)
        out = {"squeezed": h}
        recorded = {k.split(".")[1]: k for k in case.outputs if k.endswith(".inverse_out")}
        for number in reversed(range(len(block))):
            h, logdet = back(block[number : number + 1], h)
            out[recorded.get(str(number), f"block.{number}.inverse_out")] = h
            out[f"block.{number}.logdet"] = logdet
        return out
