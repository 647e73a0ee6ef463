"""A person who stands, as motion capture would store it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_UPRIGHT = {  # joint: x, y, z in metres
    0: (0, 1.0, 0), 13: (0, 1.0, 0), 14: (0, 1.14, 0), 15: (0, 1.29, 0), 16: (0, 1.29, 0), 17: (0, 1.42, 0),
    18: (0, 1.52, 0), 19: (0, 1.64, 0), 20: (0, 1.29, 0), 29: (0, 1.29, 0),
}  # fmt: skip
_LEG = ((0, 1.0, 0), (0.1, 0.9, 0), (0.12, 0.5, 0.02), (0.12, 0.1, 0), (0.12, 0.03, 0.1), (0.12, 0, 0.16))
_ARM = (
    (0.22, 1.38, 0), (0.27, 1.1, 0), (0.28, 0.86, 0.05), (0.28, 0.86, 0.05), (0.28, 0.78, 0.05), (0.28, 0.7, 0.05),
    (0.28, 0.86, 0.05), (0.25, 0.8, 0.06),
)  # fmt: skip


def standing() -> NDArray[np.float32]:
    """Joints 38 3 in metres, y up."""
    pose = np.zeros((38, 3), np.float32)
    for joint, place in _UPRIGHT.items():
        pose[joint] = place
    for first, chain in ((1, _LEG), (21, _ARM)):
        other = 7 if first == 1 else 30
        for number, (x, y, z) in enumerate(chain):
            pose[first + number] = (x, y, z)
            pose[other + number] = (-x, y, z)
    return pose


def write_poses(path: Path, *, sequences: int, frames: int) -> Path:
    """An archive of sequences in millimetres that drift away, with the tree of joints beside them."""
    drift = np.linspace(0, 500, frames)[:, None, None] * np.array([1, 0, 1])
    moving = (1000 * standing()[None] + drift + np.array([80, -240, 9])).astype(np.int16)  # frames 38 3
    np.savez(path, parent=np.zeros(38, np.int16), **{f"walk/{number}": moving for number in range(sequences)})
    return path
