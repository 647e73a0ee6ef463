"""Region and boundary scores of video object segmentation by the DAVIS protocol (Perazzi et al. 2016, CVPR).

J is the intersection over union of two masks. F is the harmonic mean of precision and recall of their outlines, where a
pixel of one outline counts when the other has one within `BOUNDARY` of the image diagonal (section 4 of the paper).
Each is summed up by its mean, its recall (share of frames above 0.5) and its decay (mean of the first quarter of the
frames minus mean of the last). The given first frame and the last are not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
BOUNDARY = 0.008  # of the diagonal
_QUARTERS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One measure over the frames of a sequence; mean and recall in 0..1, decay in -1..1 (lower is steadier)."""

    mean: float
    recall: float
    decay: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DavisScore:
    """Scores of one object, or the mean over several."""

    name: str
    region: Summary
    boundary: Summary

    @property
    def mean(self) -> float:
        """J&F: the mean of mean J and mean F."""
        return (self.region.mean + self.boundary.mean) / 2

    def row(self) -> dict[str, float | str]:
        """The seven numbers of the DAVIS table, rounded."""
        named = {"J": self.region, "F": self.boundary}
        parts = {f"{key}_{field}": value for key, item in named.items() for field, value in asdict(item).items()}
        return {"name": self.name, "J&F": round(self.mean, 4), **{key: round(value, 4) for key, value in parts.items()}}


def region_similarity(found: Mask, truth: Mask) -> float:
    """J of two masks H W; 1 where both are empty."""
    union = int(np.logical_or(found, truth).sum())
    return float(np.logical_and(found, truth).sum() / union) if union else 1.0


def boundary_accuracy(found: Mask, truth: Mask) -> float:
    """F of two masks H W; 1 where both have no outline, 0 where one has none."""
    reach = ceil(BOUNDARY * hypot(*truth.shape))
    outlines = [outline(mask) for mask in (found, truth)]
    lengths = [int(line.sum()) for line in outlines]
    if not all(lengths):
        return float(not any(lengths))
    near = [cv2.dilate(line.astype(np.uint8), _disk(reach)) > 0 for line in outlines]
    precision = float((outlines[0] & near[1]).sum()) / lengths[0]
    recall = float((outlines[1] & near[0]).sum()) / lengths[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: Mask) -> Mask:
    """Pixels whose right, lower or lower right neighbour is on the other side; neighbours outside repeat the edge."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")  # H W -> H+1 W+1
    return np.asarray((mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:]))


def summarise(values: Sequence[float]) -> Summary:
    """Mean, recall and decay of the scores of a sequence's frames, in order; raises ValueError without a frame."""
    if not len(values):
        raise ValueError("no frame to score")
    scores = np.asarray(values, np.float64)
    edges = np.round(np.linspace(0, len(scores) - 1, _QUARTERS + 1) + 1e-10).astype(int)
    quarters = [scores[first : last + 1] for first, last in pairwise(edges)]
    decay = float(quarters[0].mean() - quarters[-1].mean())
    return Summary(mean=float(scores.mean()), recall=float((scores > 0.5).mean()), decay=decay)


def score_object(name: str, found: Iterable[Mask], truth: Iterable[Mask]) -> DavisScore:
    """Scores of one object: its masks in every frame of the clip, of which the first and last are left out."""
    pairs = [(region_similarity(a, b), boundary_accuracy(a, b)) for a, b in zip(found, truth, strict=True)][1:-1]
    return DavisScore(
        name=name, region=summarise([pair[0] for pair in pairs]), boundary=summarise([pair[1] for pair in pairs])
    )


def average(name: str, scores: Sequence[DavisScore]) -> DavisScore:
    """The mean over objects of each of the six numbers."""

    def mean(part: str) -> Summary:
        rows = [getattr(score, part) for score in scores]
        return Summary(
            **{field: float(np.mean([getattr(row, field) for row in rows])) for field in ("mean", "recall", "decay")}
        )

    return DavisScore(name=name, region=mean("region"), boundary=mean("boundary"))


def _disk(radius: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
