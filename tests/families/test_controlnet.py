"""The family `controlnet`: a base and a ControlNet of it, trained, saved, loaded by name, and given to that base."""

from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo import hub
from zoo.errors import CardError, RequestError
from zoo.nn.control.request import REQUEST, controls
from zoo.testing import Subject
from zoo.train import finish, train
from zoo.train.recipe import Data, Model, Optimizer, Recipe, Train

NET = {
    "kind": "unet", "channels": 3, "outputs": 3, "widths": [8, 12], "blocks": 1, "residual": {"groups": 4},
    "classes": 2, "null": True,
}  # fmt: skip
PROCESS = {"schedule": "cosine", "steps": 12, "prediction": "v"}
CONFIG = {"kind": "edges", "hint": 1, "hint_widths": [4]}


class Bars:
    """Bars, upright (0) or lying (1), on white: pictures with edges."""

    classes = ("upright", "lying")
    licences = ("CC0-1.0",)

    def __len__(self):
        return 16

    def __getitem__(self, i):
        image = torch.ones(3, 16, 16)
        at = 3 + i % 8
        image[:, :, at : at + 3] = -0.8
        image = image if i % 2 == 0 else image.transpose(1, 2)
        return {"image": image, "label": i % 2}


def drawn(net, std=0.15):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in net.parameters():
            each.normal_(0, std, generator=generator)
    return net


def diffusion(name, image=(3, 16, 16), std=0.15, **net):
    subject = Subject(
        "diffusion",
        {"image": list(image), "net": {**NET, **net}, "process": PROCESS, "classes": 2},
        image=image,
        hooks=("condition", "sample"),
        options={"steps": 3},
    )
    drawn(subject.model.net.network, std)
    subject.model.save(hub.models() / f"{name}@1.0.0", name=name)


def controlnet(base, name="bars-edges", trained=True, **config):
    subject = Subject("controlnet", {**CONFIG, **config}, image=(3, 16, 16), parts={"base": base})
    if trained:
        drawn(subject.model.net.control)
    made = subject.model
    kept = {**CONFIG, **config, **made.net.recorded}
    made.save(
        hub.models() / f"{name}@1.0.0", name=name, config=kept, parts={"base": base.card.title}
    )


@pytest.fixture
def bars():
    diffusion("bars")
    return zoo.load("bars")


HINT = torch.full((1, 16, 16), -1.0)
HINT[:, :, 5] = 1.0


def test_an_untrained_one_draws_what_the_base_draws_to_the_bit(bars):
    controlnet(bars, trained=False)
    told = bars.condition(edges=HINT, control="bars-edges")
    for options in ({}, {"sampler": "dpm++2m"}):
        plain = bars.sample(2, seed=3, **options).tensor
        assert torch.equal(told.sample(2, seed=3, **options).tensor, plain)


def test_it_is_loaded_by_name_with_this_base_and_stacks_weighs_and_keeps_to_its_stretch(bars):
    controlnet(bars)
    controlnet(bars, "bars-regions", kind="semantic", hint=3)
    plain = bars.sample(2, seed=3).tensor
    told = bars.condition(edges=HINT, control="bars-edges")
    one = told.sample(2, seed=3).tensor
    assert not torch.equal(one, plain)
    assert told.request["control"].parts["base"].net is bars.net
    off = bars.condition(edges=HINT, control="bars-edges", weight=0.0)
    assert torch.equal(off.sample(2, seed=3).tensor, plain)
    half = bars.condition(edges=HINT, control="bars-edges", interval=(0.5, 1)).sample(2, seed=3)
    assert not torch.equal(half.tensor, plain)
    assert not torch.equal(half.tensor, one)
    request = {"edges": HINT, "semantic": HINT.expand(3, -1, -1)}
    names = ["bars-edges", "bars-regions"]
    two = bars.condition(**request, control=names).sample(2, seed=3).tensor
    assert not torch.equal(two, one)
    again = bars.condition(**request, control=names, weight=[1, 0]).sample(2, seed=3).tensor
    torch.testing.assert_close(again, one)
    guided = told.condition(label=1).sample(2, seed=3, guidance=2.0).tensor
    assert torch.isfinite(guided).all()


