"""How good tracks of many objects are: HOTA, MOTA and IDF1 with the semantics of TrackEval.

HOTA: Luiten et al. 2021 ("HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", eq. 5-9), the mean over
localisation thresholds 0.05 to 0.95. CLEAR: Bernardin and Stiefelhagen 2008. Identity: Ristani et al. 2016. The
latter two match at an IoU of 0.5. Boxes of one frame are compared by IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vitapps.pipelines.windows.boxes import box_iou

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPS = float(np.finfo(np.float64).eps)
MATCH = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxes:
    """The boxes of one frame: `ids` n from 0, `boxes` n 4 as x0 y0 x1 y1."""

    ids: Ints
    boxes: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class MotScores:
    """All 0..1 but MOTA, which can be negative, and the counts."""

    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    precision: float
    recall: float
    switches: int
    false_positives: int
    misses: int


def mot_scores(drawn: Sequence[Boxes], found: Sequence[Boxes]) -> MotScores:
    """Scores of `found` against `drawn`, both one entry a frame."""
    drawn, found = _numbered(drawn), _numbered(found)
    overlaps = [box_iou(one.boxes, other.boxes) for one, other in zip(drawn, found, strict=True)]
    hota, det_a, ass_a = _hota(drawn, found, overlaps)
    hits, extra, misses, switches = _clear(drawn, found, overlaps)
    total = hits + misses
    return MotScores(
        hota=hota, det_a=det_a, ass_a=ass_a, mota=(hits - extra - switches) / max(1, total),
        idf1=_identity(drawn, found, overlaps), precision=hits / max(1, hits + extra), recall=hits / max(1, total),
        switches=switches, false_positives=extra, misses=misses,
    )  # fmt: skip


def without_ignored(drawn: Boxes, ignored: Floats, found: Boxes) -> Boxes:
    """`found` without the boxes that match an ignored drawn box (n 4) better than one that counts (MOT16's rule)."""
    if not len(ignored) or not len(found.boxes):
        return found
    overlap = box_iou(np.concatenate([drawn.boxes, ignored]), found.boxes)
    overlap[overlap < MATCH - _EPS] = 0
    rows, columns = linear_sum_assignment(-overlap)
    bad = {int(c) for r, c in zip(rows, columns, strict=True) if r >= len(drawn.boxes) and overlap[r, c] > 0}
    keep = np.array([place not in bad for place in range(len(found.boxes))], bool)
    return Boxes(ids=found.ids[keep], boxes=found.boxes[keep])


def _numbered(frames: Sequence[Boxes]) -> list[Boxes]:
    """Ids replaced by 0, 1, 2, …"""
    known = np.unique(np.concatenate([frame.ids for frame in frames])) if frames else np.zeros(0, np.int64)
    return [Boxes(ids=np.searchsorted(known, frame.ids), boxes=frame.boxes) for frame in frames]


def _counts(frames: Sequence[Boxes]) -> Floats:
    ids = np.concatenate([frame.ids for frame in frames]) if frames else np.zeros(0, np.int64)
    return np.bincount(ids).astype(np.float64)


def _hota(drawn: Sequence[Boxes], found: Sequence[Boxes], overlaps: Sequence[Floats]) -> tuple[float, float, float]:
    gt_count, tr_count = _counts(drawn), _counts(found)
    if not len(gt_count) or not len(tr_count):
        return 0.0, 0.0, 0.0
    alike = np.zeros((len(gt_count), len(tr_count)))
    for one, other, overlap in zip(drawn, found, overlaps, strict=True):
        total = overlap.sum(axis=0)[None] + overlap.sum(axis=1)[:, None] - overlap
        alike[one.ids[:, None], other.ids[None]] += np.divide(
            overlap, total, out=np.zeros_like(overlap), where=total > _EPS
        )
    aligned = alike / (gt_count[:, None] + tr_count[None] - alike)
    matches = np.zeros((len(ALPHAS), len(gt_count), len(tr_count)))
    for one, other, overlap in zip(drawn, found, overlaps, strict=True):
        rows, columns = linear_sum_assignment(-(aligned[one.ids[:, None], other.ids[None]] * overlap))
        for place, alpha in enumerate(ALPHAS):
            good = overlap[rows, columns] >= alpha - _EPS
            np.add.at(matches[place], (one.ids[rows[good]], other.ids[columns[good]]), 1)
    hits = matches.sum(axis=(1, 2))
    det = hits / (gt_count.sum() + tr_count.sum() - hits)
    shared = matches / np.maximum(1, gt_count[None, :, None] + tr_count[None, None] - matches)
    ass = (matches * shared).sum(axis=(1, 2)) / np.maximum(1, hits)
    return float(np.sqrt(det * ass).mean()), float(det.mean()), float(ass.mean())


def _clear(drawn: Sequence[Boxes], found: Sequence[Boxes], overlaps: Sequence[Floats]) -> tuple[int, int, int, int]:
    """(hits, false positives, misses, switches); a pair of the frame before is kept while it still overlaps."""
    hits = extra = misses = switches = 0
    last: dict[int, int] = {}  # the track that a drawn object had when it was last matched
    present: dict[int, int] = {}  # pairs of the frame before
    for one, other, overlap in zip(drawn, found, overlaps, strict=True):
        kept = np.array([[present.get(int(a)) == int(b) for b in other.ids] for a in one.ids], bool)
        score = 1000.0 * kept.reshape(overlap.shape) + overlap
        score[overlap < MATCH - _EPS] = 0
        rows, columns = linear_sum_assignment(-score)
        good = score[rows, columns] > _EPS
        pairs = {int(one.ids[r]): int(other.ids[c]) for r, c in zip(rows[good], columns[good], strict=True)}
        switches += sum(last.get(a, b) != b for a, b in pairs.items())
        hits += len(pairs)
        extra += len(other.ids) - len(pairs)
        misses += len(one.ids) - len(pairs)
        last |= pairs
        present = pairs
    return hits, extra, misses, switches


def _identity(drawn: Sequence[Boxes], found: Sequence[Boxes], overlaps: Sequence[Floats]) -> float:
    gt_count, tr_count = _counts(drawn), _counts(found)
    if not len(gt_count) or not len(tr_count):
        return 0.0
    together = np.zeros((len(gt_count), len(tr_count)))
    for one, other, overlap in zip(drawn, found, overlaps, strict=True):
        together[one.ids[:, None], other.ids[None]] += overlap >= MATCH - _EPS
    rows, columns = linear_sum_assignment(-together)
    hits = together[rows, columns].sum()
    return float(2 * hits / (gt_count.sum() + tr_count.sum()))
