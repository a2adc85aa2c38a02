"""How OpenAI's GaussianDiffusion is run with ours: a given net, given noise; tables, steps, loops, losses, bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.nn.diffusion import Level, Path, Predicted, Step, bounds, losses, posterior, samplers
from zoo.nn.diffusion.spacing import sections
from zoo.parity import Case, Runner
from zoo_diffusion.parity._given import Run, net, process_of


class GaussianRunner:
    """Everything that the reference's class computes."""

    name = "openai-gaussian-diffusion"

    def recognise(self, case: Case) -> bool:
        return {"x_T", "t_full", "t_spaced"} <= case.inputs.keys() and "noise_schedule" in (
            case.config or {}
        )

    def run(self, case: Case) -> Mapping[str, Tensor]:
        if case.config is None:
            raise ForeignError(f"{case.folder} has no config.json")
        config = case.config
        process = process_of(config)
        kept = sections(process.steps, str(config.get("timestep_respacing") or ""))
        learned = process.variance == "learned-range"
        full = Run(process, list(range(process.steps)), net(learned))
        spaced = Run(process, kept, net(learned))
        out = {f"full.{key}": value for key, value in _tables(full).items()}
        out |= {f"spaced.{key}": value for key, value in _tables(spaced).items()}
        out["spaced.timestep_map"] = torch.tensor(kept)
        out |= _forward(full, case.inputs)
        x = _noised(spaced, case.inputs["x0"], case.inputs["t_spaced"], case.inputs["noise"][1])
        out |= {"x_spaced": x} | _back(spaced, config, x, case.inputs)
        return out | _loops(spaced, case.inputs) | _losses(full, config, case.inputs)


def _tables(run: Run) -> dict[str, Tensor]:
    steps = [run.step(place) for place in range(len(run.kept))]
    variances = [posterior.variance(step.at, step.to) for step in steps]
    clipped = [max(v, step.least) for v, step in zip(variances, steps, strict=True)]
    pairs = [posterior.coefficients(step.at, step.to) for step in steps]
    rows = {
        "betas": [posterior.beta(step.at, step.to) / 1.0 for step in steps],
        "alphas_cumprod": [step.at.alpha**2 for step in steps],
        "posterior_variance": variances,
        "posterior_log_variance_clipped": [log(each) for each in clipped],
        "posterior_mean_coef1": [pair[0] for pair in pairs],
        "posterior_mean_coef2": [pair[1] for pair in pairs],
    }
    return {key: torch.tensor(value, dtype=torch.float64) for key, value in rows.items()}


def _noised(run: Run, x0: Tensor, places: Tensor, noise: Tensor) -> Tensor:
    return run.each(x0, places, lambda x, step, e: step.at.noised(x, e), noise)


