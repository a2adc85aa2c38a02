"""Tokens once for all epochs: what is written is what the tokenizer says, whatever was interrupted."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from noise import pictures, tokenizer

import zoo
from zoo.data import batches, encode_set, open_set
from zoo.data.containers import CONTAINERS
from zoo.errors import DataError, RequestError

ROOT = Path(zoo.__file__).parents[1]
FAST = {"splits": ("train",), "batch": 4, "per_shard": 8}


@pytest.fixture
def here(tmp_path):
    """A tokenizer and 24 pictures, 23 of them for training."""
    return tokenizer(tmp_path), pictures(tmp_path / "noise", 24)


@pytest.mark.parametrize("container", CONTAINERS)
def test_tokens_are_those_of_the_tokenizer(here, tmp_path, container):
    if container == "parquet":
        pytest.importorskip("pyarrow", reason="needs genzoo[parquet]")
    model, data = here
    about = encode_set(model, data, tmp_path / "out", flip=True, container=container, batch=4)
    assert about["counts"] == {split: len(open_set(data, split, 16)) for split in about["counts"]}
    tokens, known = open_set(tmp_path / "out", "train"), open_set(data, "train", 16)
    assert (tokens.name, tokens.image, len(tokens)) == ("noise", (3, 16, 16), len(known))
    loaded = zoo.load(model)
    for item, picture in zip(tokens, known, strict=True):
        image = picture["image"][None] / 127.5 - 1
        assert item["tokens"].dtype == torch.int64
        assert torch.equal(item["tokens"], loaded.encode(image)[0])
        assert torch.equal(item["mirrored"], loaded.encode(image.flip(-1))[0])
        assert (item["name"], item["caption"]) == (picture["name"], picture["caption"])


def test_the_files_say_where_they_are_from(here, tmp_path):
    model, data = here
    encode_set(model, data, tmp_path / "out", **FAST)
    about = json.loads((tmp_path / "out" / "data.json").read_text())
    card = zoo.show(model)
    assert about["tokenizer"] == {
        "model": "tiny-tokens@1.0.0",
        "weights": card.files["model.safetensors"].sha256,
        "codes": 32,
        "grid": [4, 4],
        "image": [3, 16, 16],
    }
    assert (about["data"], about["counts"]) == (data, {"train": 23})
    with tarfile.open(tmp_path / "out" / "train-00001.tar") as shard:
        assert shard.getnames()[:3] == ["000000008.npy", "000000008.json", "000000009.npy"]


def test_batches_of_tokens_are_those_of_the_pictures(here, tmp_path):
    """The same pictures in the same order, mirrored alike: a recipe's curve does not change."""
    model, data = here
    encode_set(model, data, tmp_path / "out", flip=True, **FAST)
    loaded = zoo.load(model)
    options = {"batch_size": 6, "seed": 3, "flip": True}
    pairs = zip(
        batches(open_set(tmp_path / "out"), **options),
        batches(open_set(data, "train", 16), **options),
        strict=True,
    )
    for tokens, known in itertools.islice(pairs, 5):
        assert torch.equal(tokens["tokens"], loaded.encode(known["images"]))
        assert tokens["captions"] == known["captions"]
        assert "images" not in tokens


def test_a_killed_run_goes_on_to_the_same_bytes(here, tmp_path):
    model, data = here
    encode_set(model, data, tmp_path / "whole", **FAST)
    program = (
        "import os, signal, sys\n"
        "from zoo.data import encoding\n"
        "put = encoding._put\n"
        "def dying(path, data):\n"
        "    if path.name == 'train-00001.tar':\n"
        "        (path.parent / '.train-00001.tar.1').write_bytes(data[:100])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    put(path, data)\n"
        "encoding._put = dying\n"
        "encoding.encode_set(*sys.argv[1:], splits=('train',), batch=4, per_shard=8)\n"
    )
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", program, model, data, str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(DataError, match=r"begun: run the same `zoo encode tiny-tokens@1\.0\.0"):
        open_set(tmp_path / "out")
    kept = (tmp_path / "out" / "train-00000.tar").stat().st_mtime_ns
    encode_set(model, data, tmp_path / "out", **FAST)
    assert (tmp_path / "out" / "train-00000.tar").stat().st_mtime_ns == kept
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_another_encoding_is_not_mixed_in(here, tmp_path):
    model, data = here
    encode_set(model, data, tmp_path / "out", **FAST)
    with pytest.raises(RequestError, match=r"another encoding: flip was False, is True"):
        encode_set(model, data, tmp_path / "out", flip=True, **FAST)
    other = tokenizer(tmp_path, "other-tokens", seed=1)
    with pytest.raises(RequestError, match=r"tiny-tokens@1\.0\.0.* is .*other-tokens@1\.0\.0"):
        encode_set(other, data, tmp_path / "out", **FAST)
    pictures(Path(data) / "more", 3)
    with pytest.raises(DataError, match=r"has 23 pictures of 'train', .* now has 26"):
        encode_set(model, data, tmp_path / "out", **FAST)


def test_what_cannot_be_read_is_named(here, tmp_path):
    model, data = here
    encode_set(model, data, tmp_path / "out", **FAST)
    with pytest.raises(
        DataError, match=r"no tokens of the split 'test'; it has train\. Add --split"
    ):
        open_set(tmp_path / "out", "test")
    with pytest.raises(DataError, match="pictures of 16 x 16 px, not 32"):
        open_set(tmp_path / "out", size=32)
    with pytest.raises(DataError, match="encoded without"):
        list(itertools.islice(batches(open_set(tmp_path / "out"), 16, flip=True), 2))
    with pytest.raises(DataError, match="holds tokens already"):
        encode_set(model, str(tmp_path / "out"), tmp_path / "again", **FAST)
    shard = tmp_path / "out" / "train-00001.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"train-00001\.tar is damaged"):
        open_set(tmp_path / "out")


def test_only_tokenizers_make_tokens(here, tmp_path):
    with pytest.raises(RequestError, match="kept as parquet, webdataset; not 'tar'"):
        encode_set(*here, tmp_path / "out", container="tar")
    with pytest.raises(RequestError, match=r"vae-mnist@.* has continuous latents"):
        encode_set("vae-mnist", here[1], tmp_path / "out")
