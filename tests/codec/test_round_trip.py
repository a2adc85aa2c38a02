"""Any picture comes back bit for bit: sizes, channels, modes; what cannot be kept is refused."""

import numpy as np
import pytest
import torch
from coded_pictures import BINARY, CHAIN, GREY, LATENT, smooth
from PIL import Image

import zoo
from zoo.codec import Picture, pack, unpack
from zoo.images import from_uint8

KINDS = {"autoregressive": CHAIN, "binary": BINARY, "bits-back": LATENT, "bits-back, grey": GREY}


@pytest.fixture(params=KINDS)
def model(request, make):
    return make(KINDS[request.param], request.param.split(",")[0].replace(" ", "-"))


def pictures(model, sizes):
    channels = model.card.image[0]
    binary = model.card.log_prob.over == "binary pixels"
    return [
        Picture(
            smooth(1, channels, *size, seed=n, binary=binary)[0], "RGB" if channels == 3 else "L"
        )
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    "sizes", [[(1, 1)], [(6, 6)] * 9, [(8, 8)] * 5, [(13, 7), (2, 30), (8, 6), (6, 6), (17, 17)]]
)
def test_every_size_comes_back(model, sizes):
    given = pictures(model, sizes)
    packed = pack(model, given, lanes=4)
    for back in (unpack(packed.data, model, batch=3), unpack(packed.data)):
        assert [each.pixels.tolist() for each in back] == [each.pixels.tolist() for each in given]
        assert [each.mode for each in back] == [each.mode for each in given]


def test_tensors_go_in_and_come_out(model):
    binary = model.card.log_prob.over == "binary pixels"
    images = from_uint8(torch.from_numpy(smooth(5, *model.card.image, binary=binary)))
    data = zoo.compress(model, images)
    assert isinstance(data, bytes)
    back = zoo.decompress(data, model)
    assert isinstance(back, zoo.Images)
    assert torch.equal(back.tensor, images)


def test_pictures_of_several_sizes_come_out_as_a_list(chain):
    images = [each.pil() for each in pictures(chain, [(6, 6), (3, 9)])]
    back = zoo.decompress(zoo.compress(chain, images))
    assert [tuple(each.shape) for each in back] == [(1, 3, 6, 6), (1, 3, 3, 9)]
    assert [each.uint8()[0].tolist() for each in back] == [
        np.asarray(each).tolist() for each in images
    ]


def test_what_lies_outside_of_a_picture_costs_nothing(make):
    model = make(CHAIN)
    small = Picture(smooth(1, 3, 2, 2)[0], "RGB")
    one, nine = pack(model, [small]), pack(model, [Picture(smooth(1, 3, 6, 6)[0], "RGB")])
    assert one.ideal < 1.5 * nine.ideal * 4 / 36
    assert one.payload <= one.ideal + 32


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "LA", "RGBA", "P"])
@pytest.mark.parametrize("config", [CHAIN, GREY], ids=["colour", "grey"])
def test_modes_are_kept_where_no_bit_is_lost(make, tmp_path, mode, config):
    grey = Image.fromarray(smooth(1, 1, 9, 10)[0, 0])
    grey.convert("1").convert(mode).save(tmp_path / "a.png") if mode == "1" else grey.convert(
        mode
    ).save(tmp_path / "a.png")
    (back,) = unpack(pack(make(config), [Picture.open(tmp_path / "a.png")]).data)
    with Image.open(tmp_path / "a.png") as original:
        wanted = original.convert("RGB") if mode == "P" else original
        assert back.pil().mode == wanted.mode
        assert back.pil().tobytes() == wanted.tobytes()
    assert back.name == "a.png"


def refused(chain, image, match, tmp_path, name="a.png"):
    image.save(tmp_path / name)
    with pytest.raises(zoo.ImageError, match=match):
        zoo.compress(chain, tmp_path / name)


def test_what_would_be_lost_is_refused(chain, make, tmp_path):
    grey = Image.fromarray(smooth(1, 1, 9, 10)[0, 0])
    clear = grey.convert("RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 40))
    refused(chain, clear, "a.png: it is transparent in places", tmp_path)
    refused(chain, Image.fromarray(np.arange(90, dtype=np.uint16).reshape(9, 10)), "I;16", tmp_path)
    refused(chain, grey.convert("CMYK"), "CMYK.*Convert", tmp_path, "a.tif")
    with pytest.raises(zoo.ImageError, match="takes pictures of 1 channel, this one is RGB"):
        zoo.compress(make(GREY, "grey"), Image.fromarray(smooth(1, 3, 6, 6)[0].transpose(1, 2, 0)))
    with pytest.raises(zoo.ImageError, match=r"black and white.*zoo\.data\.binarise"):
        zoo.compress(make(LATENT, "binary"), grey)
    with pytest.raises(zoo.ImageError, match=r"not 8-bit: a number lies 0\.3"):
        zoo.compress(chain, torch.full((1, 3, 6, 6), 0.3 / 127.5 - 1))
    with pytest.raises(zoo.ImageError, match="no such file"):
        zoo.compress(chain, tmp_path / "none.png")
    grey.save(tmp_path / "a.gif", save_all=True, append_images=[grey.rotate(90)])
    with pytest.raises(zoo.ImageError, match="2 pictures"):
        zoo.compress(chain, tmp_path / "a.gif")


def test_a_condition_is_written_down_and_asked_again(make):
    model = make({**CHAIN, "classes": 4})
    images = from_uint8(torch.from_numpy(smooth(3, 3, 6, 6)))
    data = zoo.compress(model.condition(label=2), images)
    assert data != zoo.compress(model, images)
    assert torch.equal(zoo.decompress(data).tensor, images)
    with pytest.raises(zoo.RequestError, match="one condition for all pictures"):
        zoo.compress(model.condition(label=[1, 2, 3]), images)


def test_a_model_without_probabilities_is_told_which_have_them(make, pixelgauss):
    from zoo.testing import Subject

    make(CHAIN, "chain-here")
    model = Subject(pixelgauss, {"classes": 3, "shape": [3, 8, 8]}, image=(3, 8, 8)).model
    with pytest.raises(zoo.Unsupported, match=r"no conditional probabilities.*chain-here"):
        zoo.compress(model, -torch.ones(1, 3, 8, 8))
