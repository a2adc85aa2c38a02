"""Decoding is exact in other processes, with other thread counts and batch sizes, and under small errors."""

import copy
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import coded_family
import numpy as np
import pytest
import torch
from coded_pictures import BINARY, CHAIN, GREY, LATENT, smooth

import zoo
from zoo.codec import Picture, intervals, pack, unpack
from zoo.codec.stream import read
from zoo.errors import CodecError
from zoo.images import from_uint8

ROOT = Path(__file__).parents[2]
DECODE = """
import hashlib, sys, torch
from zoo.codec import unpack
print(torch.get_num_threads())
for path in sys.argv[2:]:
    back = unpack(open(path, "rb").read(), None, int(sys.argv[1]))
    print(hashlib.sha256(b"".join(each.pixels.tobytes() for each in back)).hexdigest())
"""


def pictures(config, count, seed=0):
    c, h, w = config["image"]
    drawn = smooth(count, c, h, w, seed, binary=config["levels"] == 2)
    return [Picture(each, "RGB" if c == 3 else "L") for each in drawn]


def test_other_processes_threads_and_batches_decode_the_same(make, tmp_path):
    files, wanted = [], []
    for name, config in (("chain", CHAIN), ("latent", GREY)):
        given = pictures(config, 24)
        packed = pack(make(config, name), given, lanes=16, batch=5)
        assert pack(zoo.load(name), given, lanes=16, batch=24).data == packed.data
        files.append(tmp_path / f"{name}.zoo")
        files[-1].write_bytes(packed.data)
        wanted.append(hashlib.sha256(b"".join(each.pixels.tobytes() for each in given)).hexdigest())
    site = os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent), *sys.path])
    for threads, batch in (("1", "1"), ("2", "7")):
        done = subprocess.run(
            [sys.executable, "-c", DECODE, batch, *map(str, files)],
            capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": site},
        )  # fmt: skip
        assert done.stdout.split() == [threads, *wanted], done.stderr


class NoisyChain(coded_family.Chain):
    def walk(self, count, cond):
        return NoisyWalk(self, count, cond)


class NoisyWalk(coded_family.Walk):
    def probabilities(self):
        return noisy(super().probabilities(), self.net.noise)


class NoisyLatent(coded_family.Latent):
    def tables_given(self, latents, cond):
        return noisy(super().tables_given(latents, cond), self.noise)

    def posterior(self, images, cond):
        mean, std = super().posterior(images, cond)
        return mean + std * self.noise * sign(mean), std * (1 + self.noise * sign(std))


def sign(tensor):
    """-1 or 1 for every number, from its own last bits."""
    return (tensor.detach().contiguous().view(torch.int64) % 2 * 2 - 1).to(tensor.dtype)


def noisy(tables, size):
    tables = tables * (1 + size * sign(tables))
    return tables / tables.sum(-1, keepdim=True)


def disturbed(model, size):
    """The model with every table (and posterior) off by `size` of itself."""
    net = copy.deepcopy(model.net)
    net.__class__ = NoisyLatent if isinstance(net, coded_family.Latent) else NoisyChain
    net.noise = size
    return replace(model, net=net)


KINDS = pytest.mark.parametrize(
    "config", [CHAIN, BINARY, LATENT, GREY], ids=["chain", "binary", "latent", "grey"]
)


@KINDS
def test_errors_of_half_the_margin_do_no_harm(make, config):
    given = pictures(config, 60)
    model = make(config)
    back = unpack(pack(model, given).data, disturbed(model, intervals.EPS / 2))
    assert all((a.pixels == b.pixels).all() for a, b in zip(back, given, strict=True))


@pytest.mark.parametrize(
    ("config", "wide"),
    [(CHAIN, 1e-6), (BINARY, 1e-5), (LATENT, 1e-7), (GREY, 1e-7)],
    ids=["chain", "binary", "latent", "grey"],
)
def test_what_is_told_beside_the_bits_is_what_makes_it_exact(make, config, wide, monkeypatch):
    """With a margin thousands of times as wide, and errors to match, roundings differ for certain."""
    import zoo.codec.bitsback as bitsback
    import zoo.codec.stream as stream

    for module in (intervals, bitsback):
        monkeypatch.setattr(module, "EPS", wide)
    given, model = pictures(config, 60 if config is CHAIN else 150), make(config)
    packed = pack(model, given)
    assert packed.told > 10
    other = disturbed(model, wide / 2)
    back = unpack(packed.data, other)
    assert all((a.pixels == b.pixels).all() for a, b in zip(back, given, strict=True))
    facts, coded = read(packed.data)
    silent = stream.write(facts, replace(coded, doubts=()))
    with pytest.raises(CodecError):
        unpack(silent, other)


@KINDS
@pytest.mark.parametrize("size", [1e-5, 1e-3, 0.3])
def test_greater_errors_are_told_and_never_give_a_wrong_picture(make, config, size):
    model = make(config)
    packed = pack(model, pictures(config, 60))
    with pytest.raises(CodecError, match=r"not decoded exactly|no symbol owns|left over"):
        unpack(packed.data, disturbed(model, size))


@KINDS
def test_what_is_told_costs_far_less_than_a_hundredth(make, config):
    packed = pack(make(config), pictures(config, 300))
    assert packed.told * 48 < 0.01 * packed.ideal  # 6 bytes each would be many


def test_tables_and_walk_differ_in_their_last_bits_here(chain):
    """Otherwise the tests above would show little."""
    net = copy.deepcopy(chain.net).double()
    images = from_uint8(torch.from_numpy(smooth(4, 3, 6, 6))).double()
    symbols = net.symbols(images)
    with torch.no_grad():
        walk = net.walk(4, None)
        tables, apart = net.tables(symbols, None), []
        for step in range(net.length):
            apart.append(float((walk.probabilities() - tables[:, step]).abs().max()))
            walk.push(symbols[:, step])
    assert 0 < np.max(apart) < 1e-13
