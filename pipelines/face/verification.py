"""Figures of a verifier from similarities of pairs: accuracy, error rates, TAR at FAR, EER, AUC.

FMR is the share of pairs of different people at or above a threshold, FNMR the share of pairs of one person below it
(ISO/IEC 19795-1); TAR = 1 - FNMR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.pipelines.face.scores import auc

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
RATES = (0.1, 0.01, 0.001)  # of false matches, those that cards state


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Of one method on one set of pairs. `accuracy` is the mean over ten folds, each at the best threshold of the nine
    others (the protocol of LFW), `error` its standard error; `tar_10`, `tar_01`, `tar_001` at FAR 0.1, 0.01, 0.001 (nan
    where fewer pairs than that)."""

    pairs: int
    accuracy: float
    error: float
    auc: float
    eer: float
    tar_10: float
    tar_01: float
    tar_001: float


def figures(similarity: Floats, same: Bools, folds: NDArray[np.int64] | None = None) -> Figures:
    """All figures; raises UsageError where one kind of pair is missing. `folds` n of the pairs, where a protocol has
    some."""
    _both_kinds(same)
    accuracy, error = folded_accuracy(similarity, same, spread_folds(same) if folds is None else folds)
    tars = [1 - fnmr for _, fnmr in error_rates(similarity, same, RATES)]
    return Figures(
        pairs=len(same), accuracy=accuracy, error=error, auc=auc(similarity, same), eer=equal_error(similarity, same),
        tar_10=tars[0], tar_01=tars[1], tar_001=tars[2],
    )  # fmt: skip


def spread_folds(same: Bools, number: int = 10) -> NDArray[np.int64]:
    """Every tenth pair of each kind is a fold; fewer folds where there are fewer pairs of a kind."""
    number = min(number, int(min(same.sum(), (~same).sum())))
    place = np.zeros(len(same), np.int64)
    for kind in (same, ~same):
        place[kind] = np.arange(kind.sum()) % number
    return place


def folded_accuracy(similarity: Floats, same: Bools, folds: NDArray[np.int64]) -> tuple[float, float]:
    """Mean over folds, each at the best threshold of the others, and its standard error; both kinds of pairs weigh the
    same. With one fold, its own best threshold and nan."""
    values = []
    for number in np.unique(folds):
        kept = folds == number
        others = ~kept if not kept.all() else kept
        values.append(balanced_accuracy(similarity[kept], same[kept], best_threshold(similarity[others], same[others])))
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return float(np.mean(values)), error


def balanced_accuracy(similarity: Floats, same: Bools, threshold: float) -> float:
    """Share of right answers, both kinds of pairs weighing the same."""
    right = (similarity >= threshold) == same
    return float((right[same].mean() + right[~same].mean()) / 2)


def best_threshold(similarity: Floats, same: Bools) -> float:
    """Of the highest accuracy where both kinds of pairs weigh the same; in the middle between two similarities."""
    _both_kinds(same)
    order = np.argsort(similarity, kind="stable")
    values, marks = similarity[order], same[order]
    false = np.concatenate([[1.0], 1 - np.cumsum(~marks) / (~marks).sum()])  # FMR when cutting before item i
    missed = np.concatenate([[0.0], np.cumsum(marks) / marks.sum()])
    cut = int(np.argmin(false + missed))
    if cut == 0:
        return float(values[0])
    return float(values[-1]) + 1e-6 if cut == len(values) else float((values[cut - 1] + values[cut]) / 2)


def error_rates(similarity: Floats, same: Bools, rates: Sequence[float]) -> list[tuple[float, float]]:
    """For each wanted FMR the lowest threshold that keeps it, and the FNMR there; nan with too few pairs."""
    _both_kinds(same)
    others = np.sort(similarity[~same])[::-1]
    found = []
    for rate in rates:
        allowed = math.floor(rate * len(others) + 1e-9)
        if allowed < 1:
            found.append((math.nan, math.nan))
            continue
        limit = others[allowed] if allowed < len(others) else -math.inf
        threshold = float(np.nextafter(limit, np.inf))
        found.append((threshold, float((similarity[same] < threshold).mean())))
    return found


def roc(similarity: Floats, same: Bools) -> tuple[Floats, Floats]:
    """FMR and TAR at every threshold, from the strictest to the loosest."""
    _both_kinds(same)
    order = np.argsort(-similarity, kind="stable")
    marks, values = same[order], similarity[order]
    last = np.concatenate([values[1:] != values[:-1], [True]])  # of equal similarities, all or none
    false, true = np.cumsum(~marks)[last] / (~marks).sum(), np.cumsum(marks)[last] / marks.sum()
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def equal_error(similarity: Floats, same: Bools) -> float:
    """Where FMR and FNMR are equal, on the straight line between the two points of the ROC curve around it."""
    false, true = roc(similarity, same)
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))
    if after == 0 or gap[after] == gap[after - 1]:
        return float(false[after])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(false[after - 1] + share * (false[after] - false[after - 1]))


def _both_kinds(same: Bools) -> None:
    if not same.any() or same.all():
        raise UsageError("pairs of one kind only", hint="give pairs of one person and pairs of different people")
