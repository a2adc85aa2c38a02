"""Semantic maps: concatenated or attended to, alone or after a text, with guidance and in training."""

import latents
import pytest
import torch
from latents import made

from zoo.errors import RequestError
from zoo.images import Images
from zoo_ldm import maps
from zoo_ldm.net import latent_diffusion
from zoo_ldm.sampling import told_of
from zoo_ldm.training import objectives

ATTENDING = {"attention": {**latents.UNET["attention"], "context": 12}}
ROWS = {"channels": 3, "patch": 2}
FLOW = {"schedule": "flow", "prediction": "velocity"}


def regions(count=1):
    """Maps of two halves, each its own colour."""
    found = -torch.ones(count, 3, 16, 16)
    found[:, 0, :, :8] = found[:, 2, :, 8:] = 1.0
    return found


def test_rows_are_the_patches_of_a_map_and_those_of_none_are_alike_everywhere():
    made_of = maps.MapRows(5, (4, 6), 3, 2)
    given = torch.randn(2, 3, 4, 6)
    rows = made_of(given)
    assert rows.shape == (2, 6, 5)
    weight, bias = made_of.patches.weight, made_of.patches.bias
    patch = torch.einsum("oihw,ihw->o", weight, given[1, :, 2:4, 4:6]) + bias
    torch.testing.assert_close(rows[1, 5], patch + made_of.places[5])
    torch.testing.assert_close(made_of.none(2)[1] - made_of.places, made_of.nothing.expand(6, -1))
    with pytest.raises(ValueError, match=r"maps of \(4, 6\) are not made of patches of 4"):
        maps.MapRows(5, (4, 6), 3, 4)


def test_a_map_is_attended_to_alone_and_after_a_text():
    alone = made(latents.config(ATTENDING, maps=ROWS, null=True))
    asked = alone.condition(map=regions())
    told = told_of(alone.net, asked._cond(2), 2)
    assert told.given["text"].shape == (2, 4, 12)
    assert not torch.allclose(told.given["text"], told.without["text"])
    free, kept, strong = (
        each.sample(1, seed=0, steps=2, **how).tensor
        for each, how in ((alone, {}), (asked, {}), (asked, {"guidance": 3.0}))
    )
    assert float((kept - free).abs().max()) > 1e-4 < float((strong - kept).abs().max())
    hot = made(latents.reading(maps={"channels": 5})).condition(
        text=["a", "a red apple"], map=torch.rand(5, 16, 16)
    )
    assert hot.sample(2, seed=0, steps=1).shape == (2, 3, 16, 16)  # five channels are one map
    both = made(latents.reading(maps=ROWS)).condition(text=["a", "a red apple"], map=regions(2))
    told = told_of(both.net, both._cond(2), 2)
    assert told.given["text"].shape[1] == told.given["text_allowed"].shape[1]
    assert told.given["text_allowed"][:, -4:].all()
    assert not told.given["text_allowed"][0].all()
    assert both.sample(2, seed=0, steps=2, guidance=2.0).shape == (2, 3, 16, 16)


def test_a_map_is_concatenated(tmp_path):
    model = made(latents.config({"concat": 3}, beside="map", process=FLOW))
    one, other = (
        model.condition(map=each).sample(1, seed=0, steps=2).tensor
        for each in (regions(), regions().flip(3))
    )
    assert float((one - other).abs().max()) > 1e-4
    Images(regions()).save(tmp_path / "map.png")
    drawn = model.condition(map=tmp_path / "map.png").sample(1, seed=0, steps=2).tensor
    torch.testing.assert_close(drawn, one)


@pytest.mark.parametrize(
    ("config", "request_", "message"),
    [
        ({"maps": ROWS}, {"map": torch.zeros(2, 16, 16)}, r"map must have 3 channels, .*; got \(2, 16, 16\)"),
        ({"maps": ROWS}, {"map": {"apple": 1}}, "map is a tensor of 3 channels, or a picture; got dict"),
        ({"maps": ROWS}, {}, "draws from a map: condition"),
        ({"maps": ROWS}, {"text": "apple"}, "has no text encoder, so it cannot be told a text; it takes map="),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused(config, request_, message):
    model = made(latents.config(ATTENDING, **config))
    with pytest.raises(RequestError, match=message):
        model.condition(**request_).sample(1, steps=2)


def test_configurations_that_do_not_fit_are_refused():
    for config, message in (
        (latents.config(maps=ROWS), "needs net.attention.context"),
        (latents.config({**ATTENDING, "concat": 3}, maps=ROWS, beside="map"), "keep one"),
        (latents.config(ATTENDING, maps=ROWS, classes=2, attends="label"), "no text and no maps"),
    ):
        with pytest.raises(ValueError, match=message):
            latent_diffusion(config, {})


@pytest.mark.parametrize(
    "config",
    [
        latents.config(ATTENDING, maps=ROWS, null=True),
        latents.config({"concat": 3}, beside="map"),
    ],
)
def test_maps_of_training_pictures_are_made_by_an_annotator(config):
    model = made(config)
    batch = {"images": regions(2)}
    table = {"annotator": "semantic", "annotate": {"colours": 2, "rounds": 1}}
    (objective,) = objectives(model.net, table)
    torch.manual_seed(0)
    loss, _ = objective.loss(batch, 0)
    loss.backward()
    read = () if model.net.maps is None else model.net.maps.parameters()
    assert all(each.grad is not None for each in (*read, model.net.network.descent.stem.weight))
    for wrong, message in (
        ({}, "annotator = 'semantic' makes them"),
        ({"annotator": "edges"}, "makes maps of 1 channels; this net's have 3"),
    ):
        with pytest.raises(RequestError, match=message):
            objectives(model.net, wrong)[0].loss(batch, 0)
    with pytest.raises(RequestError, match="mirror and move change"):
        objectives(model.net, {**table, "mirror": True})
