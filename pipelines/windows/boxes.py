"""Boxes in numpy: IoU, exact greedy suppression that stays fast at 100,000 boxes, and decoding of detector maps.

A box is `x0 y0 x1 y1` in pixels, x right, y down, origin at the outer corner of the first pixel (pixel-corner origin),
so a box of one pixel is `0 0 1 1`. Everything is torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_ROUND = 1024
_PAIRS_AT_ONCE = 1 << 21


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Decoded candidates of a batch: `boxes` n 4 (input pixels), `scores` n, `labels` n (class index), `images` n
    (index in the batch), `cells` n 2 (row, column of the maps), ordered by image, then by falling score."""

    boxes: Floats
    scores: Floats
    labels: Ints
    images: Ints
    cells: Ints


def box_area(boxes: ArrayLike) -> Floats:
    """Areas `n` of boxes `n 4`; a box with a negative side has area 0."""
    found = _as_boxes(boxes)
    sides = np.maximum(found[:, 2:] - found[:, :2], 0)  # n 4 -> n 2
    return np.asarray(sides[:, 0] * sides[:, 1])


def box_iou(first: ArrayLike, second: ArrayLike) -> Floats:
    """Intersection over union of every pair: `n 4`, `m 4` -> `n m`; two empty boxes have IoU 0."""
    a, b = _as_boxes(first), _as_boxes(second)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])  # -> n m 2
    inter = np.maximum(sides, 0).prod(axis=2)  # n m 2 -> n m
    union = box_area(a)[:, None] + box_area(b)[None, :] - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def nms(boxes: ArrayLike, scores: ArrayLike, iou: float = 0.5, labels: ArrayLike | None = None) -> Ints:
    """Greedy suppression: indices to keep, by falling score (ties: lower index first).

    A box goes when a kept box of the same label overlaps it by more than `iou` (0..1). The result equals the plain
    quadratic loop; candidates are taken in rounds of growing size, and pairs come from grids with one cell size per
    octave of box size, because IoU > t forces the sides of two boxes to lie within a factor 1/t.
    """
    found, marks = _as_boxes(boxes), np.asarray(scores, np.float64)
    if len(marks) != len(found):
        raise ValueError(f"{len(found)} boxes but {len(marks)} scores")
    group = np.zeros(len(found), np.int64) if labels is None else np.asarray(labels, np.int64)
    alive = np.argsort(-marks, kind="stable")
    kept: list[Ints] = []
    size = _FIRST_ROUND
    while len(alive):
        chunk, rest = alive[:size], alive[size:]
        winners = chunk[_greedy(found[chunk], group[chunk], iou)]
        kept.append(winners)
        alive = rest[~_covered(found[rest], group[rest], found[winners], group[winners], iou)]
        size *= 2
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def overlapping(boxes: ArrayLike, iou: float, labels: ArrayLike | None = None) -> tuple[Ints, Ints]:
    """Index pairs i < j, by i, then j, of boxes `n 4` of one label that overlap by more than `iou` (0..1)."""
    found = _as_boxes(boxes)
    group = np.zeros(len(found), np.int64) if labels is None else np.asarray(labels, np.int64)
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for a, b in _overlapping(found, group, found, group, iou):
        rising = a < b
        firsts.append(a[rising])
        seconds.append(b[rising])
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    order = np.lexsort((second, first))
    return first[order], second[order]


def match(boxes: Floats, scores: Floats, drawn: Floats, iou: float) -> NDArray[np.bool_]:
    """Which of `boxes` (n 4) hit a box of `drawn` (m 4); n, in the order given.

    By falling score each box takes the free drawn box that it overlaps most, when their IoU is at least `iou`.
    """
    hit = np.zeros(len(boxes), bool)
    overlaps = box_iou(boxes, drawn)  # n m
    free = np.ones(len(drawn), bool)
    for box in np.argsort(-np.asarray(scores), kind="stable"):
        row = np.where(free, overlaps[box], -1.0)
        if len(row) and row.max() >= iou:
            free[int(row.argmax())] = False
            hit[box] = True
    return hit


def decode(
    scores: ArrayLike, boxes: ArrayLike, threshold: float | ArrayLike, top_k: int = 1000, *, peaks: bool = False
) -> Found:
    """Candidates of detector maps: `scores` B K h w (0..1), `boxes` B 4 h w (input pixels).

    Keeps cells with a score of at least `threshold` (one value or one per class), the best `top_k` of each image. With
    `peaks` a cell must also be the highest of its 3x3 neighbourhood in its class (CenterNet, arXiv 1904.07850, section
    4). Empty, reversed and non-finite boxes are dropped.
    """
    maps, sides = np.asarray(scores), np.asarray(boxes)
    if maps.ndim != 4 or sides.shape != (maps.shape[0], 4, *maps.shape[2:]):
        raise ValueError(f"scores B K h w and boxes B 4 h w expected, got {maps.shape} and {sides.shape}")
    floor = np.broadcast_to(np.asarray(threshold, np.float64).reshape(-1), (maps.shape[1],))
    chosen = maps >= floor[None, :, None, None]
    if peaks:
        chosen &= maps == _highest_3x3(maps)
    image, label, row, column = np.nonzero(chosen)
    value = maps[image, label, row, column].astype(np.float64)
    box = sides[image, :, row, column].astype(np.float64)  # B 4 h w -> n 4
    sound = np.isfinite(box).all(axis=1) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    order = np.lexsort((-value, image))
    order = order[sound[order]]
    rank = np.arange(len(order)) - np.searchsorted(image[order], image[order])  # place within the own image
    order = order[rank < top_k]
    cells = np.stack([row[order], column[order]], axis=1)  # n 2
    return Found(boxes=box[order], scores=value[order], labels=label[order], images=image[order], cells=cells)


