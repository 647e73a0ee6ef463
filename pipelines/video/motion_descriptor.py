"""How a picture moves, in a few dozen numbers a time step: for actions that are told by motion, whatever the place.

Histograms of optical flow (Dalal et al. 2006, ECCV) of the busiest cells of a grid, the camera's own motion taken out.
Cells are ordered by how much they move and directions by their strength, so neither the place of the action in the
picture nor its mirror image changes the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SIDE = 128  # pixels of the square that a frame is brought to
_CELLS, _BUSIEST, _BINS, _STRONGEST = 5, 6, 8, 4
_QUANTILES = (0.5, 0.8, 0.95, 0.99)
WIDTH = _BUSIEST * (3 + _STRONGEST) + len(_QUANTILES) + _BINS  # numbers a time step


def small_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H W 3 RGB -> SIDE SIDE grey."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def describe(frames: Sequence[NDArray[np.uint8]]) -> Floats:
    """T pictures of `small_grey` -> T-1 WIDTH, one row for each step from a frame to the next."""
    rows = [describe_step(before, after) for before, after in pairwise(frames)]
    return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)


def describe_step(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Floats:
    """Two pictures of `small_grey` -> WIDTH."""
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(solver.calc(before, after, np.empty(0, np.float32)), np.float32)
    flow -= np.median(flow.reshape(-1, 2), axis=0).astype(np.float32)
    change = cv2.absdiff(before, after)
    speed, angle = np.linalg.norm(flow, axis=2), np.arctan2(flow[..., 1], flow[..., 0])
    mean_speed = _cells(speed)
    spread = _cells(speed**2) - _cells(flow[..., 0]) ** 2 - _cells(flow[..., 1]) ** 2
    directions = np.stack([_cells(_share(angle, place) * speed) for place in range(_BINS)], axis=1)  # cells bins
    busiest = np.argsort(-mean_speed, kind="stable")[:_BUSIEST]
    strongest = np.sort(directions[busiest], axis=1)[:, ::-1][:, :_STRONGEST]
    parts = (
        mean_speed[busiest],
        _cells(np.asarray(change, np.float32))[busiest] / 25,
        np.sqrt(np.maximum(spread[busiest], 0)),
        strongest.reshape(-1),
        np.quantile(speed, _QUANTILES),
        np.sort(directions.mean(axis=0)),
    )
    return np.asarray(np.log1p(4 * np.concatenate(parts)), np.float32)


def _share(angle: Floats, place: int) -> Floats:
    """0..1: how much of each direction belongs to bin `place`, shared linearly between neighbours."""
    width = 2 * np.pi / _BINS
    away = np.abs((angle - place * width + np.pi) % (2 * np.pi) - np.pi)
    return np.asarray((1 - away / width).clip(0, 1), np.float32)


def _cells(values: Floats) -> Floats:
    """H W -> means over a grid of cells, flat."""
    return np.asarray(cv2.resize(values, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32).reshape(-1)
