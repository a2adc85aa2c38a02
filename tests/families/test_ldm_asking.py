"""What can be asked of a latent diffusion model: bad requests, half precision, and what saves memory."""

import latents
import pytest
import torch
from latents import SIDES, made

from zoo.errors import RequestError, Unsupported
from zoo.model import Model
from zoo.testing import Subject
from zoo_ldm.net import latent_diffusion
from zoo_ldm.training import objectives

LABELLED = latents.config({"classes": 3, "null": True}, classes=3, null=True)
UNREAD = {key: value for key, value in latents.reading().items() if key != "text"}
FILLING = latents.config({"concat": 5}, beside="masked")


PICTURE = torch.zeros(3, 16, 16)
BAD = {
    "text without an encoder": (LABELLED, {"text": "apple"}, "has no text encoder.*it takes label="),
    "text without the encoder it needs": (
        UNREAD, {"text": "apple"}, "attends to texts, and was loaded without its text encoder: give its card `parts",
    ),
    "a negative without an encoder": (LABELLED, {"negative": "apple"}, "negative = 'apple': this model has no text"),
    "a text that is none": (None, {"text": 3}, "text is a sentence, or a list of one a picture; got 3"),
    "texts of another number": (
        None, {"text": ["a", "b"], "image": torch.zeros(3, 3, 16, 16)}, "text has 2 entries for 3 pictures",
    ),
    "a label of a model without": (None, {"label": 1}, "made without labels"),
    "a mask of another size": (
        None, {"image": PICTURE, "mask": torch.ones(8, 8)}, r"mask must have the pictures' size, \(16, 16\).*\(8, 8\)",
    ),
    "a mask without a picture": (None, {"mask": torch.ones(16, 16)}, "give image=pictures as well"),
    "a picture of another size": (
        None, {"image": torch.zeros(3, 8, 8)}, r"image must be \(3, 16, 16\).*is \(3, 8, 8\)",
    ),
    "filling in without a mask": (FILLING, {"image": PICTURE}, "fills in pictures: condition\\(image=pictures, mask"),
    "a map that it does not see": (None, {"map": torch.ones(2, 16, 16)}, "map was given, .*sees nothing beside"),
    "a ControlNet without its name": (None, {"edges": PICTURE}, "say which ControlNet is meant"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said_with_both_sides(case):
    config, request, message = BAD[case]
    with pytest.raises(RequestError, match=message):
        made(config).condition(**request)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 8}, "multiple of 16 pixels, 4 of this model's latents; got 8"),
        ({"together": -1}, "together"),
        ({"tyle": 16}, "Did you mean 'tile'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        made().sample(1, **options)


def test_parts_that_do_not_fit_and_a_part_that_is_missing_are_named():
    with pytest.raises(ValueError, match=r"diffuses latents \(6, 4, 4\), those of its autoencoder"):
        latent_diffusion(
            {**latents.config({"channels": 6, "outputs": 6}), "latent": [6, 4, 4]},
            {"autoencoder": latents.autoencoder()},
        )
    with pytest.raises(
        ValueError, match="a latent is 8 pixels wide in this model, and 4 in its auto"
    ):
        latent_diffusion(
            {**latents.config(), "latent": [4, 2, 2]}, {"autoencoder": latents.autoencoder()}
        )
    learned = {**latents.PROCESS, "variance": "learned-range"}
    with pytest.raises(
        ValueError, match="4 channels and variance 'learned-range' need a net that gi"
    ):
        latent_diffusion(latents.config(process=learned), {})
    alone = Subject("ldm", latents.config(), SIDES).model
    with pytest.raises(Unsupported, match="an autoencoder that it was loaded without"):
        alone.sample(1)


def test_a_picture_to_begin_with_is_refused_where_nothing_is_drawn():
    asked = made().condition(text="apple", image=PICTURE, strength=0.5)
    for what, given in (
        ("log_prob", PICTURE),
        ("encode", PICTURE),
        ("decode", torch.zeros(1, *latents.INNER)),
    ):
        with pytest.raises(RequestError, match=f"is where a drawing begins.*no part in {what}"):
            getattr(asked, what)(given)


SCHEDULER = {
    "_class_name": "DDIMScheduler", "num_train_timesteps": 20, "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction", "clip_sample": False, "steps_offset": 1,
}  # fmt: skip
PNDM = {**SCHEDULER, "_class_name": "PNDMScheduler", "set_alpha_to_one": True}


def test_a_scheduler_of_diffusers_is_followed_unless_a_sampler_is_asked_for():
    model = made().condition(text="noto: red apple")
    ours = model.sample(1, seed=1, steps=4, spacing="leading", offset=1).tensor
    theirs = model.sample(1, seed=1, steps=4, scheduler=SCHEDULER).tensor
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)  # its betas are in float32
    lcm = model.sample(1, seed=1, steps=4, sampler="lcm").tensor
    assert torch.equal(
        model.sample(1, seed=1, steps=4, sampler="lcm", scheduler=SCHEDULER).tensor, lcm
    )
    assert float((lcm - ours).abs().max()) > 1e-3


