"""How well boxes of people fit drawn ones: AP50, recall, precision, and the threshold of the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitapps.pipelines.windows.boxes import Floats, match

_IOU = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """Of one frame: `boxes` n 4 and `scores` n that were found, `drawn` m 4 that are there."""

    boxes: Floats
    scores: Floats
    drawn: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleScores:
    """`ap50` over all scores; `recall` and `precision` of all boxes given, at an IoU of 0.5."""

    ap50: float
    recall: float
    precision: float


def people_scores(frames: Sequence[Searched], threshold: float = 0.0) -> PeopleScores:
    """Recall and precision from scores of `threshold` on; AP50 of all boxes."""
    scores, hits, drawn = _ranked(frames)
    sure = scores >= threshold
    right = int(hits[sure].sum())
    return PeopleScores(
        ap50=average_precision(frames), recall=right / max(1, drawn), precision=right / max(1, int(sure.sum()))
    )


def average_precision(frames: Sequence[Searched]) -> float:
    """The area under precision over recall, each precision the best at that recall or a higher one (VOC 2010)."""
    _, hits, drawn = _ranked(frames)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / max(1, drawn))


def best_threshold(frames: Sequence[Searched]) -> tuple[float, float]:
    """(threshold, F1): the highest score (two decimals) of the best F1."""
    scores, hits, drawn = _ranked(frames)
    grid = np.round(np.arange(0.05, 0.96, 0.01), 2)
    f1 = [2 * hits[scores >= value].sum() / max(1, (scores >= value).sum() + drawn) for value in grid]
    best = len(grid) - 1 - int(np.argmax(f1[::-1]))
    return float(grid[best]), float(f1[best])


def _ranked(frames: Sequence[Searched]) -> tuple[Floats, Floats, int]:
    """Scores by falling score, whether each is a hit (1.0 or 0.0), and the number of boxes that are there."""
    hits = [match(item.boxes, item.scores, item.drawn, _IOU) for item in frames]
    scores = np.concatenate([item.scores for item in frames]) if frames else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    flat = np.concatenate(hits).astype(np.float64)[order] if frames else np.zeros(0)
    return scores[order], flat, sum(len(item.drawn) for item in frames)