def _forward(run: Run, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    x0, places, noise = given["x0"], given["t_full"], given["noise"][0]
    blank = torch.ones_like(x0)
    x = _noised(run, x0, places, noise)
    posterior_log = run.each(
        blank,
        places,
        lambda one, step: one * posterior.log_variance(Predicted(one, one), step, "posterior"),
    )
    return {
        "q_sample": x,
        "q_mean_variance.mean": run.each(x0, places, lambda x, step: x * step.at.alpha),
        "q_mean_variance.variance": run.each(
            blank, places, lambda one, step: one * step.at.sigma**2
        ),
        "q_mean_variance.log_variance": run.each(
            blank, places, lambda one, step: one * 2 * log(step.at.sigma)
        ),
        "q_posterior.mean": run.each(
            x, places, lambda x, step, x0: posterior.mean(x0, x, step), x0
        ),
        "q_posterior.variance": run.each(
            blank, places, lambda one, step: one * posterior.variance(step.at, step.to)
        ),
        "q_posterior.log_variance": posterior_log,
    } | _all_moments(run, x, places)


def _all_moments(run: Run, x: Tensor, places: Tensor) -> dict[str, Tensor]:
    fixed = replace(run, process=replace(run.process, variance="beta"), net=net(False))
    x0 = replace(run, process=replace(run.process, prediction="x0"))
    made = {"p_mean_variance": (run, True), "p_mean_variance_noclip": (run, False),
            "p_mean_variance_fixed_large": (fixed, True), "p_mean_variance_predict_xstart": (x0, True)}  # fmt: skip
    return {
        f"{name}.{key}": value
        for name, (each, clip) in made.items()
        for key, value in _moments(each, x, places, clip).items()
    }


def _moments(run: Run, x: Tensor, places: Tensor, clip: bool = True) -> dict[str, Tensor]:
    denoise = run.denoise(clip)

    def log_var(x: Tensor, step: Step) -> Tensor:
        found = denoise(x, step.at)
        every: Tensor = torch.ones_like(x) * posterior.log_variance(
            found, step, run.process.variance
        )
        return every

    logs = run.each(x, places, log_var)
    variance = logs.exp()
    if run.process.variance == "posterior":
        variance = run.each(
            x, places, lambda x, step: torch.ones_like(x) * posterior.variance(step.at, step.to)
        )
    return {
        "mean": run.each(
            x, places, lambda x, step: posterior.mean(denoise(x, step.at).x0, x, step)
        ),
        "variance": variance,
        "log_variance": logs,
        "pred_xstart": run.each(x, places, lambda x, step: denoise(x, step.at).x0),
    }


def _back(
    run: Run, config: Mapping[str, Any], x: Tensor, given: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """One step of each kind, from places of each picture's own."""
    places, noise = given["t_spaced"], given["noise"]

    def one(sampler: samplers.Sampler, options: samplers.Options, e: Tensor, **how: bool) -> Tensor:
        def taken(x: Tensor, step: Step, e: Tensor) -> Tensor:
            chosen = replace(
                options, noise_last=bool(step.to.sigma), eta=options.eta * bool(step.to.sigma)
            )
            return run.sampled(sampler, x, e[None], chosen, Path((step,), run.process.at), **how)

        return run.each(x, places, taken, e)

    plain = samplers.Options(variance=run.process.variance)
    denoise = run.denoise()

    def reverse(x: Tensor, step: Step) -> Tensor:
        place = run.path.steps.index(step)
        to = run.path.steps[place - 1].at if place else Level(0.0, 0.0, 1.0)
        found = denoise(x, step.at)
        back: Tensor = found.x0 * to.alpha + found.eps * to.sigma
        return back

    return {
        "p_sample.sample": one(samplers.ddpm, plain, noise[2]),
        "p_sample.pred_xstart": run.each(x, places, lambda x, step: denoise(x, step.at).x0),
        "ddim_sample_eta0.0.sample": one(samplers.ddim, plain, noise[3]),
        "ddim_sample_eta0.6.sample": one(samplers.ddim, replace(plain, eta=0.6), noise[3]),
        "ddim_reverse.sample": run.each(x, places, reverse),
        "p_sample_cond_fn.sample": one(samplers.ddpm, plain, noise[2], push=True),
        "ddim_sample_cond_fn.sample": one(samplers.ddim, plain, noise[3], push=True, fold=True),
    }


def _loops(run: Run, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sampling from the first noise to the end, and the bound over all steps."""
    x0, size = given["x0"], log(2) * given["x0"][0].numel()
    noise = iter(given["noise"]).__next__
    totals = list(bounds.terms(run.denoise(), x0, run.path, run.process.variance, noise))
    vb = torch.stack([each.nats for each in totals], 1) / size
    prior = bounds.prior(x0, run.path.steps[0].at) / size
    options = samplers.Options(variance=run.process.variance)
    loop = given["x_T"], given["noise"], options, run.path
    return {
        "p_sample_loop": run.sampled(samplers.ddpm, *loop),
        "ddim_sample_loop": run.sampled(samplers.ddim, *loop),
        "prior_bpd": prior,
        "calc_bpd_loop.prior_bpd": prior,
        "calc_bpd_loop.vb": vb,
        "calc_bpd_loop.total_bpd": vb.sum(1) + prior,
        "calc_bpd_loop.xstart_mse": torch.stack([each.x0_error for each in totals], 1),
        "calc_bpd_loop.mse": torch.stack([each.eps_error for each in totals], 1),
    }


def _losses(run: Run, config: Mapping[str, Any], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Training's losses, and one term of the bound, each picture at a time of its own."""
    x0, places, noise = given["x0"], given["t_full"], given["noise"]
    process = run.process
    drawn, wanted = (
        _noised(run, x0, places, noise[4]),
        noise[4] if process.prediction == "eps" else x0,
    )
    told = [run.step(int(place)).at.time for place in places]
    answers = torch.cat([run.net(drawn[i : i + 1], t) for i, t in enumerate(told)])
    vb = losses.term(process, answers, drawn, x0, places, held=True)
    mse = losses.squares("simple", process, answers, x0, noise[4], process.levels(places, drawn))
    learned = process.variance == "learned-range"
    plain = {"vb": vb, "mse": mse, "loss": mse + vb}
    out = plain if learned else {"loss": mse}
    if config.get("use_kl"):
        out = {"loss": vb * process.steps}
    elif learned and config.get("rescale_learned_sigmas"):
        share = process.steps / 1000
        out = {"vb": vb * share, "mse": mse, "loss": mse + vb * share}
    denoise = run.denoise()

    def term(x: Tensor, step: Step, x0: Tensor) -> Tensor:
        nats = bounds.step_nats(denoise(x, step.at), x0, x, step, process.variance)
        return nats / (log(2) * x0[0].numel())

    x = _noised(run, x0, places, noise[0])
    coded = posterior.discretised(
        x0, x / 2, -2.0
    )  # the mean and scale that the cases were recorded with
    made = {f"training_losses.{key}": value for key, value in out.items()}
    made |= {f"training_losses_mse_learned.{key}": value for key, value in plain.items()}
    return made | {
        "training_losses_fixed_sigma.loss": (answers[:, : x0.shape[1]] - wanted)
        .square()
        .flatten(1)
        .mean(1),
        "vb_terms_bpd.output": run.each(x, places, term, x0),
        "discretized_log_likelihood": coded,
    }


RUNNERS: list[Runner] = [GaussianRunner()]
