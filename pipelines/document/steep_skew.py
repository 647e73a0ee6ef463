"""Skew too steep for rows to be followed letter by letter: the angle at which the letters' middles crowd into rows.

Projection profiles (Postl 1986) of the middles of letters in place of pixels: a few milliseconds a page.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.components import Components, letter_like

STEEPEST, STEP = 30.0, 0.5  # degrees looked at, to either side
LEAST = 4.0  # degrees: what is less is found by the slope of the lines
CROWDED = 1.25  # times the profile of the nearly level page: rows are there for certain
FEWEST = 30  # letters
ROW = 0.5  # x-heights: height of a bin of the profile


def steep_skew(found: Components, height: float) -> float:
    """Degrees by which the rows of a page with small letters of `height` pixels fall to the right (or, on a page that
    lies on its side, rise from it), 0 where they are nearly level or where nothing is certain."""
    fits = letter_like(found) & (found.heights > 0.6 * height) & (found.heights < 2.5 * height)
    boxes = found.boxes[fits & (found.widths < 3 * found.heights)]
    if len(boxes) < FEWEST:
        return 0.0
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    angles = np.arange(-STEEPEST, STEEPEST + STEP / 2, STEP)
    crowding = np.array([
        max(_crowding(y * cos - x * sin, height), _crowding(x * cos + y * sin, height))
        for cos, sin in zip(np.cos(np.radians(angles)), np.sin(np.radians(angles)), strict=True)
    ])  # fmt: skip
    best = int(crowding.argmax())
    level = float(crowding[np.abs(angles) <= LEAST / 2].max())
    return float(angles[best]) if abs(angles[best]) > LEAST and crowding[best] > CROWDED * level else 0.0


def _crowding(across: NDArray[np.float64], height: float) -> float:
    """Sum of the squared counts of the rows that places n fall into."""
    rows = np.bincount(((across - across.min()) / (ROW * height)).astype(int))
    return float((rows.astype(np.float64) ** 2).sum())