def test_pndms_beginning_is_made_anew_where_a_run_begins_later():
    plain = {**PNDM, "skip_prk_steps": True}
    asked = made().condition(text="apple", image=PICTURE, strength=0.5)
    drawn = asked.sample(1, seed=1, steps=8, scheduler=plain).tensor
    assert bool(drawn.isfinite().all())
    net, calls = asked.net.network, []
    handle = net.register_forward_hook(lambda *_: calls.append(1))
    asked.sample(1, seed=1, steps=8, scheduler=plain)
    handle.remove()
    assert len(calls) == 5  # the last 4 of its 9, and one more to begin with
    with pytest.raises(RequestError, match="three steps of four evaluations"):
        asked.sample(1, steps=8, scheduler=PNDM)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("ddim", "a mapping with _class_name; got 'ddim'"),
        ({"_class_name": "LMSDiscreteScheduler"}, "'LMSDiscreteScheduler' is not supported; there are DDIM"),
        ({**SCHEDULER, "prediction_type": "epsilon"}, "prediction = eps, the model's v"),
        ({**SCHEDULER, "beta_schedule": "linear"}, "its betas are not those"),
        ({**SCHEDULER, "clip_sample": True}, "DDIMScheduler limits what it foresees"),
    ],
)  # fmt: skip
def test_a_scheduler_that_does_not_fit_is_refused(scheduler, message):
    with pytest.raises(RequestError, match=message):
        made().condition(text="apple").sample(1, steps=4, scheduler=scheduler)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_what_single_precision_draws_of_the_same_weights(dtype):
    asked = {"text": "(noto:1.2) red apple", "image": PICTURE, "mask": torch.ones(16, 16)}
    options = {"steps": 3, "guidance": 2.0, "sampler": "dpm++2m", "seed": 1}
    model = made(std=0.1).to(dtype=dtype)
    assert {
        each.dtype
        for each in (*model.net.parameters(), *model.parts["autoencoder"].net.parameters())
    } == {dtype}
    half = model.condition(**asked).sample(2, **options).tensor
    single = model.to(dtype=torch.float32).condition(**asked).sample(2, **options).tensor
    log_prob = model.condition(text="apple", steps=3)
    wide = log_prob.log_prob(PICTURE, seed=1).nats
    narrow = log_prob.to(dtype=dtype).log_prob(PICTURE, seed=1).nats
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, wide, rtol=0.02, atol=0)
    assert float(single.std()) > 0.02
    assert 0 < float((half - single).abs().max()) < 0.05


def seen(model, **options):
    """Pictures, and the sizes (B, h, w) of what the decoder was given."""
    net, sizes = model.parts["autoencoder"].net, []
    handle = net.post_quant_conv.register_forward_hook(
        lambda _, given, __: sizes.append((len(given[0]), *given[0].shape[2:]))
    )
    drawn = model.sample(3, seed=2, steps=2, **options).tensor
    handle.remove()
    return drawn, sizes


