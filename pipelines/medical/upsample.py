"""Class scores on the network grid -> labels on the scan's grid, without ever holding all classes at full size.

Interpolating scores and taking the largest gives smoother and more exact borders than interpolating labels. It is done
class by class and slab by slab with a running maximum, each class only where its score is not negligible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.medical.resample import Matrix
from vitapps.pipelines.windows.band import share_unit

NEGLIGIBLE = 0.005  # a score below can never be the largest of any realistic number of classes
SLAB_BYTES = 1 << 22

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the scan itself says: `likelihoods(box)` T *box for a part of X Y Z, `tissue_of[k]` the row of class k."""

    likelihoods: Callable[[Box], NDArray[np.float32]]
    tissue_of: NDArray[np.intp]


def upsample_argmax(
    scores: NDArray[Any], matrices: Sequence[Matrix], evidence: Evidence | None = None
) -> NDArray[np.uint16]:
    """`scores` K D H W (shares; class 0 is background), `matrices` from D, H and W to X, Y and Z -> class index X Y Z.

    With `evidence` each interpolated score is multiplied by its likelihood. Where scores tie, the lower class wins.
    """
    size = tuple(matrix.shape[0] for matrix in matrices)
    labels = np.zeros(size, np.uint16)
    # where background is the largest score at all eight corners, no interpolation between them makes another one larger
    foreground = foreground_of(scores)
    whole = _support(foreground, matrices)
    if whole is None:
        return labels
    near, least = _grown_box(foreground), NEGLIGIBLE * share_unit(scores)
    boxes = [_support(_within(score > least, near), matrices) for score in scores]
    arrays = 1 if evidence is None else 1 + int(evidence.tissue_of.max()) // 2
    rows = max(1, SLAB_BYTES // (4 * arrays * (whole[1].stop - whole[1].start) * (whole[2].stop - whole[2].start)))
    for start in range(whole[0].start, whole[0].stop, rows):
        slab = (slice(start, min(start + rows, whole[0].stop)), whole[1], whole[2])
        labels[slab] = _slab(scores, matrices, boxes, slab, evidence)
    return labels


def foreground_of(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """Where another class than 0 has the largest score, D H W; several times faster than an argmax."""
    found: NDArray[np.bool_] = scores[1:].max(0) > scores[0]
    return found


def _slab(
    scores: NDArray[Any], matrices: Sequence[Matrix], boxes: Sequence[Box | None], slab: Box,
    evidence: Evidence | None,
) -> NDArray[np.uint16]:  # fmt: skip
    shape = tuple(part.stop - part.start for part in slab)
    best = _interpolate(scores[0], matrices, slab)
    if evidence is not None:
        likelihoods = evidence.likelihoods(slab)  # T *slab
        best *= likelihoods[0]
    labels = np.zeros(shape, np.uint16)
    for index in range(1, len(scores)):
        part = _overlap(boxes[index], slab)
        if part is None:
            continue
        local = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, slab, strict=True))
        score = _interpolate(scores[index], matrices, part)
        if evidence is not None:
            score *= likelihoods[evidence.tissue_of[index]][local]
        better = score > best[local]
        best[local][better] = score[better]
        labels[local][better] = index
    return labels


def _interpolate(score: NDArray[Any], matrices: Sequence[Matrix], box: Box) -> NDArray[np.float32]:
    """One score D H W on the part `box` of X Y Z; only the network voxels that matter for it are touched."""
    parts, spans = [], []
    for matrix, rows in zip(matrices, box, strict=True):
        used = np.flatnonzero(matrix[rows].any(0))
        span = slice(int(used[0]), int(used[-1]) + 1)
        spans.append(span)
        parts.append(matrix[rows, span])
    x = score[tuple(spans)].astype(np.float32, copy=False)
    for part in parts:  # one large product each: D H W -> H W X -> W X Y -> X Y Z
        x = np.tensordot(x, part, axes=(0, 1))
    return x


def _support(mask: NDArray[np.bool_], matrices: Sequence[Matrix]) -> Box | None:
    """The part of X Y Z that voxels of the mask D H W can influence."""
    box: list[slice] = []
    for axis, matrix in enumerate(matrices):
        others: Any = tuple(i for i in range(3) if i != axis)
        columns = np.flatnonzero(mask.any(axis=others))
        if not columns.size:
            return None
        rows = np.flatnonzero(matrix[:, columns[0] : columns[-1] + 1].any(1))
        if not rows.size:
            return None
        box.append(slice(int(rows[0]), int(rows[-1]) + 1))
    return tuple(box)


def _grown_box(mask: NDArray[np.bool_]) -> Box:
    """Bounding box of a mask D H W that is not empty, one voxel larger on each side."""
    box = []
    for axis in range(3):
        others: Any = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(used[0]) - 1), int(used[-1]) + 2))
    return tuple(box)


def _within(mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    kept = np.zeros_like(mask)
    kept[box] = mask[box]
    return kept


def _overlap(box: Box | None, slab: Box) -> Box | None:
    if box is None:
        return None
    part = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, slab, strict=True))
    return part if all(p.start < p.stop for p in part) else None
