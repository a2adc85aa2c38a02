"""EfficientNetLite2: keys one to one, and the published network's own numbers."""

import pytest
import torch
from safetensors.torch import save_file
from synthetic import drawn

from zoo import evaluate as measuring
from zoo.errors import DataError, ImageError, WeightsError
from zoo.evaluate.features import DEPTHS, FIRST, OTHER, TOP, EfficientNetLite2, timm_key

try:
    import timm
except (ImportError, RuntimeError) as error:  # a torchvision made for another torch
    timm, why = None, str(error)
else:
    why = ""
needs_timm = pytest.mark.skipif(timm is None, reason=f"timm cannot be imported: {why}")


def published_keys():
    """The keys of the published file, from its architecture."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    leaves = {"_fc": ("weight", "bias")}
    layers = [(layer, layer) for layer in TOP]
    for block in range(sum(DEPTHS)):
        layers += [(f"_blocks.{block}.{layer}", layer) for layer in (OTHER if block else FIRST)]
    for path, layer in layers:
        for leaf in norm if "_bn" in layer else leaves.get(layer, ("weight",)):
            yield f"{path}.{leaf}"


def test_keys_are_renamed_one_to_one():
    keys = list(published_keys())
    assert len(keys) == 386
    assert len({timm_key(key) for key in keys}) == 386
    assert timm_key("_blocks.0._project_conv.weight") == "blocks.0.0.conv_pw.weight"
    assert timm_key("_blocks.1._bn2.bias") == "blocks.1.0.bn3.bias"
    assert timm_key("_blocks.20._expand_conv.weight") == "blocks.6.0.conv_pw.weight"
    for strange in ("_blocks.21._bn1.weight", "_blocks.0._expand_conv.weight", "_bn7.weight"):
        with pytest.raises(KeyError):
            timm_key(strange)


@needs_timm
def test_keys_are_those_of_timm(tmp_path):
    with torch.device("meta"):
        state = timm.create_model("tf_efficientnet_lite2", pretrained=False).state_dict()
    assert {timm_key(key) for key in published_keys()} == set(state)
    numbers = torch.Generator().manual_seed(0)
    made = {}
    for key in published_keys():
        like = state[timm_key(key)]
        made[key] = torch.rand(like.shape, generator=numbers).to(like.dtype)
    save_file(made, tmp_path / "efficientnet-lite2.safetensors")
    net = EfficientNetLite2(tmp_path)
    assert net.train().net.training is False
    assert torch.equal(net.net.bn2.running_var, made["_bn1.running_var"])
    made.pop("_bn1.running_var")
    save_file(made, tmp_path / "efficientnet-lite2.safetensors")
    with pytest.raises(WeightsError, match=r"bn2\.running_var"):
        EfficientNetLite2(tmp_path)


@needs_timm
def test_equals_the_published_network(feature_weights):
    y, x = torch.meshgrid(torch.arange(260.0), torch.arange(260.0), indexing="ij")
    ring = torch.sin((x - 130) ** 2 / 900 + y / 14)
    waves = torch.stack([torch.sin(x / 15 + y / 29), torch.cos(x * y / 950), ring])
    picture = ((waves + 1) * 127.5).round().to(torch.uint8)[None]
    with torch.inference_mode():
        features = EfficientNetLite2()(picture)[0]
    # computed with the package efficientnet-lite-pytorch 0.1.0
    assert features[:6].tolist() == pytest.approx(
        [0.0, 0.1983891, 0.8555270, 0.0021506, 0.0037922, 0.2804365], abs=1e-4
    )
    assert float(features.norm()) == pytest.approx(17.675396, rel=1e-4)


@needs_timm
def test_distance_of_a_model(blocks, feature_weights):
    pictures = drawn(6)
    rebuilt, samples = measuring.evaluate(blocks, pictures, ["fd", "fd-samples"], batch_size=3)
    assert rebuilt.name == "FD-EfficientNetLite2"
    assert samples.name == "FD-EfficientNetLite2 of samples"
    assert rebuilt.value > 0
    assert samples.value > 0
    assert rebuilt.count == 6


@needs_timm
def test_a_grey_picture_enters_as_three_equal_channels(feature_weights):
    net, grey = EfficientNetLite2(), drawn(1, channels=1)
    assert torch.equal(net(grey), net(grey.expand(-1, 3, -1, -1)))


def test_weights_that_are_missing_or_others(tmp_path):
    with pytest.raises(DataError, match="zoo data build efficientnet-lite2"):
        EfficientNetLite2()
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "efficientnet-lite2.safetensors")
    with pytest.raises(WeightsError, match=r"conv1.*zoo data build"):
        EfficientNetLite2(tmp_path)
    (tmp_path / "efficientnet-lite2.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(WeightsError, match="cannot be read"):
        EfficientNetLite2(tmp_path)


@needs_timm
def test_pictures_it_does_not_take(feature_weights):
    with pytest.raises(ImageError, match="float32"):
        EfficientNetLite2()(torch.zeros(1, 3, 8, 8))
