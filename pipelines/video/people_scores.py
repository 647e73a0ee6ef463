"""How well boxes of people fit drawn ones: AP50, recall, precision, and the threshold of the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitapps.pipelines.windows.box_counts import FoundBoxes, count
from vitapps.pipelines.windows.boxes import match

_IOU = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleScores:
    """`ap50` over all scores; `recall` and `precision` of all boxes given, at an IoU of 0.5."""

    ap50: float
    recall: float
    precision: float

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision; 0 where both are."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


def people_scores(frames: Sequence[FoundBoxes], threshold: float = 0.0) -> PeopleScores:
    """Recall and precision from scores of `threshold` on; AP50 of all boxes."""
    sure = count(frames, threshold, _IOU)
    return PeopleScores(ap50=average_precision(frames), recall=sure.recall, precision=sure.precision)


def average_precision(frames: Sequence[FoundBoxes]) -> float:
    """The area under precision over recall, each precision the best at that recall or a higher one (VOC 2010)."""
    if not frames:
        return 0.0
    order = np.argsort(-np.concatenate([item.scores for item in frames]), kind="stable")
    hits = np.concatenate([match(item.boxes, item.scores, item.drawn, _IOU) for item in frames])[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / max(1, sum(len(item.drawn) for item in frames)))


def best_threshold(frames: Sequence[FoundBoxes]) -> tuple[float, float]:
    """(threshold, F1): the highest score (two decimals) of the best F1."""
    grid = np.round(np.arange(0.05, 0.96, 0.01), 2)
    f1 = [count(frames, float(value), _IOU).f1 for value in grid]
    best = len(grid) - 1 - int(np.argmax(f1[::-1]))
    return float(grid[best]), float(f1[best])
