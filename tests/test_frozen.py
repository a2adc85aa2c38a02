"""Hooks may grow: a plugin and wrappers of old go on working when they gain arguments."""

import hashlib
import inspect
import types
from functools import partial

import pytest
import torch
from strangers import THIRD_PARTY

from zoo import hookspecs, plugins, rng

FROZEN = THIRD_PARTY / "zoo-frozen" / "zoo_frozen.py"
OF_THEN = {
    "build": "config parts",
    "condition": "net request batch",
    "encode": "net images cond generator",
    "decode": "net latents cond",
    "sample": "net count cond options generator progress",
    "log_prob": "net images cond generator",
    "objectives": "net recipe",
    "adopt": "keys config",
}
SHA256 = "eed557134c2d8b4ba4cef8dccd18c9c10c1d5c726d908729e68c4b8187a15de6"


def grown():
    """The specs as they may be one day: every hook with an argument more, in front of the others."""
    later = types.ModuleType("later_hookspecs")
    for name in (*hookspecs.HOOKS, *hookspecs.WORKSHOP):
        taken = ", ".join(["urgency", *inspect.signature(getattr(hookspecs, name)).parameters])
        exec(f"def {name}({taken}): 'Documented.'", vars(later))
        setattr(later, name, hookspecs.hookspec(firstresult=True)(getattr(later, name)))
    return later


@pytest.fixture
def frozen(monkeypatch):
    monkeypatch.syspath_prepend(str(FROZEN.parent))
    import zoo_frozen

    return zoo_frozen


def test_the_frozen_plugin_is_as_it_was():
    assert hashlib.sha256(FROZEN.read_bytes()).hexdigest() == SHA256, "restore it; add another"


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
def test_a_frozen_plugin_works_when_hooks_gain_arguments(frozen, monkeypatch, later):
    if later:
        monkeypatch.setattr(plugins, "hookspecs", grown())
    around = frozen.Wrappers()
    wrapped = plugins.Wrappers("frozen", "zoo-frozen 0.1", {}, around)
    monkeypatch.setattr(plugins, "wrapper_names", lambda: ["frozen"])
    monkeypatch.setattr(plugins, "wrappers", {"frozen": wrapped}.get)
    family = plugins.register("frozen", frozen, "zoo-frozen 0.1")
    call = partial(family.call, **({"urgency": 3} if later else {}))
    net = call("build", config={"scale": 2.0}, parts={})
    cond = call("condition", net=net, request={"shift": 0.5}, batch=2)
    images = torch.ones(2, 1, 4, 4)
    latents = call("encode", net=net, images=images, cond=None, generator=None)
    assert torch.equal(latents, images / 2)
    assert torch.equal(call("decode", net=net, latents=latents, cond=None), images)
    assert call("log_prob", net=net, images=images, cond=None, generator=None).tolist() == [-16] * 2
    drawing = {"options": {"scale": 0.0}, "generator": rng.generator(0), "progress": iter}
    assert (call("sample", net=net, count=2, cond=cond, **drawing) == 0.5).all()
    assert call("objectives", net=net, recipe={}) == []
    assert call("adopt", keys={}, config=None) is None
    assert around.seen == ["encode", "decode", "log_prob", "sample"]


def test_no_argument_of_then_is_gone():
    """What `grown` cannot show: an argument that was renamed or taken away."""
    for name, taken in OF_THEN.items():
        assert set(taken.split()) <= set(inspect.signature(getattr(hookspecs, name)).parameters)
