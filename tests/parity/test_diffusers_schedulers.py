"""Diffusers' schedulers, run live beside ours: every option of their configurations that a sampler reads."""

import warnings

import diffusers  # in the test extra: a missing reference is an error, not a skip
import pytest
import torch

from zoo_diffusion.parity.schedulers import reference_net
from zoo_diffusion.schedulers import plan

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SPACED = [
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "trailing"},
    {"timestep_spacing": "linspace"},
]
KINDS = [{"prediction_type": kind} for kind in ("epsilon", "v_prediction", "sample")]
TABLES = [
    SD,
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": torch.linspace(1e-3, 0.03, 1000).tolist()},
]
RATIOS = [{f"use_{kind}_sigmas": True} for kind in ("karras", "exponential")]
ZERO = {
    "rescale_betas_zero_snr": True,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
DYNAMIC = {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.9}
LAST = {"final_sigmas_type": "sigma_min"}

CASES = {
    "DDIMScheduler": [
        *SPACED, *KINDS, *TABLES, ZERO, {"clip_sample": True, "clip_sample_range": 0.7}, DYNAMIC,
        {"set_alpha_to_one": False, "clip_sample": False}, {"eta": 0.6}, {"eta": 1.0, "clip_sample": False},
    ],
    "DDPMScheduler": [
        *SPACED, *KINDS, *TABLES, ZERO, DYNAMIC, {"clip_sample": False}, {"beta_schedule": "sigmoid"},
        {"beta_schedule": "laplace"},
        {"variance_type": "fixed_large"}, {"variance_type": "fixed_large", "timestep_spacing": "trailing"},
        {"variance_type": "fixed_small_log"},
    ],
    "PNDMScheduler": [
        *SPACED, *[{**each, "skip_prk_steps": True} for each in SPACED], *KINDS[:2], *TABLES,
        {"skip_prk_steps": True, "prediction_type": "v_prediction", "steps_offset": 1}, {"set_alpha_to_one": True},
    ],
    "EulerDiscreteScheduler": [
        *SPACED, *KINDS, *TABLES, *RATIOS, ZERO, LAST, {"interpolation_type": "log_linear"},
        {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 9.0, "timestep_spacing": "trailing"},
        {"timestep_type": "continuous", "prediction_type": "v_prediction"},
    ],
    "EulerAncestralDiscreteScheduler": [*SPACED, *KINDS[:2], *TABLES, ZERO],
    "HeunDiscreteScheduler": [
        *SPACED, *KINDS, *TABLES, *RATIOS, {"clip_sample": True, "clip_sample_range": 0.5}, {"beta_schedule": "exp"},
    ],
    "DPMSolverMultistepScheduler": [
        *SPACED, *KINDS, *TABLES, *RATIOS, ZERO, LAST, DYNAMIC, {"solver_order": 1}, {"solver_order": 3, **LAST},
        {"solver_order": 3, "n": 20}, {"solver_type": "heun", "n": 20}, {"algorithm_type": "sde-dpmsolver++"},
        {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun", "n": 16, **LAST},
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "n": 16},
        {"algorithm_type": "dpmsolver", **LAST}, {"algorithm_type": "dpmsolver", "solver_order": 3, "n": 16, **LAST},
        {"algorithm_type": "dpmsolver", "solver_type": "heun", **LAST, **KINDS[1]},
        {"algorithm_type": "sde-dpmsolver", **LAST}, {"algorithm_type": "sde-dpmsolver", "solver_type": "heun", **LAST},
        {"algorithm_type": "dpmsolver", **DYNAMIC, **LAST}, {"use_lu_lambdas": True}, {"euler_at_final": True, **LAST},
        {"lower_order_final": False, **LAST}, {"lambda_min_clipped": -3.0, "beta_schedule": "squaredcos_cap_v2"},
        {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"},
    ],
    "UniPCMultistepScheduler": [
        *SPACED, *KINDS, *TABLES, *RATIOS, ZERO, LAST, DYNAMIC, {"solver_order": 1}, {"solver_order": 3},
        {"solver_order": 3, "solver_type": "bh1", **LAST}, {"solver_type": "bh1", **LAST},
        {"predict_x0": False, **LAST}, {"predict_x0": False, "solver_order": 3, **KINDS[1], **LAST},
        {"disable_corrector": [0, 2, 3]}, {"lower_order_final": False, **LAST},
        {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"},
        {"use_karras_sigmas": True, **LAST}, {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0},
    ],
    "FlowMatchEulerDiscreteScheduler": [
        {}, {"shift": 3.0}, {"shift_terminal": 0.02}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True},
        {"invert_sigmas": True}, {"stochastic_sampling": True},
    ],
}  # fmt: skip
EVERY = [(name, change) for name, changes in CASES.items() for change in changes]


def theirs(name, change, steps, start, noise, monkeypatch):
    eta = change.pop("eta", None)
    warnings.simplefilter("ignore")  # theirs: deprecated options, numpy's copies
    scheduler = getattr(diffusers, name)(**change)
    draws = iter(noise)
    module = __import__(type(scheduler).__module__, fromlist=["x"])
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: next(draws))
    scheduler.set_timesteps(steps)
    x, found = start * getattr(scheduler, "init_noise_sigma", 1.0), []
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        more = {} if eta is None else {"eta": eta}
        x = scheduler.step(reference_net(seen, float(t)), t, x, **more).prev_sample
        found.append(x)
    return (
        torch.stack(found),
        {**scheduler.config, "_class_name": name},
        len(noise) - sum(1 for _ in draws),
    )


@pytest.mark.parametrize(
    ("name", "change"), EVERY, ids=lambda each: str(each)[:60].replace("Scheduler", "")
)
def test_every_state_is_theirs(name, change, monkeypatch):
    change = dict(change)
    steps, eta = change.pop("n", 8), change.get("eta", 0.0)
    noise = torch.randn(40, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    start = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        want, config, drawn = theirs(name, change, steps, start, noise, monkeypatch)
    made = plan(config, steps, eta)
    rows = iter(noise)

    def denoise(x, level):
        return made.read(reference_net(x * level.scale, level.time), x, level)

    states = made.sampler(denoise, start * made.start, made.path, made.options, lambda: next(rows))
    got = torch.stack([state.x for state in states])
    assert got.shape == want.shape
    assert len(noise) - sum(1 for _ in rows) == drawn
    assert (got - want).abs().max() <= 2e-4 * max(1.0, float(want.abs().max()))