def test_pictures_depend_on_seed_and_place_alone_and_each_may_have_its_hint(bars):
    controlnet(bars)
    many = torch.stack([HINT, HINT.transpose(1, 2), HINT.flip(2)])
    drawn_ = bars.condition(edges=many, control="bars-edges").sample(3, seed=5).tensor
    alone = bars.condition(edges=HINT, control="bars-edges").sample(1, seed=5).tensor
    torch.testing.assert_close(drawn_[:1], alone, atol=1e-5, rtol=1e-5)


def test_the_hint_is_seen_once_a_sample_and_not_once_a_step(bars):
    controlnet(bars)
    told = bars.condition(edges=HINT, control="bars-edges", label=1)
    net, seen, asked = told.request["control"].net.control, [], []
    net.hint.register_forward_hook(lambda *_: seen.append(1))
    net.net.descent.register_forward_hook(lambda *_: asked.append(1))
    told.sample(2, seed=0, steps=6, guidance=3.0)
    assert (len(seen), len(asked)) == (1, 6)


def test_loaded_alone_it_draws_with_its_base(bars):
    controlnet(bars)
    alone = zoo.load("bars-edges")
    own = alone.condition(edges=HINT, label=1).sample(2, seed=1)
    through = bars.condition(edges=HINT, label=1, control="bars-edges").sample(2, seed=1)
    assert torch.equal(own.tensor, through.tensor)
    with pytest.raises(RequestError, match="draws from edges"):
        alone.sample(1)
    with pytest.raises(RequestError, match=r"takes edges: condition\(edges=picture\)"):
        alone.condition(label=1)


def test_another_base_is_refused_and_both_are_named(bars):
    controlnet(bars)
    diffusion("others", std=0.1)
    others = zoo.load("others")
    with pytest.raises(
        CardError, match=r"controls bars@1\.0\.0 \(weights \w{12}\), and this is others@1\.0\.0"
    ):
        others.condition(edges=HINT, control="bars-edges")
    with pytest.raises(CardError, match=r"bars-edges@1\.0\.0 controls bars@1\.0\.0"):
        others.condition(edges=HINT, control=zoo.load("bars-edges"))


