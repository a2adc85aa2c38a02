import pytest
import torch

from zoo import rng


def test_image_i_depends_on_the_seed_and_i_alone():
    few = rng.normal(rng.streams(rng.generator(3), 2), 4, 5)
    many = rng.normal(rng.streams(rng.generator(3), 9), 4, 5)
    assert few.shape == (2, 4, 5)
    assert torch.equal(few, many[:2])
    assert not torch.equal(many[0], many[1])
    assert not torch.equal(few, rng.normal(rng.streams(rng.generator(4), 2), 4, 5))


def test_images_with_seeds_of_their_own_are_those_of_one_image():
    own = rng.generator([5, 9])
    for _ in range(2):
        streams = rng.streams(own, 4)
        assert len(streams) == 4
    alone = rng.generator(9)
    rng.streams(alone, 2)
    assert torch.equal(rng.normal(streams, 3)[2:], rng.normal(rng.streams(alone, 2), 3))


def test_every_call_gives_new_streams():
    root = rng.generator(3)
    first, second = (rng.normal(rng.streams(root, 2), 4) for _ in range(2))
    assert not torch.equal(first, second)
    root = rng.generator(3)
    rng.streams(root, 50)  # however many were asked for
    assert torch.equal(rng.normal(rng.streams(root, 2), 4), second)


def test_a_stream_goes_on():
    streams = rng.streams(rng.generator(0), 2)
    assert not torch.equal(rng.uniform(streams, 3), rng.uniform(streams, 3))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    rng.normal(rng.streams(rng.generator(), 2), 3)
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_seed_nobody_knows():
    assert rng.generator().initial_seed() != rng.generator().initial_seed()


def test_numbers_have_their_distributions_and_types():
    streams = rng.streams(rng.generator(0), 2)
    normal, uniform = rng.normal(streams, 20_000), rng.uniform(streams, 20_000)
    assert normal.mean(1).abs().max() < 0.03
    assert (normal.std(1) - 1).abs().max() < 0.03
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert (uniform.mean(1) - 0.5).abs().max() < 0.01
    assert rng.normal(streams, 2, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_precision_does_not_change_what_is_drawn():
    wide = rng.normal(rng.streams(rng.generator(1), 2), 8, dtype=torch.float64)
    narrow = rng.normal(rng.streams(rng.generator(1), 2), 8)
    assert torch.equal(wide, narrow.double())


def test_choices_follow_their_probabilities():
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]]).expand(20_000, 4)
    counts = rng.choose(rng.streams(rng.generator(0), 20_000), logits).bincount(minlength=4)
    assert counts[2] == 0
    assert counts / 20_000 == pytest.approx(logits[0].softmax(0), abs=0.015)


def test_derived_seeds_differ_by_every_step_of_the_path():
    paths = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (-1,)]
    seeds = {rng.derive(seed, *path) for seed in (0, 1) for path in paths}
    assert len(seeds) == 2 * len(paths)
    assert all(0 <= each < 2**63 for each in seeds)
