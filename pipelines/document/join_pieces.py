"""Words of a row become one line, unless a gutter between columns parts them.

A gutter is bare over the rows above and below as well, with writing on both of its sides; the gaps between words are
not, however wide a justified line makes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.components import Components
from vitapps.pipelines.document.found_line import FoundLine

WIDE_GAP = 2.2  # x-heights: a gap this wide ends a line
HEADLINE, HEADLINE_GAP = 1.9, 3.2  # times the x-height of body type; its own x-heights
NARROW_GAP, WIDER = 0.45, 1.3  # x-heights, and times the page's usual gap between words: a narrower one is no gutter
PITCH = 2.2  # x-heights from one line to the next
LOOKS = ((6.0, 0.6), (3.3, 3.3), (0.6, 6.0))  # rows above and below a gap in which a gutter has to be bare
BESIDE = 5.0  # x-heights: how far to each side of a gutter writing is looked for
WRITTEN = 0.33  # of the rows of pixels beside a gutter that hold ink


def join_pieces(pieces: Sequence[FoundLine], letters: Components, height: float) -> list[list[int]]:
    """The numbers of the pieces of each line of a page whose small letters are `height` pixels high. A headline goes
    across gutters: columns hardly ever begin level with headings of its size."""
    mask = np.zeros(letters.ink.shape, bool)
    for x0, y0, x1, y1 in letters.boxes:
        mask[y0:y1, x0:x1] = True
    groups = {place: [place] for place in range(len(pieces))}
    head = list(range(len(pieces)))
    gaps = _gaps(pieces)
    sizes = [max(pieces[left].x_height, pieces[right].x_height) for left, right, _ in gaps]
    shares = [(x1 - x0) / size for (_, _, (x0, x1)), size in zip(gaps, sizes, strict=True)]
    usual = float(np.median([share for share in shares if share < WIDE_GAP] or [0.0]))
    least = max(NARROW_GAP, WIDER * usual)
    for (left, right, gap), size in zip(gaps, sizes, strict=True):
        headline = min(pieces[left].x_height, pieces[right].x_height) > HEADLINE * height
        if gap[1] - gap[0] > (HEADLINE_GAP if headline else WIDE_GAP) * size:
            continue
        if not headline and gap[1] - gap[0] >= least * size and is_gutter(mask, gap, pieces[left], size):
            continue
        first, second = head[left], head[right]
        if first != second:
            moved = groups.pop(second)
            groups[first] += moved
            for place in moved:
                head[place] = first
    return list(groups.values())


def _gaps(pieces: Sequence[FoundLine]) -> list[tuple[int, int, tuple[float, float]]]:
    """For each piece its next neighbour to the right in the same row, and the next beyond commas and strokes, with the
    gap x0 x1 between them."""
    boxes = np.array([piece.box for piece in pieces]).reshape(-1, 4)
    tall = boxes[:, 3] - boxes[:, 1]
    wide = boxes[:, 2] - boxes[:, 0] > 0.8 * tall
    found = []
    for place, box in enumerate(boxes):
        over = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
        low, high = np.minimum(tall, tall[place]), np.maximum(tall, tall[place])
        same = (over > 0.55 * low) & (low > 0.4 * high) & (boxes[:, 0] > box[0]) & (boxes[:, 2] > box[2])
        for some in (same, same & wide):
            if some.any():
                right = int(np.flatnonzero(some)[boxes[some, 0].argmin()])
                found.append((place, right, (float(box[2]), float(boxes[right, 0]))))
    return found


def is_gutter(mask: NDArray[np.bool_], gap: tuple[float, float], piece: FoundLine, size: float) -> bool:
    """Whether the gap beside a piece goes on, bare, through the rows about it; `mask` H W: where letters are."""
    x0, x1 = int(gap[0]), int(np.ceil(gap[1]))
    middle, reach = (piece.box[1] + piece.box[3]) / 2, int(BESIDE * size)
    for above, below in LOOKS:
        y0, y1 = max(0, int(middle - above * PITCH * size)), int(middle + below * PITCH * size)
        bare = ~mask[y0:y1, x0:x1].any(axis=0)
        if _longest_run(np.asarray(bare)) < max(2.0, 0.3 * size):
            continue
        sides = mask[y0:y1, max(0, x0 - reach) : x0], mask[y0:y1, x1 : x1 + reach]
        if all(side.size and side.any(axis=1).sum() > WRITTEN * (above + below) * PITCH * size for side in sides):
            return True
    return False


def _longest_run(bare: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bare.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
