"""What a training step needs of each accelerator, on paper: bytes held and bytes sent.

    python -m zoo.train.budget --depth 64 --width 3968 --heads 62 --devices 8 64 512

Letters: L blocks, w width, a heads, N positions, V symbols, b pictures a device sees at once; W = D T devices, D
groups that share a batch by T that share a layer. A block has B = 12 w^2 parameters (4 w^2 of attention, 8 w^2 of the
feed-forward; vectors are left out, below 0.1 % at these widths), what is outside of blocks R = (2 V + N) w; in all
P = L B + R.
Parameters, gradients and both moments of Adam are float32, matrix products 16 bits (`zoo.train.precision`).

    held for good    (4 + 4 + 8 + 4) (L B / T + R) / D      parameters, gradients, moments, averages (if ema)
    gathered         4 (2 B / T + R) + 4 B / T              shard = "full": a block, the next one, a gradient
                     4 (L B / T + R) + 4 B / T              shard = "grads"
    activations      b N w (10 + 24 / T) L                  16 bits, attention fused (Korthikanti et al. 2022,
                                                            arXiv:2205.05198, equation 2 without 5 a N^2 b)
                     b N w (2 L + 10 + 24 / T)              gradient checkpointing: block inputs, and one block's whole
                     + 5 a N^2 b / T for each block that is held, where attention is not fused
    logits           12 b N V                               float32: the logits, their softmax, their gradient

    sent             (D - 1) / D 4 (3 L B / T + 2 R)        "full": gathered forward and backward, gradients scattered
                     (D - 1) / D 4 (2 L B / T + 2 R)        "grads"; "none" (DDP, T = 1) sends 8 P (D - 1) / D too
    sent in layers   L (4 or 6) 2 (T - 1) / T 2 b N w       all-reduces of a block's two outputs and their gradients,
                                                            and the outputs again if recomputed

Sent is what one device sends, which is what it receives; collectives go round a ring. What it leaves out: buffers of
the collectives, fragments of the allocator, the tokenizer (none: `zoo encode --shards`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from zoo.columns import columns

GB = 1e9


@dataclass(frozen=True)
class Net:
    """The transformer: all counts are of numbers, not bytes."""

    depth: int
    width: int
    heads: int
    positions: int
    symbols: int

    @property
    def block(self) -> int:
        """Parameters of one block."""
        return 12 * self.width**2

    @property
    def rest(self) -> int:
        """Parameters outside of blocks."""
        return (2 * self.symbols + self.positions) * self.width

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.depth * self.block + self.rest


@dataclass(frozen=True)
class Plan:
    """How it is trained: `groups` by `tensor` devices, `pictures` a device at once."""

    groups: int
    tensor: int = 1
    pictures: int = 1
    shard: str = "full"
    checkpointing: bool = True
    fused: bool = True  # attention that never writes its N x N weights
    ema: bool = True


@dataclass(frozen=True)
class Budget:
    """Bytes on one device, and bytes it sends in a step."""

    parameters: float
    gradients: float
    moments: float
    averages: float
    gathered: float
    activations: float
    logits: float
    sent: float
    sent_in_layers: float

    @property
    def held(self) -> float:
        """All that is in memory at the worst moment."""
        stored = self.parameters + self.gradients + self.moments + self.averages
        return stored + self.gathered + self.activations + self.logits


def stored(blocks: float, rest: float, plan: Plan) -> float:
    """Numbers of `blocks` + `rest` parameters that one device stores of one copy of the net."""
    if plan.shard == "none":
        return blocks + rest
    return (blocks / plan.tensor + rest) / plan.groups


def sent(blocks: float, rest: float, plan: Plan) -> float:
    """Bytes that one device sends a step so that groups agree on parameters and gradients."""
    ring = (plan.groups - 1) / plan.groups
    if plan.shard == "none":
        return ring * 8 * (blocks + rest)
    passes = 3 if plan.shard == "full" else 2
    return ring * 4 * (passes * blocks / plan.tensor + 2 * rest)


def budget(net: Net, plan: Plan) -> Budget:
    """The formulas of this module's head, in bytes."""
    blocks = net.depth * net.block
    copy = 4 * stored(blocks, net.rest, plan)
    gathered = 0.0
    if plan.shard != "none":
        at_once = 2 * net.block if plan.shard == "full" else blocks
        gathered = 4 * (at_once / plan.tensor + net.rest) + 4 * net.block / plan.tensor
    stream = plan.pictures * net.positions * net.width
    inside = stream * (10 + 24 / plan.tensor)
    if not plan.fused:
        inside += 5 * net.heads * net.positions**2 * plan.pictures / plan.tensor
    layers = (6 if plan.checkpointing else 4) * net.depth
    return Budget(
        parameters=copy,
        gradients=copy,
        moments=2 * copy,
        averages=copy if plan.ema else 0.0,
        gathered=gathered,
        activations=2 * stream * net.depth + inside if plan.checkpointing else inside * net.depth,
        logits=12.0 * plan.pictures * net.positions * net.symbols,
        sent=sent(blocks, net.rest, plan),
        sent_in_layers=layers * 2 * (plan.tensor - 1) / plan.tensor * 2 * stream,
    )


def table(net: Net, plans: list[Plan]) -> str:
    """One line a plan, in gigabytes."""
    head = ["devices", "groups", "tensor", "shard", "ckpt", "parameters", "gradients", "moments"]
    head += ["averages", "gathered", "activations", "logits", "held", "sent", "sent-in-layers"]
    rows = []
    for plan in plans:
        found = budget(net, plan)
        numbers = (
            found.parameters, found.gradients, found.moments, found.averages, found.gathered,
            found.activations, found.logits, found.held, found.sent, found.sent_in_layers,
        )  # fmt: skip
        devices, kept = plan.groups * plan.tensor, "yes" if plan.checkpointing else "no"
        named = [str(devices), str(plan.groups), str(plan.tensor), plan.shard, kept]
        rows.append([*named, *(f"{each / GB:.1f}" for each in numbers)])
    return columns(head, rows, right=[each for each in head if each not in ("shard", "ckpt")])


def plans_of(devices: list[int], pictures: int) -> list[Plan]:
    """What one would choose from, for each number of devices."""
    found = []
    for count in devices:
        found += [
            Plan(count, pictures=pictures, checkpointing=False),
            Plan(count, pictures=pictures),
            Plan(count, pictures=pictures, shard="grads"),
        ]
        if count >= 8:
            found.append(Plan(count // 8, 8, pictures=pictures))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m zoo.train.budget", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--width", type=int, default=3968)
    parser.add_argument("--heads", type=int, default=62)
    parser.add_argument("--positions", type=int, default=1280)
    parser.add_argument("--symbols", type=int, default=24576, help="of text and image together")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--pictures", type=int, default=1, help="a device sees at once")
    given = parser.parse_args(arguments)
    net = Net(given.depth, given.width, given.heads, given.positions, given.symbols)
    print(f"{net.parameters / GB:.2f} B parameters, {given.pictures} pictures a device; GB")
    print(table(net, plans_of(given.devices, given.pictures)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
