import inspect

import pluggy
import pytest

from zoo import hookspecs

SPECS = {
    "build": ["config", "parts"],
    "condition": ["net", "request", "batch"],
    "encode": ["net", "images", "cond", "generator"],
    "decode": ["net", "latents", "cond"],
    "sample": ["net", "count", "cond", "options", "generator", "progress"],
    "log_prob": ["net", "images", "cond", "generator"],
    "objectives": ["net", "recipe"],
    "adopt": ["keys", "config"],
}


def specified():
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    return {name: caller.spec for name, caller in vars(manager.hook).items() if caller.spec}


def test_there_are_six_hooks_and_two_for_the_workshop():
    assert set(specified()) == set(hookspecs.HOOKS) | set(hookspecs.WORKSHOP) == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_has_one_answer_and_says_what_it_is(name):
    spec = specified()[name]
    assert spec.opts["firstresult"]
    assert list(spec.argnames) == SPECS[name]
    assert inspect.getdoc(getattr(hookspecs, name))


@pytest.mark.parametrize("name", SPECS)
def test_no_hook_has_a_default_which_pluggy_would_not_pass(name):
    for each in inspect.signature(getattr(hookspecs, name)).parameters.values():
        assert each.default is each.empty
        assert each.kind is each.POSITIONAL_OR_KEYWORD
