"""Dense optical flow (DIS, Kroeger et al. 2016, arXiv:1603.03590) and what is warped by it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_SLACK, _SHARE = 1.0, 0.02  # squared pixels, and share of the squared motion, that the two directions may differ by


def grey_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H W 3 RGB -> H W."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def dense_flow(start: NDArray[np.uint8], end: NDArray[np.uint8]) -> Floats:
    """Where each pixel of `start` lies in `end`: H W 2, x right and y down in pixels."""
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(solver.calc(start, end, np.empty(0, np.float32)), np.float32)


def warp_back(values: Floats, flow: Floats) -> Floats:
    """`values` H W (or H W C) of another frame at the places that `flow` H W 2 points to."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR), np.float32)


def uncovered(backward: Floats, forward: Floats) -> Floats:
    """0..1, H W: how surely a pixel was hidden in the frame that `backward` leads to.

    There the way back and forth does not close (Sundaram et al. 2010, ECCV, eq. 5): `forward` is that frame's flow to
    this one. Flow is smooth, so what appears behind a moving object would else inherit the object's label.
    """
    returning = warp_back(forward, backward)
    gap = np.square(backward + returning).sum(axis=2)
    motion = np.square(backward).sum(axis=2) + np.square(returning).sum(axis=2)
    hidden = (gap > _SHARE * motion + _SLACK).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(hidden, (0, 0), 1.0), np.float32)
