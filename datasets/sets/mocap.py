"""Poses of people: joint positions of motion capture (CMU, 38 joints) as one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

JOINTS = 38
_APART = 6  # frames of 30 a second between two poses


def read_poses(path: Path) -> NDArray[np.float32]:
    """Poses n 38 3 in metres (x, y up, z), feet on the ground at y = 0, hips above the origin.

    `path`: an .npz whose arrays frames 38 3 are millimetres, one a sequence; other arrays are skipped. Raises
    UnreadableInputError for a file without any.
    """
    try:
        with np.load(path) as stored:
            found = [stored[name] for name in sorted(stored.files)]
    except (OSError, ValueError) as error:
        raise UnreadableInputError(f"{path}: {error}", hint="an .npz of joint positions, frames 38 3") from error
    sequences = [item for item in found if item.ndim == 3 and item.shape[1:] == (JOINTS, 3)]
    if not sequences:
        raise UnreadableInputError(f"{path}: no array of frames 38 3", hint="joint positions in millimetres")
    poses = np.concatenate([item[::_APART] for item in sequences]).astype(np.float32) / 1000
    poses[..., 1] -= poses[..., 1].min(axis=1, keepdims=True)
    poses[..., ::2] -= poses[:, :1, ::2]  # x and z of the hips
    return np.asarray(poses, np.float32)
