"""What a net sees beside its latents: small pictures (super-resolution), a mask and what it keeps (filling in)."""

import compvis_files as files
import latents
import pytest
import torch
from compvis_files import drawn, written
from latents import made
from torch.nn import functional as F

import zoo
from zoo import rng
from zoo.errors import ForeignError, RequestError
from zoo.images import Images
from zoo_ldm.training import objectives

FLOW = {"schedule": "flow", "prediction": "velocity"}  # x_0 = x_t - t net(x_t, 1000 t)
LARGER = latents.config({"concat": 3}, beside="low", process=FLOW)
FILLING = latents.config({"concat": 5}, beside="masked", process=FLOW)
ONCE = {"seed": 3, "steps": 1}


def pictures(count, side, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def noise(count):
    """What a run of seed 3 begins with."""
    return rng.normal(rng.streams(torch.Generator().manual_seed(3), count), *latents.INNER)


def seen(model, count=1, **options):
    """Pictures, and what the first convolution of the net was given in each step."""
    given = []
    handle = model.net.network.descent.stem.register_forward_hook(
        lambda _, x, __: given.append(x[0])
    )
    drawn = model.sample(count, **options).tensor
    handle.remove()
    return drawn, given


@torch.no_grad()
def answer(net, z, concat):
    """The net's velocity at t = 1."""
    return net.network(z, torch.full((len(z),), 1000.0), {"concat": concat})


def test_a_larger_picture_is_drawn_from_a_small_one():
    model, low = made(LARGER), pictures(2, 4)
    asked = model.condition(low=low)
    drawn, given = seen(asked, 2, **ONCE)
    z = noise(2)
    torch.testing.assert_close(given[0], torch.cat([z, low], 1))
    wanted = model.net.stage.pictures(z - answer(model.net, z, low))
    torch.testing.assert_close(drawn, wanted.clamp(-1, 1), rtol=0, atol=1e-5)
    other = model.condition(low=low.flip(3)).sample(2, **ONCE).tensor
    assert float((other - drawn).abs().max()) > 1e-3
    _, given = seen(asked, 2, seed=3, steps=3)
    assert len(given) == 3
    assert all(torch.equal(each[:, 4:], low) for each in given)


def test_each_picture_has_its_own_small_one_or_all_have_the_same(tmp_path):
    model, low = made(LARGER), pictures(2, 4)
    both = model.condition(low=low).sample(2, seed=3, steps=2).tensor
    first = model.condition(low=low[:1]).sample(1, seed=3, steps=2).tensor
    torch.testing.assert_close(both[:1], first, rtol=0, atol=1e-5)
    _, given = seen(model.condition(low=low[0]), 3, **ONCE)
    assert torch.equal(given[0][:, 4:], low[:1].expand(3, -1, -1, -1))
    Images(low[:1]).save(tmp_path / "low.png")
    _, given = seen(model.condition(low=tmp_path / "low.png"), **ONCE)
    torch.testing.assert_close(given[0][:, 4:], low[:1], rtol=0, atol=1 / 127)


@pytest.mark.parametrize(
    ("config", "request_", "message"),
    [
        (LARGER, {}, r"draws from low: condition\(low="),
        (LARGER, {"low": pictures(1, 8)}, r"low must be pictures \(3, 4, 4\).*got \(3, 8, 8\)"),
        (LARGER, {"low": pictures(2, 4), "image": pictures(3, 16)}, "low has 2 entries for 3 pictures"),
        (None, {"low": pictures(1, 4)}, "low was given, and this model sees nothing beside"),
        (FILLING, {"low": pictures(1, 4)}, "low was given, and this model sees 'masked' beside"),
        (FILLING, {}, r"fills in pictures: condition\(image=pictures, mask=mask\)"),
    ],
)  # fmt: skip
def test_what_is_seen_beside_has_to_be_given_and_to_fit(config, request_, message):
    with pytest.raises(RequestError, match=message):
        made(config).condition(**request_).sample(1, **ONCE)


def mask(top=4, bottom=12):
    """1 in a band of rows."""
    found = torch.zeros(1, 1, 16, 16)
    found[:, :, top:bottom] = 1
    return found


@pytest.mark.parametrize("band", [(4, 12), (5, 11)])  # the latter ends between latents
def test_what_a_mask_hides_is_drawn_and_what_it_keeps_is_the_pictures_own(band):
    model, image, hides = made(FILLING), pictures(2, 16), mask(*band)
    stage = model.net.stage
    drawn, given = seen(model.condition(image=image, mask=hides), 2, **ONCE)
    kept = hides.expand_as(image) == 0
    assert torch.equal(drawn[kept], image[kept])
    assert float((drawn - image)[~kept].abs().mean()) > 0.1
    begun, small, rest = given[0].split([4, 1, 4], 1)
    z = noise(2)
    torch.testing.assert_close(begun, z)
    assert torch.equal(small, F.interpolate(hides, (4, 4)).expand(2, -1, -1, -1))
    torch.testing.assert_close(rest, stage.latents(image * (1 - hides)))
    anew = F.adaptive_max_pool2d(hides, 4)
    x0 = z - answer(model.net, z, torch.cat([small, rest], 1))
    wanted = stage.pictures(anew * x0 + (1 - anew) * stage.latents(image)).clamp(-1, 1)
    wanted = torch.where(hides == 1, wanted, image)
    torch.testing.assert_close(drawn, wanted, rtol=0, atol=1e-5)


def test_the_net_sees_what_is_kept_and_nothing_of_what_is_hidden():
    model, image, hides = made(FILLING), pictures(1, 16), mask()
    other = torch.where(hides == 1, pictures(1, 16, seed=1), image)
    asked = [model.condition(image=each, mask=hides) for each in (image, other)]
    (_, one), (_, same) = (seen(each, seed=3, steps=2) for each in asked)
    assert all(torch.equal(a[:, 4:], b[:, 4:]) for a, b in zip(one, same, strict=True))
    around = torch.where(hides == 1, image, pictures(1, 16, seed=1))
    plain, moved = (
        model.condition(image=each, mask=hides).sample(1, **ONCE).tensor for each in (image, around)
    )
    inside = hides.expand_as(image) == 1
    assert float((plain - moved)[inside].abs().max()) > 1e-3
    whole = model.condition(image=image, mask=torch.ones(16, 16)).sample(1, **ONCE).tensor
    assert float((whole - image).abs().mean()) > 0.1


def test_compvis_model_that_fills_in_sees_black_where_the_mask_hides(tmp_path):
    state = drawn(files.filling())
    params = {**files.CONFIG["model"]["params"], "cond_stage_config": "__is_first_stage__"}
    params["unet_config"] = {"params": {"num_heads": 4}}
    path = written(tmp_path, state, {"model": {"params": params}})
    model = zoo.load(path)
    assert (model.net.beside, sorted(model.parts)) == ("kept", ["autoencoder"])
    image, hides = pictures(1, 8), torch.zeros(1, 1, 8, 8)
    hides[:, :, 2:6] = 1
    found, given = seen(model.condition(image=image, mask=hides), **ONCE)
    black = torch.where(hides == 1, -torch.ones(()), image)
    latents_, small = given[0][:, 4:].split([4, 1], 1)
    torch.testing.assert_close(latents_, model.net.stage.latents(black))
    assert torch.equal(small, 2 * F.interpolate(hides, (4, 4)) - 1)
    kept = hides.expand_as(image) == 0
    assert torch.equal(found[kept], image[kept])
    path = written(
        tmp_path / "more",
        state | {"cond_stage_model.more": torch.ones(1)},
        {"model": {"params": params}},
    )
    with pytest.raises(ForeignError, match=r"unknown in the file .cond_stage_model\.more"):
        zoo.load(path)


@pytest.mark.parametrize(("kind", "channels"), [("low", 3), ("masked", 5), ("kept", 5)])
def test_what_is_seen_beside_is_made_of_training_pictures(kind, channels):
    model, image = (
        made(latents.config({"concat": channels}, beside=kind, process=FLOW)),
        pictures(4, 16),
    )
    given = []
    stem = model.net.network.descent.stem
    handle = stem.register_forward_hook(lambda _, x, __: given.append(x[0][:, 4:].detach()))
    (objective,) = objectives(model.net, {})
    torch.manual_seed(0)
    objective.loss({"images": image}, 0)[0].backward()
    handle.remove()
    assert float(stem.weight.grad[:, 4:].abs().sum((0, 2, 3)).min()) > 0
    if kind == "low":
        torch.testing.assert_close(given[0], F.avg_pool2d(image, 4))
        return
    small = given[0][:, :1] if kind == "masked" else given[0][:, 4:]
    assert set(small.unique().tolist()) == ({0.0, 1.0} if kind == "masked" else {-1.0, 1.0})


def test_a_net_that_fills_in_and_reads_is_told_both():
    net = {"concat": 5, "attention": {**latents.UNET["attention"], "context": 12}}
    model = made(latents.config(net, beside="masked", process=FLOW, text=latents.TEXT, null=True))
    asked = {"image": pictures(1, 16), "mask": mask()}
    one, other = (
        seen(model.condition(text=text, **asked), seed=3, steps=1, guidance=2.0)
        for text in ("noto: red apple", "twemoji: green house")
    )
    assert len(one[1][0]) == 2  # with its text and without, both beside the same picture
    assert torch.equal(*one[1][0][:, 4:].chunk(2))
    assert float((one[0] - other[0]).abs().max()) > 1e-4
    assert torch.equal(one[0][:, :, :4], asked["image"][:, :, :4])
