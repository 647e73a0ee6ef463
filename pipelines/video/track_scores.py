"""Scores of one tracked object: success and precision of OTB, average overlap and success rates of GOT-10k.

OTB: Wu et al. 2015 ("Object Tracking Benchmark", section 3); normalised precision: Müller et al. 2018 (TrackingNet,
section 4.1); AO and SR: Huang et al. 2019 (GOT-10k, section 4.1). One pass from the first box, no reset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackScores:
    """All 0..1: `auc` mean success over overlaps 0, 0.05, … 1; `precision` centres within 20 pixels;
    `norm_precision` area under the curve of centre errors 0 to 0.5 of the box's sides; `ao` mean overlap; `sr50`,
    `sr75` shares above."""

    auc: float
    precision: float
    norm_precision: float
    ao: float
    sr50: float
    sr75: float


def track_scores(found: Floats, drawn: Floats) -> TrackScores:
    """Scores of boxes `found` n 4 against `drawn` n 4, both x y w h; frames whose drawn box is nan do not count."""
    known = np.isfinite(drawn).all(axis=1) & (drawn[:, 2:] > 0).all(axis=1)
    found, drawn = found[known], drawn[known]
    overlap = pair_iou(found, drawn)
    error = found[:, :2] + found[:, 2:] / 2 - drawn[:, :2] - drawn[:, 2:] / 2
    distance = np.linalg.norm(error, axis=1)
    relative = np.linalg.norm(error / drawn[:, 2:], axis=1)
    steps = np.linspace(0, 0.5, 51)
    return TrackScores(
        auc=float(np.mean([(overlap > step).mean() for step in np.linspace(0, 1, 21)])),
        precision=float((distance <= 20).mean()),
        norm_precision=float(np.mean([(relative <= step).mean() for step in steps])),
        ao=float(overlap.mean()), sr50=float((overlap > 0.5).mean()), sr75=float((overlap > 0.75).mean()),
    )  # fmt: skip


def mean_scores(scores: list[TrackScores]) -> TrackScores:
    """The mean over sequences, each counting alike."""
    names = TrackScores.__slots__
    return TrackScores(**{name: float(np.mean([getattr(item, name) for item in scores])) for name in names})


def pair_iou(first: Floats, second: Floats) -> Floats:
    """IoU of boxes x y w h, row by row, n 4 each -> n."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    union = first[:, 2:].prod(axis=1) + second[:, 2:].prod(axis=1) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))
