"""Pose skeletons: people's joints and the bones between them, each bone in a colour of its own.

The joints are the 18 that OpenPose names (Cao et al., 2018, arXiv:1812.08008) and ControlNets for pose were trained
with: nose, neck, then right and left arm (shoulder, elbow, wrist), right and left leg (hip, knee, ankle), eyes, ears.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import RequestError

JOINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
    "right ear", "left ear",
)  # fmt: skip
BONES = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
BONE = 0.6  # how bright a bone is; joints are fully so


def pose(keypoints: Tensor, size: tuple[int, int], width: float = 4.0) -> Tensor:
    """Skeletons (1, 3, H, W) in [0, 1] on black, of people's joints (people, 18, 2 or 3), x and y in 0 .. 1.

    A third number is how sure a joint is: 0 where it is not seen, and its bones are left out. `width` is of a bone, in
    pixels. Where people overlap the later one is seen. Raises RequestError for another shape, or places outside.
    """
    people = torch.as_tensor(keypoints, dtype=torch.float64)
    if people.ndim != 3 or people.shape[1] != len(JOINTS) or people.shape[2] not in (2, 3):
        raise RequestError(
            f"keypoints must be (people, {len(JOINTS)}, 2 or 3), joints in the order {', '.join(JOINTS[:3])}, ...; got "
            f"{tuple(people.shape)}."
        )
    seen = (
        people[:, :, 2] > 0
        if people.shape[2] == 3
        else torch.ones(people.shape[:2], dtype=torch.bool)
    )
    places = people[:, :, :2]
    if bool(((places < 0) | (places > 1))[seen].any()):
        raise RequestError("keypoints are shares of the picture's width and height, 0 .. 1.")
    height, across = size
    rows = (torch.arange(height, dtype=torch.float64) + 0.5)[:, None].expand(height, across)
    columns = (torch.arange(across, dtype=torch.float64) + 0.5).expand(height, across)
    grid = torch.stack([columns, rows], dim=2)  # (H, W, 2): x, y of every pixel's middle
    canvas = torch.zeros(3, height, across, dtype=torch.float64)
    for joints, there in zip(places * torch.tensor([across, height]), seen, strict=True):
        for number, (a, b) in enumerate(BONES):
            if there[a] and there[b]:
                near = distance(grid, joints[a], joints[b]) <= width / 2
                canvas[:, near] = BONE * _colour(number, len(BONES))[:, None]
        for number in range(len(JOINTS)):
            if there[number]:
                near = distance(grid, joints[number], joints[number]) <= width / 2
                canvas[:, near] = _colour(number, len(JOINTS))[:, None]
    return canvas.float()[None]


def distance(grid: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Of places (..., 2) to the stretch from a to b (2,)."""
    along = b - a
    length = along.square().sum()
    share = (
        ((grid - a) @ along / length).clamp(0, 1)
        if length > 0
        else torch.zeros(grid.shape[:-1]).to(grid)
    )
    apart: Tensor = torch.linalg.vector_norm(grid - a - share[..., None] * along, dim=-1)
    return apart


def _colour(number: int, count: int) -> Tensor:
    rgb: Sequence[float] = colorsys.hsv_to_rgb(number / count, 1.0, 1.0)
    return torch.tensor(rgb, dtype=torch.float64)
