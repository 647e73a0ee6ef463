"""Letters of two lines that touch are one component; where the rows beside it say so, it is cut in two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.components import Components

TALL = (1.7, 5.0)  # x-heights: lower ones are letters, taller ones large type or pictures
LETTER = 2.0  # x-heights: no letter of body type is taller
NEAR = 4.0  # x-heights to each side in which the rows are looked at
BRIDGE = 0.3  # x-heights: a wider connection is a stroke, as in a large initial


def cut_touching(found: Components, height: float) -> Components:
    """The components of a page, those that reach over two rows cut where they are thinnest between them."""
    tall = found.heights
    body = (tall > 0.6 * height) & (tall < LETTER * height)
    doubtful = np.flatnonzero((tall > TALL[0] * height) & (tall < TALL[1] * height))
    kept = np.ones(len(tall), bool)
    parts: list[tuple[int, int, int, int, int]] = []
    letters = found.boxes[body]
    for place in doubtful:
        box = found.boxes[place]
        row = _cut(found.ink[box[1] : box[3], box[0] : box[2]], box, letters, height)
        if row is not None:
            kept[place] = False
            x0, y0, x1, y1 = box.tolist()
            half = int(found.areas[place]) // 2
            parts += [(x0, y0, x1, row, half), (x0, row, x1, y1, half)]
    if not parts:
        return found
    rows = np.array(parts, np.int32)
    return Components(
        ink=found.ink, boxes=np.concatenate([found.boxes[kept], rows[:, :4]]),
        areas=np.concatenate([found.areas[kept], rows[:, 4]]),
    )  # fmt: skip


def _cut(
    patch: NDArray[np.uint8], box: NDArray[np.int32], letters: NDArray[np.int32], height: float
) -> int | None:  # fmt: skip
    """The row at which a component is to be cut; None where it is one letter."""
    x0, y0, x1, y1 = box.tolist()
    near = (letters[:, 2] > x0 - NEAR * height) & (letters[:, 0] < x1 + NEAR * height)
    middle = (letters[near, 1] + letters[near, 3]) / 2
    upper = ((middle > y0) & (middle < (y0 + y1) / 2 - 0.2 * height)).sum()
    lower = ((middle > (y0 + y1) / 2 + 0.2 * height) & (middle < y1)).sum()
    if min(upper, lower) < 2:
        return None
    low, high = int(0.3 * len(patch)), int(0.7 * len(patch)) + 1
    widths = patch[low:high].sum(axis=1, dtype=np.int64)
    if widths.min() > max(2.0, BRIDGE * height):
        return None
    thin = np.flatnonzero(widths == widths.min())
    return int(y0 + low + thin[len(thin) // 2])