def test_pictures_are_decoded_a_few_at_a_time_and_in_tiles():
    side = (3, 32, 32)
    part = Subject("autoencoder", latents.autoencoder().card.config, side, (4, 8, 8), "continuous")
    config = latents.reading(image=side, latent=(4, 8, 8))
    model = made(config, part=part.model)
    whole, sizes = seen(model)
    assert sizes == [(3, 8, 8)]
    few, sizes = seen(model, together=2)
    assert sizes == [(2, 8, 8), (1, 8, 8)]
    torch.testing.assert_close(few, whole)
    tiled, sizes = seen(model, tile=16)
    assert sizes == [(1, 4, 4)] + [(3, 5, 5)] * 4  # the corner tells how large a latent is
    assert tiled.shape == whole.shape
    large, sizes = seen(model, tile=32)
    torch.testing.assert_close(large, whole)


def test_a_learned_variance_is_trained_by_the_bound_of_latents():
    process = {**latents.PROCESS, "variance": "learned-range"}
    net = made(latents.config({"outputs": 8}, process=process)).net
    batch, found = {"images": torch.randn(4, 3, 16, 16).clamp(-1, 1)}, {}
    for loss in ("", "vlb"):
        (objective,) = objectives(net, {"loss": loss})
        torch.manual_seed(0)
        value, found[loss] = objective.loss(batch, 0)
        net.zero_grad()
        value.backward()
        assert (net.network.conv.weight.grad.flatten(1).abs().sum(1) > 0).all()
    assert set(found[""]) == {"square", "bits"}
    torch.testing.assert_close(found[""]["bits"], found["vlb"]["bits"])
    with pytest.raises(RequestError, match="does not train the variance, which this model learns"):
        objectives(net, {"loss": "simple"})


def test_a_small_autoencoder_shows_what_is_foreseen_and_the_large_one_works_once():
    preview = latents.autoencoder()
    model, shown = made(preview=preview), []
    asked = {"autoencoder": [], "preview": []}
    for role, counts in asked.items():
        model.parts[role].net.decoder.register_forward_hook(lambda *_, at=counts: at.append(1))
    model.sample(
        2, seed=0, steps=4, preview=2, on_preview=lambda pictures, at: shown.append((pictures, at))
    )
    assert [at for _, at in shown] == [2, 4]
    assert shown[0][0].shape == (2, 3, 16, 16)
    assert {role: len(counts) for role, counts in asked.items()} == {"autoencoder": 1, "preview": 2}


def test_nets_that_are_not_at_work_wait_in_the_computers_memory(monkeypatch):
    import latents as own

    from zoo_ldm.prompts import Words

    part = own.autoencoder()
    encoder = Words(**own.TEXT).eval()
    reader = Model(part.card, encoder, part.hooks)
    config = own.reading()
    del config["text"]
    model = made(config, part=part, text=reader)
    nets = {"autoencoder": part.net, "text": encoder, "network": model.net.network}
    said = []
    for name, net in nets.items():
        move = net.to

        def moved(*to, name=name, move=move):
            said.append(f"{name} to {to[0]}")
            return move(*to)

        monkeypatch.setattr(net, "to", moved)
    for name in ("text", "network"):
        nets[name].register_forward_hook(lambda *_, name=name: said.append(f"{name} works"))
    part.net.decoder.register_forward_hook(lambda *_: said.append("autoencoder works"))
    told = model.condition(text="noto: red apple")
    said.clear()
    plain = told.sample(1, seed=0, steps=2)
    works = ["text works", "text works", "network works", "network works", "autoencoder works"]
    assert said == works
    said.clear()
    assert torch.equal(told.sample(1, seed=0, steps=2, offload=True).tensor, plain.tensor)
    assert said == [
        "text works", "text works", "text to cpu", "autoencoder to cpu", "network works", "network works",
        "autoencoder to cpu", "network to cpu", "autoencoder works", "network to cpu", "text to cpu",
    ]  # fmt: skip
