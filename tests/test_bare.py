"""Nets built on the meta device: the right shapes, no values, no thousand imports."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from zoo.bare import shapes_only

BUILD = """
import sys
from zoo.bare import shapes_only
from zoo.nn.autoencoder import Decoder, Encoder
from zoo.nn.quantizers import VectorQuantizer
with shapes_only():
    Encoder(3, 4, [32, 64], 1, attention=[1]), Decoder(3, 4, [32, 64], 1), VectorQuantizer(16, 4)
print(*[name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""


def test_nothing_but_torch_is_imported():
    done = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


LOAD = """
import sys
import zoo
from zoo.hub.embedded import root
for each in sorted(root().glob("*/model.safetensors")):
    zoo.load(each.parent)
    if "torch._dynamo" in sys.modules:
        raise SystemExit(each.parent.name)
"""


def test_no_model_of_the_zoo_imports_a_compiler_to_load():
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 5),
        lambda: nn.Conv2d(3, 5, 3, bias=False),
        lambda: nn.LSTM(3, 4, num_layers=2),
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.BatchNorm2d(4),
        lambda: nn.Embedding(7, 3, padding_idx=0),
    ],
)
def test_shapes_are_those_of_the_real_net(make):
    with shapes_only():
        bare = make()
    real = make()
    assert all(each.is_meta for each in bare.state_dict().values())
    assert {k: (v.shape, v.dtype) for k, v in bare.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in real.state_dict().items()
    }


def test_draws_have_shape_and_type():
    with shapes_only():
        drawn = (
            torch.randn((2, 3), dtype=torch.float64),
            torch.rand(4, generator=torch.Generator("cpu")),
        )
    assert [(tuple(each.shape), each.dtype, each.is_meta) for each in drawn] == [
        ((2, 3), torch.float64, True),
        ((4,), torch.float32, True),
    ]


def test_a_draw_times_a_number_is_a_draw():
    with shapes_only():
        drawn = [torch.randn(3) * 0.02, 2 * torch.randn(3), torch.randn(3) / 4]
        real = torch.ones(3, device="cpu") * 2
        whole = torch.ones(3, dtype=torch.int64) * 0.5
    assert all(each.is_meta and each.shape == (3,) for each in drawn)
    assert real.tolist() == [2.0, 2.0, 2.0]
    assert whole.dtype == torch.float32


def test_real_tensors_are_filled_as_ever():
    with shapes_only():
        real = torch.empty(3, device="cpu").fill_(2.0)
        nn.init.ones_(real[:1])
    assert real.tolist() == [1.0, 2.0, 2.0]
