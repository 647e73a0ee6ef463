"""How often what is said with some confidence is right: the reliability curve, and its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """Answers with confidence from `low` to `high`: how many, their mean confidence, the share that was right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def reliability(confidences: ArrayLike, right: ArrayLike, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The reliability curve in equal steps of confidence, empty steps left out."""
    score, hit = np.asarray(confidences, np.float64), np.asarray(right, bool)
    which = np.minimum((score * bins).astype(int), bins - 1)
    return tuple(
        ReliabilityBin(
            low=place / bins, high=(place + 1) / bins, count=int((which == place).sum()),
            confidence=float(score[which == place].mean()), right=float(hit[which == place].mean()),
        )
        for place in range(bins)
        if (which == place).any()
    )  # fmt: skip


def calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: mean distance of confidence and share right, by count (Naeini et al. 2015)."""
    total = sum(item.count for item in curve)
    return sum(item.count * abs(item.confidence - item.right) for item in curve) / total if total else 0.0