def _as_boxes(boxes: ArrayLike) -> Floats:
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def _highest_3x3(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """The maximum over each cell's 3x3 neighbourhood, clipped at the border; B K h w -> B K h w."""
    wide = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows = np.maximum(np.maximum(wide[:, :, :-2], wide[:, :, 1:-1]), wide[:, :, 2:])
    return np.asarray(np.maximum(np.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:]))


def _greedy(boxes: Floats, group: Ints, iou: float) -> Ints:
    """Greedy survivors of boxes that are already in the order of falling score."""
    alive = np.ones(len(boxes), bool)
    first, second = overlapping(boxes, iou, group)
    leaders, starts = np.unique(first, return_index=True)
    for leader, victims in zip(leaders, np.split(second, starts[1:]), strict=False):
        if alive[leader]:
            alive[victims] = False
    return np.flatnonzero(alive)


def _covered(boxes: Floats, group: Ints, winners: Floats, winner_group: Ints, iou: float) -> NDArray[np.bool_]:
    """Which of `boxes` overlap a winner of their group by more than `iou`."""
    covered = np.zeros(len(boxes), bool)
    for _, box in _overlapping(winners, winner_group, boxes, group, iou):
        covered[box] = True
    return covered


def _overlapping(a: Floats, a_group: Ints, b: Floats, b_group: Ints, iou: float) -> Iterator[tuple[Ints, Ints]]:
    """Index pairs (into a, into b) of equal group with IoU > `iou`, in pieces of bounded size."""
    octaves_a, octaves_b = _octave(a), _octave(b)
    reach = np.inf if iou <= 0 else np.ceil(np.log2(1 / iou))
    for octave_a in np.unique(octaves_a):
        for octave_b in np.unique(octaves_b[np.abs(octaves_b - octave_a) <= reach]):
            in_a, in_b = np.flatnonzero(octaves_a == octave_a), np.flatnonzero(octaves_b == octave_b)
            cell = 2.0 ** (max(octave_a, octave_b) + 1)  # at least the distance of the centres of overlapping boxes
            for left, right in _neighbours(a[in_a], a_group[in_a], b[in_b], b_group[in_b], cell):
                near = _paired_iou(a[in_a[left]], b[in_b[right]]) > iou
                yield in_a[left[near]], in_b[right[near]]


def _octave(boxes: Floats) -> Ints:
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return np.floor(np.log2(np.maximum(longest, 2.0**-20))).astype(np.int64)


def _neighbours(a: Floats, a_group: Ints, b: Floats, b_group: Ints, cell: float) -> Iterator[tuple[Ints, Ints]]:
    """Pairs whose centres lie in the same or in adjacent grid cells; the three cells of a row are one run of sorted
    keys."""
    low = np.minimum(a[:, :2].min(axis=0), b[:, :2].min(axis=0))
    at_a = np.floor(((a[:, :2] + a[:, 2:]) / 2 - low) / cell).astype(np.int64) + 1
    at_b = np.floor(((b[:, :2] + b[:, 2:]) / 2 - low) / cell).astype(np.int64) + 1
    across, down = np.maximum(at_a.max(axis=0), at_b.max(axis=0)) + 2
    key_a, key_b = ((group * down + at[:, 1]) * across + at[:, 0] for group, at in ((a_group, at_a), (b_group, at_b)))
    order = np.argsort(key_b, kind="stable")
    ranked = key_b[order]
    for row in (-across, 0, across):
        start = np.searchsorted(ranked, key_a + row - 1, side="left")
        counts = np.searchsorted(ranked, key_a + row + 1, side="right") - start
        for part in _pieces(counts):
            number = counts[part]
            left = np.repeat(np.arange(part.start, part.stop), number)
            offset = np.arange(len(left)) - np.repeat(np.cumsum(number) - number, number)
            yield left, order[np.repeat(start[part], number) + offset]


def _pieces(counts: Ints) -> Iterator[slice]:
    """Slices of `counts` whose sums stay near _PAIRS_AT_ONCE."""
    total = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end


def _paired_iou(a: Floats, b: Floats) -> Floats:
    """IoU of row i of `a` with row i of `b`; n 4, n 4 -> n."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = np.maximum(sides[:, 0], 0) * np.maximum(sides[:, 1], 0)
    union = box_area(a) + box_area(b) - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))