BAD = {
    "no net": ({"edges": HINT}, "say which ControlNet is meant"),
    "a weight without a net": ({"weight": 2.0}, "weight: say which"),
    "no hint": ({"control": "bars-edges"}, "take edges, and none was given"),
    "another kind": ({"control": "bars-edges", "pose": HINT}, "take edges, and pose was given"),
    "a small hint": (
        {"control": "bars-edges", "edges": HINT[:, :8]}, r"edges must be \(1, 16, 16\).*is \(1, 8, 16\)",
    ),
    "a hint in [0, 1]": (
        {"control": "bars-edges", "edges": (HINT + 1) / 2}, r"edges must be in \[-1, 1\].*these are in \[0, 1\]",
    ),
    "dark lines on white": (
        {"control": "bars-edges", "edges": torch.where(torch.arange(256) < 32, -1.0, 1.0).reshape(1, 16, 16)},
        r"white on black, and 88% of this hint is white.*give -edges",
    ),
    "two hints for three pictures": (
        {"control": "bars-edges", "edges": torch.stack([HINT] * 2), "label": [0, 1, 1]},
        "edges has 2 entries for 3 pictures",
    ),
    "too many weights": (
        {"control": "bars-edges", "edges": HINT, "weight": [1, 2]}, "weight has 2 entries for 1 ControlNets",
    ),
    "a stretch backwards": (
        {"control": "bars-edges", "edges": HINT, "interval": (0.8, 0.2)}, "0 <= from < to <= 1",
    ),
    "a weight in words": ({"control": "bars-edges", "edges": HINT, "weight": "all"}, "weight is a number"),
    "no ControlNet": ({"control": "bars", "edges": HINT}, "control takes ControlNets"),
    "two of a kind, one hint": (
        {"control": ["bars-edges", "bars-edges"], "edges": HINT}, r"give a list of as many hints, edges=\[\.\.\.\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said(bars, case):
    controlnet(bars)
    request, message = BAD[case]
    with pytest.raises(RequestError, match=message):
        bars.condition(**request)


def test_a_hint_out_of_range_and_a_net_that_is_no_unet_are_refused(bars):
    controlnet(bars)
    with pytest.raises(zoo.ZooError, match=r"\[-1, 1\]"):
        bars.condition(edges=HINT * 3, control="bars-edges")
    transformer = SimpleNamespace(network=torch.nn.Linear(1, 1))
    wanted = SimpleNamespace(**{**REQUEST, "control": [1], "edges": HINT})
    with pytest.raises(
        RequestError, match="speaks to a U-Net's maps, and this model's network is Linear"
    ):
        controls(wanted, transformer, (3, 16, 16), 1)


def test_half_precision_takes_a_controlnet_of_its_own_kind_by_name_and_refuses_another(bars):
    controlnet(bars)
    request = {"edges": HINT, "label": 1}
    single = bars.condition(**request, control="bars-edges").sample(2, seed=3).tensor
    half = zoo.load("bars", dtype=torch.bfloat16)
    told = half.condition(**request, control="bars-edges")
    assert next(told.request["control"].net.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(told.sample(2, seed=3).tensor, single, atol=0.1, rtol=0)
    with pytest.raises(
        RequestError, match=r"is torch\.float32 on cpu, this model torch\.bfloat16 on cpu"
    ):
        half.condition(**request, control=zoo.load("bars-edges"))


def test_a_stranger_of_another_architecture_is_refused(bars):
    subject = Subject(
        "controlnet",
        {"kind": "hint", "net": {**NET, "widths": [8, 16]}, "hint": 1, "hint_widths": [4]},
        image=(1, 16, 16),
    )
    with pytest.raises(
        RequestError, match=r"another U-Net: widths \(8, 16\) with maps of \(16, 16\)"
    ):
        bars.condition(hint=HINT, control=subject.model)
    with pytest.raises(zoo.Unsupported, match="came without the model that it controls"):
        subject.model.condition(hint=HINT)


def test_it_is_trained_with_its_base_frozen_and_its_card_names_that_base(bars, tmp_path):
    recipe = Recipe(
        model=Model("controlnet", config=CONFIG, parts={"base": "bars@1.0.0"}),
        data=Data(batch=4),
        objective={"loss": "min-snr", "annotate": {"sigma": 0.5}},
        optimizer=Optimizer(lr=1e-2),
        train=Train(steps=3, log_every=1, grid_every=3, grid_count=2, ema=0.5),
    )
    made = finish(train(recipe, tmp_path / "run", data=(Bars(), Bars())), "learned-edges", "1.0.0")
    trained = zoo.load(made)
    base = trained.parts["base"]
    assert trained.card.config["base"] == {
        "model": "bars@1.0.0",
        "weights": "+".join(bars.card.weights),
    }
    assert trained.card.parts == {"base": "bars@1.0.0"}
    for key, value in bars.net.state_dict().items():
        assert torch.equal(base.net.state_dict()[key], value)
    net = trained.net.control
    assert any(bool(zero.weight.any()) for zero in net.zeros)
    own, of_base = net.net.state_dict(), bars.net.network.state_dict()
    assert any(not torch.equal(own[key], of_base[key].half().float()) for key in own)
    told = bars.condition(edges=HINT, control=trained).sample(1, seed=0)
    assert not torch.equal(told.tensor, bars.sample(1, seed=0).tensor)
    with pytest.raises(RequestError, match="'pose' makes no hints from pictures"):
        trained.hooks.call("objectives", net=trained.net, recipe={"annotator": "pose"})


def test_layouts_say_what_they_do_not_support():
    from zoo_ldm.layouts import _controlnet, unet

    assert _controlnet.adopt({"w": (1,)}, None) is None
    assert unet.adopt({"w": (1,)}, None) is None
