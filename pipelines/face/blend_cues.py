"""What a blended-in face does not share with its surroundings: sharpness, noise and colour, cell by cell of an aligned
face.

Each measure is the mean over a cell of a map, energies in their logarithm, against the mean over the face: light,
contrast and compression of the picture as a whole fall out, what differs from place to place stays.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 128  # pixels a side of the aligned face (`align.py`)
CELLS = 16  # a side
Floats = NDArray[np.float32]
_FLOOR = 0.05  # added before a logarithm, in grey levels
_DIAGONAL = np.array([[0.5, -0.5], [-0.5, 0.5]], np.float32)  # Haar, finest scale
_CHROMA = (4, 5, 9, 10)  # channels that a grey picture has not
CHANNELS = 11


def blend_cues(face: NDArray[np.uint8]) -> Floats:
    """Cues 11 16 16 float32 of an aligned face 128 128 3 uint8 RGB; the channels of chroma are 0 in a grey picture."""
    lab = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2LAB), np.float32).transpose(2, 0, 1)  # 3 H W
    colours = np.asarray(lab / np.float32(10), np.float32)
    cues = np.concatenate([np.log(_cells(_energies(face)) + _FLOOR), _cells(colours)])
    cues -= cues.mean(axis=(1, 2), keepdims=True)
    if (face == face[..., :1]).all():
        cues[list(_CHROMA)] = 0
    return np.asarray(cues, np.float32)


def fine_detail(face: NDArray[np.uint8]) -> float:
    """Mean size of the finest octave of an aligned face in grey levels: what blur takes and noise brings."""
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 0.7)).mean())


def _energies(face: NDArray[np.uint8]) -> Floats:
    """8 H W: four octaves of the luminance, fine chroma of both kinds, median residual, noise."""
    luma, red, blue = cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb).astype(np.float32).transpose(2, 0, 1)
    levels = [luma, *(np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma), np.float32) for sigma in (0.7, 1.4, 2.8, 5.6))]
    octaves = [np.abs(fine - coarse) for fine, coarse in pairwise(levels)]
    chroma = [np.abs(part - cv2.GaussianBlur(part, (0, 0), 1.4)) for part in (red, blue)]
    residual = np.abs(luma - cv2.medianBlur(luma, 3))
    return np.stack([*octaves, *chroma, residual, np.abs(cv2.filter2D(luma, -1, _DIAGONAL))]).astype(np.float32)


def _cells(maps: Floats) -> Floats:
    """Means of cells, K H W -> K 16 16."""
    step = SIZE // CELLS
    return np.asarray(maps.reshape(len(maps), CELLS, step, CELLS, step).mean(axis=(2, 4)), np.float32)
