"""What is asked of log_prob, bound or flow, and how both are run; `bounds` and `ode` hold the mathematics.

likelihood  "bound" (of a discrete schedule) or "ode"; by default the bound where there is one
trace       of the flow: "estimate" (Hutchinson's) or "exact"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError
from zoo.nn.diffusion import choosing, ode, spacing
from zoo.nn.diffusion.levels import Path
from zoo.nn.diffusion.process import Process
from zoo.nn.diffusion.samplers import Denoise
from zoo.nn.diffusion.sampling import Denoising, Run, Told, denoiser

REQUEST: dict[str, Any] = {"likelihood": "", "trace": "estimate"}
FLOW_STEPS = 32  # of Runge and Kutta's rule, where nothing else is asked for


def usual(process: Process) -> str:
    """The likelihood where none is asked for."""
    return "ode" if process.continuous else "bound"


def asked(wanted: SimpleNamespace, process: Process) -> tuple[str, bool]:
    """Which likelihood a request (of at least REQUEST's keys) means, and whether the trace is exact.

    Raises RequestError for what is not known, or not there for this process.
    """
    kind = wanted.likelihood or usual(process)
    known: Sequence[tuple[str, str, tuple[str, str]]] = (
        ("likelihood", kind, ("bound", "ode")),
        ("trace", wanted.trace, ("estimate", "exact")),
    )
    for name, given, these in known:
        if given not in these:
            raise RequestError(f"{name} must be one of {', '.join(these)}, is {given!r}.")
    if kind == "bound" and process.continuous:
        raise RequestError(
            f"The schedule {process.schedule!r} is continuous and has no bound term by term: likelihood='ode'."
        )
    return kind, wanted.trace == "exact"


def plain(net: Denoising, count: int, told: Told, clip: bool = False) -> Denoise:
    """The net as it answers without guidance."""
    return denoiser(Run(net, count, choosing.chosen(net.process, {"clip": clip}), told))


def path(process: Process, steps: int) -> Path:
    """The steps whose terms are the bound's; 0: all of the schedule."""
    return spacing.path(process, steps or process.steps, "linspace")


def fresh(streams: list[Generator], x: Tensor) -> Callable[[], Tensor]:
    """Standard normal numbers like x (B, C, H, W), row i from stream i alone."""
    return lambda: rng.normal(streams, *x.shape[1:], device=x.device, dtype=x.dtype)


def flow(
    denoise: Denoise,
    x: Tensor,
    process: Process,
    steps: int,
    exact: bool,
    streams: list[Generator],
) -> Tensor:
    """The flow's log density (B,) of x (B, C, H, W), in nats; `exact`: with the trace itself."""
    signs: Tensor | None = None
    if not exact:
        signs = (rng.uniform(streams, *x.shape[1:]) < 0.5).to(x) * 2 - 1
    return ode.log_density(denoise, x, process, steps or min(FLOW_STEPS, process.steps), signs)
