"""A diffusion model and its parts: a classifier that guides, a base whose pictures a cascade makes larger."""

from dataclasses import replace

import pytest
import torch

import zoo
from zoo import plugins, rng
from zoo.card import Density
from zoo.errors import CardError, RequestError, Unsupported
from zoo.parts import extended
from zoo.testing import CHECKS, Subject

NET = {
    "kind": "unet",
    "channels": 1,
    "outputs": 1,
    "widths": [8],
    "blocks": 1,
    "residual": {"groups": 4},
}
PROCESS = {"schedule": "cosine", "steps": 8, "prediction": "v"}
HOOKS = ("condition", "encode", "decode", "sample", "log_prob")


def subject(side=8, net=None, parts=None, latent=None, request=None, **options):
    net = {**NET, **(net or {})}
    config = {"image": [1, side, side], "net": net, "process": PROCESS, "scale": 2}
    config["classes"] = net.get("classes", 0)
    return Subject(
        "diffusion", config, image=(1, side, side), latent=latent or (1, side, side),
        latent_kind="continuous", log_prob=Density("lower bound", "8-bit pixels"), hooks=HOOKS,
        parts=parts or {}, request=request or {}, options={"steps": 3, **options}, tolerance=5e-3,
    )  # fmt: skip


def woken(model, seed=0):
    """The last layers begin at zero, where nothing depends on anything: give them values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in model.net.parameters():
            each.add_(torch.randn(each.shape, generator=generator) * 0.05)
    return model


def base(**net):
    made = woken(subject(4, net).model)
    return replace(made, card=replace(made.card, name="small", hooks=HOOKS))


def cascade(first, **net):
    net = {"low": 1, "low_level": True, **net}
    return subject(
        8, net, {"base": first}, latent=(64 + 16,), request={"steps": 3}, base={"steps": 2}
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_cascade_keeps_the_contract(check):
    check(cascade(base(classes=3, null=True)))


def test_a_cascade_draws_what_its_stages_draw():
    first = base()
    model = woken(cascade(first).model)
    whole = model.sample(2, seed=5, augment=0.0, base={"steps": 4}).tensor
    small = []
    model.sample(
        2, seed=5, augment=0.0,
        base={"steps": 4, "preview": 4, "on_preview": lambda pictures, steps: small.append(pictures)},
    )  # fmt: skip
    given = model.condition(low=small[-1]).sample(2, seed=5, augment=0.0).tensor
    torch.testing.assert_close(whole, given)
    other = model.sample(2, seed=5, augment=0.0, base={"steps": 2}).tensor
    assert (whole - other).abs().max() > 1e-4
    noisier = model.sample(2, seed=5, augment=0.5, base={"steps": 4}).tensor
    assert (whole - noisier).abs().max() > 1e-4
    alone = model.sample(1, seed=5, augment=0.5, base={"steps": 4}).tensor
    torch.testing.assert_close(noisier[:1], alone, atol=1e-4, rtol=0)


def test_what_a_cascade_is_asked_goes_to_the_stages_that_know_it():
    model = woken(cascade(base(classes=3, null=True)).model)
    one, two = (model.condition(label=label).sample(1, seed=1).tensor for label in (0, 2))
    assert (one - two).abs().max() > 1e-5
    with pytest.raises(RequestError, match=r"0 \.\. 2"):
        model.condition(label=3)
    with pytest.raises(RequestError, match="no condition 'text'"):
        model.condition(text="a house")
    kept = torch.linspace(-0.5, 0.5, 64).view(1, 1, 8, 8)
    mask = torch.zeros(8, 8)
    mask[:, 5:] = 1
    drawn = model.condition(image=kept, mask=mask).sample(2, seed=1).tensor
    torch.testing.assert_close(drawn[..., :5], kept[..., :5].expand(2, -1, -1, -1))


def test_log_prob_of_a_cascade_is_that_of_its_stages():
    first = base()
    model = woken(cascade(first).model)
    images = cascade(first).images
    small = zoo.Images(
        torch.nn.functional.avg_pool2d(images.tensor, 2).add(1).mul(127.5).round() / 127.5 - 1
    )
    together, above = (
        each.log_prob(images, seed=2).nats for each in (model, model.condition(low=small))
    )
    generator = rng.generator(2)
    rng.streams(generator, 3)  # the stage's own
    below = first.log_prob(small, generator=generator).nats
    torch.testing.assert_close(together, above + below, rtol=1e-4, atol=1e-2)


def test_a_cascade_goes_back_and_forth_through_all_its_stages():
    exact = {"steps": 8, "refine": 40}
    model = woken(cascade(base().condition(**exact)).model).condition(**exact)
    smooth = torch.linspace(-0.4, 0.4, 64).view(1, 1, 8, 8)
    noise = model.encode(smooth)
    assert noise.shape == (1, 80)
    back = model.decode(noise).tensor
    assert (back - smooth).abs().max() < 0.02
    with pytest.raises(RequestError, match="of all stages"):
        model.condition(low=torch.zeros(1, 1, 4, 4)).encode(smooth)


def test_a_base_that_does_not_fit_is_refused_with_both_sides():
    with pytest.raises(CardError, match=r"draws pictures \(1, 8, 8\).*makes \(1, 4, 4\) 2 times"):
        cascade(woken(subject(8).model)).model  # noqa: B018
    with pytest.raises(CardError, match=r"net\.low = 0"):
        subject(8, parts={"base": base()}).model  # noqa: B018
    with pytest.raises(RequestError, match=r"low must be pictures \(1, 4, 4\)"):
        subject(8, {"low": 1}).model.condition(low=torch.zeros(1, 1, 8, 8))
    with pytest.raises(RequestError, match="base holds the options"):
        subject(8).model.sample(1, base={"steps": 2})


def classifier(**changes):
    net = {"channels": 1, "widths": [8], "blocks": 1, "residual": {"groups": 4}, "pool": "adaptive"}
    config = {"net": net, "process": PROCESS, "classes": 2, **changes}
    made = Subject("classifier", config, image=(1, 8, 8)).model
    return replace(made, card=replace(made.card, name="guide"))


def test_a_classifier_moves_pictures_towards_its_label():
    model = woken(extended(subject().model, {"classifier": woken(classifier())}))
    assert model.card.parts == {"classifier": "guide@1.0.0"}
    asked = model.condition(label=1)

    @torch.no_grad()
    def likely(pictures):
        logits = model.net.classifier(pictures.tensor, torch.zeros(len(pictures)))
        return float(logits.log_softmax(1)[:, 1].mean())

    for sampler in ("ddpm", "ddim", "dpm++2m"):
        weak, strong = (
            likely(asked.sample(8, seed=0, steps=8, sampler=sampler, classifier=w))
            for w in (1e-6, 300.0)
        )
        assert strong > weak + 0.01, sampler
    half = extended(subject().model, {"classifier": woken(classifier())}).to(dtype=torch.bfloat16)
    drawn = half.condition(label=1).sample(2, seed=0, steps=4, classifier=2.0).tensor
    assert drawn.dtype == torch.float32
    with pytest.raises(RequestError, match=r"say how much it weighs, classifier=1\.0"):
        asked.sample(1)
    with pytest.raises(RequestError, match="no part in log_prob"):
        asked.log_prob(subject().images)


def test_a_classifier_of_another_process_is_refused():
    with pytest.raises(CardError, match=r"noised by Process.*steps=9.*steps=8"):
        extended(subject().model, {"classifier": classifier(process={**PROCESS, "steps": 9})})
    same = classifier(process={**PROCESS, "prediction": "eps", "variance": "posterior"})
    assert extended(subject().model, {"classifier": same}).net.labels == 2
    labelled = subject(net={"classes": 3, "null": True}).model
    with pytest.raises(CardError, match="knows 2 labels, this model 3"):
        extended(labelled, {"classifier": classifier()})
    with pytest.raises(CardError, match="family 'classifier', small is of 'diffusion'"):
        extended(subject().model, {"classifier": base()})


def test_parts_are_saved_with_the_card_and_composed_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    first, stage = base(), woken(subject(8, {"low": 1, "low_level": True}).model)
    first.save(zoo.hub.models() / "small@1.0.0")
    stage.save(zoo.hub.models() / "large@1.0.0", name="large", hooks=HOOKS)
    made = zoo.compose("large", base="small")
    want = made.sample(2, seed=0, steps=2).tensor
    made.save(zoo.hub.models() / "cascade@1.0.0", name="cascade", latent=(80,))
    torch.testing.assert_close(zoo.load("cascade").sample(2, seed=0, steps=2).tensor, want)
    with pytest.raises(RequestError, match=r"no part 'bas'.*mean 'base'.*base, classifier"):
        zoo.compose("large", bas="small")


def test_a_model_of_latents_draws_and_scores_no_pictures():
    net = {
        "kind": "dit",
        "channels": 4,
        "outputs": 8,
        "size": 4,
        "width": 8,
        "depth": 1,
        "heads": 2,
    }
    config = {
        "image": [4, 4, 4],
        "net": net,
        "process": {"variance": "learned-range"},
        "space": "latents",
    }
    model = Subject("diffusion", config, image=(4, 4, 4)).model
    assert model.net.density is None
    with pytest.raises(Unsupported, match=r"latents \(4, 4, 4\).*autoencoder"):
        model.sample(1)
    with pytest.raises(Unsupported, match="gives no log_prob"):
        plugins.family("diffusion").call(
            "log_prob", net=model.net, images=torch.zeros(1, 4, 4, 4), cond=None,
            generator=rng.generator(0),
        )  # fmt: skip
