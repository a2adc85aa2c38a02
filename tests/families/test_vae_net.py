"""What only variational autoencoders do: posteriors, ladders, classes, ways between pictures."""

import pytest
import torch

import zoo_vae
from zoo import plugins, rng
from zoo.card import Card, Density
from zoo.errors import ImageError, RequestError, Unsupported
from zoo.model import Model
from zoo.nn.coding import Autoregressive, LatentVariable
from zoo_vae import bounds, paths
from zoo_vae.gaussian import kl, kl_each, log_density, positive
from zoo_vae.net import vae

SIDE = {"widths": [8, 12], "blocks": [1, 1], "narrow": 4}
OVER = {"bernoulli": "binary pixels", "logistic": "8-bit pixels", "gaussian": "continuous pixels"}


def config(kind="bernoulli", latents=(5,), classes=0, image=(1, 8, 8)):
    return {
        "image": list(image),
        "latents": list(latents),
        "likelihood": {"kind": kind},
        "encoder": SIDE,
        "decoder": SIDE,
        "classes": classes,
    }


def net(*args, **changes):
    """A net in float64 whose every weight matters: blocks do not start as the identity here."""
    torch.manual_seed(0)
    made = vae(config(*args, **changes)).double().eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def model(*args, **changes):
    made = net(*args, **changes)
    kind = made.likelihood.over
    card = Card(
        name="tried", family="vae", version="1.0.0", license="mit", image=made.image,
        config=config(*args, **changes), latent=(made.latents,), latent_kind="continuous",
        log_prob=Density("lower bound", kind),
    )  # fmt: skip
    return Model(card, made, plugins.family("vae"))


def binary(count, *shape, seed=0):
    torch.manual_seed(seed)
    return torch.where(torch.rand(count, *(shape or (1, 8, 8))) < 0.5, 1.0, -1.0).double()


def test_flat_nets_of_symbols_offer_themselves_to_a_coder_and_no_others():
    for kind in ("bernoulli", "logistic"):
        flat = net(kind)
        assert isinstance(flat, LatentVariable)
        assert not isinstance(flat, Autoregressive)
        assert (flat.latents, flat.length) == (5, 64)
        assert flat.alphabet == {"bernoulli": 2, "logistic": 256}[kind]
    assert not isinstance(net("gaussian"), LatentVariable)
    assert not isinstance(net(latents=(5, 2)), LatentVariable)


def test_what_a_coder_is_offered_is_what_log_prob_and_encode_use():
    tried, images = model(), binary(3)
    mean, scale = tried.net.posterior(images, None)
    torch.testing.assert_close(tried.encode(images), mean)
    noise = rng.normal(rng.streams(rng.generator(4), 3), 5, dtype=torch.float64)
    torch.testing.assert_close(tried.encode(images, seed=4), mean + scale * noise)
    table = tried.net.tables_given(mean + scale * noise, None)  # (3, 64, 2)
    symbols = tried.net.symbols(images)
    likely = table.gather(-1, symbols[..., None]).log().sum((1, 2))
    torch.testing.assert_close(
        tried.log_prob(images, seed=4).nats, likely - kl_each(mean, scale).sum(1)
    )
    assert torch.equal(tried.net.pictures(symbols), images)


def test_a_coders_tables_do_not_depend_on_the_batch():
    flat, latents = net("logistic", classes=3), torch.randn(4, 5, dtype=torch.float64)
    together = flat.tables_given(latents, None)
    torch.testing.assert_close(together[2:3], flat.tables_given(latents[2:3], None))


def test_greys_have_latents_but_no_log_prob_of_black_and_white():
    tried, grey = model(), torch.full((2, 1, 8, 8), 0.3, dtype=torch.float64)
    assert tried.encode(grey).shape == (2, 5)
    with pytest.raises(ImageError, match="binarise"):
        tried.log_prob(grey)


def test_importance_is_asked_for_as_a_condition():
    tried, images = model(), binary(3)
    tighter = tried.condition(importance=20).log_prob(images, seed=1)
    wanted = bounds.importance_weighted(tried.net, images, None, 20, rng.generator(1))
    assert torch.equal(tighter.nats, wanted)
    assert tighter.kind == "lower bound"
    with pytest.raises(RequestError, match="1 or more"):
        tried.condition(importance=0)
    with pytest.raises(RequestError, match="must be int"):
        tried.condition(importance="many")
    with pytest.raises(RequestError, match="made without labels"):
        tried.condition(label=1)


def test_a_class_changes_the_answers_and_no_class_is_a_row_of_its_own():
    tried, images = model(classes=3), binary(3)
    every = [tried, *(tried.condition(label=each) for each in range(3))]
    for answers in (
        [each.encode(images) for each in every],
        [each.log_prob(images, seed=0).nats for each in every],
        [each.sample(3, seed=0, pixels="mean").tensor for each in every],
    ):
        for i, one in enumerate(answers):
            assert all(not torch.equal(one, other) for other in answers[:i])
    mixed = tried.condition(label=[2, 0, 1]).encode(images)
    torch.testing.assert_close(mixed[1:2], every[1].encode(images[1:2]))


@pytest.mark.parametrize("label", [3, -1, True, "2", [0, 3, 1], 1.0])
def test_a_class_that_does_not_exist_is_refused(label):
    with pytest.raises(RequestError, match="label"):
        model(classes=3).condition(label=label)


