import sys
import types

import pytest
import torch

from zoo import hookimpl, plugins
from zoo.errors import PluginError, UnknownFamily, Unsupported

SAMPLE = {"net": None, "cond": None, "options": {}, "generator": None, "progress": iter}


def plugin(**hooks):
    """A plugin of functions, each marked as a hook."""
    made = types.ModuleType("made")
    for name, function in {"build": lambda config: torch.nn.Identity(), **hooks}.items():
        setattr(made, name, hookimpl(function))
    return made


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Writes distributions that importlib.metadata finds, as pip would have installed them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.family.cache_clear()

    def install(name, group, entry, source):
        module = f"installed_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry} = {module}\n")
        return module

    yield install
    plugins.family.cache_clear()
    for module in [each for each in sys.modules if each.startswith("installed_")]:
        del sys.modules[module]


BUILD = """
from torch import nn
from zoo import hookimpl
@hookimpl
def build(config):
    return nn.Identity()
"""


def test_families_are_found_without_importing_them(installed):
    module = installed("zoo-quiet", "zoo.families", "quiet", BUILD)
    assert "quiet" in plugins.families()
    assert module not in sys.modules
    assert plugins.family("quiet").distribution == "zoo-quiet 1.0"
    assert module in sys.modules


def test_an_unknown_family_is_told_what_exists(installed):
    installed("zoo-quiet", "zoo.families", "quiet", BUILD)
    with pytest.raises(UnknownFamily, match=r"'quite'.*Did you mean 'quiet'.*Installed: .*quiet"):
        plugins.family("quite")


def test_two_distributions_of_one_name_are_both_named(installed):
    installed("zoo-one", "zoo.families", "same", BUILD)
    installed("zoo-two", "zoo.families", "same", BUILD)
    with pytest.raises(PluginError, match=r"zoo-one 1\.0 and zoo-two 1\.0 both bring .*'same'"):
        plugins.family("same")


def test_a_family_that_does_not_import_is_named_with_its_cause(installed):
    installed("zoo-torn", "zoo.families", "torn", "raise RuntimeError('no such chip')")
    with pytest.raises(PluginError, match=r"zoo-torn 1\.0: .*'torn'.*RuntimeError: no such chip"):
        plugins.family("torn")


def test_one_family_never_answers_for_another():
    one = plugins.register("one", plugin(decode=lambda latents: latents + 1))
    two = plugins.register("two", plugin())
    assert one.call("decode", net=None, latents=1, cond=None) == 2
    with pytest.raises(Unsupported, match=r"'two' does not give decode"):
        two.call("decode", net=None, latents=1, cond=None)


def test_unsupported_names_families_that_can(installed):
    able = BUILD + "@hookimpl\ndef log_prob(net):\n    return 0\n"
    installed("zoo-able", "zoo.families", "able", able)
    installed("zoo-torn", "zoo.families", "torn", "raise RuntimeError")
    with pytest.raises(Unsupported, match=r"These do: .*able"):
        plugins.register("unable", plugin()).call("log_prob", net=None)


def test_none_is_no_answer_except_of_adopt():
    family = plugins.register("mute", plugin(sample=lambda net: None, adopt=lambda keys: None))
    with pytest.raises(PluginError, match=r"this process: sample .*'mute' answered None"):
        family.call("sample", count=1, **SAMPLE)
    assert family.call("adopt", keys={}, config=None) is None


@pytest.mark.parametrize(
    ("hooks", "words"),
    [
        ({"encod": lambda net: 1}, r"no hook 'encod'\. Did you mean 'encode'"),
        ({"encode": lambda net, cond=None: 1}, r"encode: `cond=None` would never receive"),
        ({"encode": lambda *, net: 1}, r"encode: `net` would never receive"),
        ({"encode": lambda *net: 1}, r"encode: `\*net` would never receive"),
        ({"encode": lambda net, image: 1}, r"no argument 'image'\. Did you mean 'images'"),
    ],
)
def test_a_hook_that_pluggy_would_misunderstand_is_refused(hooks, words):
    with pytest.raises(PluginError, match=f"zoo-x 1, family 'x'.*{words}"):
        plugins.register("x", plugin(**hooks), "zoo-x 1")


def test_a_hook_under_another_name_is_taken_once():
    made = plugin()
    made.sample_fast = hookimpl(specname="sample")(lambda count: count)
    assert plugins.register("x", made).call("sample", count=3, **SAMPLE) == 3
    made.sample = hookimpl(lambda count: count)
    with pytest.raises(PluginError, match="sample is implemented twice"):
        plugins.register("x", made)


def test_a_family_may_be_an_object_with_methods():
    class Object:
        @hookimpl
        def build(self, config):
            return torch.nn.Linear(config["size"], 1)

    family = plugins.register("object", Object())
    assert family.call("build", config={"size": 3}, parts={}).in_features == 3


WRAPPER = """
from zoo import hookimpl
seen = []
@hookimpl(wrapper=True)
def sample(count):
    answer = yield
    seen.append(count)
    return answer * 2
"""


def test_wrappers_are_around_every_family(installed):
    module = installed("zoo-watch", "zoo.wrappers", "watch", WRAPPER)
    family = plugins.register("x", plugin(sample=lambda count: count))
    assert family.call("sample", count=4, **SAMPLE) == 8
    assert sys.modules[module].seen == [4]


def test_hook_calls_can_be_traced(monkeypatch, capsys):
    monkeypatch.setenv("ZOO_TRACE_HOOKS", "1")
    family = plugins.register("x", plugin(sample=lambda count: count))
    family.call("sample", count=4, **SAMPLE)
    assert "sample [hook]" in capsys.readouterr().err


def test_a_wrapper_that_would_answer_itself_is_refused(installed):
    source = WRAPPER.replace("(wrapper=True)", "").replace("answer = yield", "answer = 1")
    installed("zoo-greedy", "zoo.wrappers", "greedy", source)
    with pytest.raises(PluginError, match=r"zoo-greedy 1\.0.*sample must be marked.*wrapper=True"):
        plugins.register("x", plugin())


def test_a_family_that_wraps_is_refused():
    made = plugin()

    @hookimpl(wrapper=True)
    def sample(count):
        return (yield)

    made.sample = sample
    with pytest.raises(PluginError, match=r"sample is a wrapper.*'zoo\.wrappers'"):
        plugins.register("x", made)