def test_classes_for_another_number_of_pictures_are_refused():
    both = model(classes=3).condition(label=[0, 1])
    for count in (1, 3):
        with pytest.raises(RequestError, match=f"2 entries for {count}"):
            both.encode(binary(count))
    with pytest.raises(RequestError, match="2 entries for 1"):
        both.log_prob(binary(1))
    with pytest.raises(RequestError, match="2 entries for 1"):
        both.sample(1, seed=0)


def test_a_ladders_decoder_meets_its_posterior():
    ladder, images = net(latents=(5, 2, 1)), binary(3)
    noise = torch.randn(3, ladder.latents, dtype=torch.float64)
    drawn = ladder.draw(ladder.seen(images, None), None, noise)
    torch.testing.assert_close(drawn.latents, drawn.mean + drawn.scale * noise)
    torch.testing.assert_close(ladder.given(drawn.latents, None), drawn.given)
    torch.testing.assert_close(ladder.place(ladder.seen(images, None), None, noise), drawn.latents)


def test_each_level_of_a_ladder_sees_those_above():
    ladder, images = net(latents=(5, 2, 1)), binary(1)
    noise = torch.zeros(1, ladder.latents, dtype=torch.float64)
    other = noise.clone()
    other[0, 0] = 1.0
    seen = ladder.seen(images, None)
    one, two = (ladder.draw(seen, None, each) for each in (noise, other))
    top, second, third = (one.mean - two.mean).abs().split(ladder.sizes, 1)
    assert float(top.max()) == 0
    assert float(second.max()) > 0
    assert float(third.max()) > 0


def test_a_rungs_divergence_is_that_of_its_levels_in_their_own_units():
    ladder, images = net(latents=(5, 2)), binary(2)
    h = ladder.decoder.start(torch.randn(2, 5, dtype=torch.float64), None)
    features = ladder.seen(images, None)[2]
    (rung,) = ladder.rungs
    mean, scale = rung.relative(h, features)
    a, raw = rung.prior(torch.nn.functional.silu(h)).chunk(2, 1)
    b = positive(raw)
    own = kl(*((a + b * mean).flatten(1), (b * scale).flatten(1), a.flatten(1), b.flatten(1)))
    torch.testing.assert_close(own, kl_each(mean, scale).flatten(1).sum(1))


@pytest.mark.parametrize("latents", [(5,), (5, 2)])
def test_log_weights_are_the_ratio_of_the_densities(latents):
    tried, images = net(latents=latents), binary(3)
    noise = torch.randn(3, tried.latents, dtype=torch.float64)
    drawn = tried.draw(tried.seen(images, None), None, noise)
    z, zero = drawn.latents, torch.zeros_like(drawn.latents)
    wanted = (
        tried.likelihood.log_prob(drawn.given, images)
        + log_density(z, zero, torch.ones_like(z))
        - log_density(z, drawn.mean, drawn.scale)
    )
    torch.testing.assert_close(bounds.log_weights(tried, drawn, noise, images), wanted)


def test_temperature_zero_gives_the_picture_of_the_priors_mean():
    tried = model()
    still = tried.sample(2, seed=0, temperature=0, pixels="mean").tensor
    assert torch.equal(still[0], still[1])
    torch.testing.assert_close(still[:1], tried.decode(torch.zeros(1, 5)).tensor)
    drawn = tried.sample(2, seed=0).tensor
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    for wrong in ({"pixels": "median"}, {"temperature": -1.0}):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            tried.sample(1, **wrong)


def test_a_way_between_two_pictures_starts_and_ends_at_their_reconstructions():
    tried, images = model(), binary(2)
    way = zoo_vae.interpolate(tried, images[:1], images[1:], steps=5)
    assert tuple(way.shape) == (5, 1, 8, 8)
    ends = tried.decode(tried.encode(images)).tensor
    torch.testing.assert_close(way.tensor[[0, 4]], ends)


def test_the_latents_on_the_way_have_lengths_between_those_of_the_ends():
    a, b = torch.randn(2, 40, dtype=torch.float64)
    way = paths.between(a, b, 9)
    lengths = torch.linspace(0, 1, 9).double() * (b.norm() - a.norm()) + a.norm()
    torch.testing.assert_close(way.norm(dim=1), lengths)
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    assert bool(paths.between(a, -a, 3).isfinite().all())


def test_there_is_no_way_between_tokens_nor_in_one_step():
    tried = model()
    with pytest.raises(RequestError, match="2 or more"):
        zoo_vae.interpolate(tried, binary(1), binary(1), steps=1)
    with pytest.raises(RequestError, match="got 2 and 1"):
        zoo_vae.interpolate(tried, binary(2), binary(1))
    tokens = Card(
        name="tokens", family="vq", version="1.0.0", license="mit", image=(1, 8, 8), config={},
        latent=(2, 2), latent_kind="tokens", codes=4,
    )  # fmt: skip
    with pytest.raises(Unsupported, match="tokens, not continuous"):
        zoo_vae.interpolate(Model(tokens, tried.net, tried.hooks), binary(1), binary(1))


def test_pictures_that_do_not_divide_and_lopsided_ladders_are_named():
    with pytest.raises(ValueError, match="multiples of 4"):
        vae(config(image=(1, 10, 8)))
    lopsided = {**config(latents=(5, 2)), "decoder": {"widths": [8], "blocks": [1]}}
    with pytest.raises(ValueError, match="as many widths"):
        vae(lopsided)
