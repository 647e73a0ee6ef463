"""The two scores between which a verdict is withheld, and what a narrower band would cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.scores import Bools, Floats

ALLOWED = (
    (0.02, 0.02), (0.05, 0.05), (0.05, 0.10), (0.05, 0.20), (0.10, 0.10), (0.15, 0.15), (0.20, 0.20), (0.30, 0.30),
)  # fmt: skip
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Band:
    """From `upper` up a score counts as positive, below `lower` as negative, between them as neither."""

    upper: float
    lower: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeOff:
    """A band that allows two error rates where it is fitted, and the shares measured on groups it was not fitted on:
    negatives called positive (`false_alarms`), positives called negative (`missed`), `found` and `cleared` the right
    answers, `unsure_altered` and `unsure_untouched` the rest."""

    allowed_alarms: float
    allowed_missed: float
    false_alarms: float
    missed: float
    found: float
    cleared: float
    unsure_altered: float
    unsure_untouched: float


def fit_band(scores: Floats, positive: Bools, *, false_alarms: float, missed: float) -> Band:
    """The narrowest band above which lie at most `false_alarms` of the negatives and below which at most `missed` of
    the positives; where the two thresholds cross, both become their mean."""
    upper = float(np.quantile(scores[~positive], 1 - false_alarms, method="higher")) + 1e-6
    lower = float(np.quantile(scores[positive], missed, method="lower"))
    if lower > upper:
        lower = upper = (lower + upper) / 2
    return Band(round(upper, 6), round(lower, 6))


def trade_off(
    score: Callable[[Bools], Floats], positive: Bools, groups: Sequence[str],
    allowed: Sequence[tuple[float, float]] = ALLOWED,
) -> list[TradeOff]:  # fmt: skip
    """One row a pair of allowed rates, by folds over `groups` (people, photographs), which are never split. `score`
    takes the rows of a fit and gives the scores of all rows by what was fitted on them. No rows with a single group."""
    if len(set(groups)) < 2:
        return []
    folds = _folds(groups)
    fitted = [(folds != fold, score(folds != fold)) for fold in np.unique(folds)]
    return [_row(fitted, positive, *rates) for rates in allowed]


def _row(fitted: Sequence[tuple[Bools, Floats]], positive: Bools, false_alarms: float, missed: float) -> TradeOff:
    said = np.zeros(len(positive), np.int8)  # 1 positive, -1 negative, 0 neither
    for shown, scores in fitted:
        band = fit_band(scores[shown], positive[shown], false_alarms=false_alarms, missed=missed)
        said[~shown] = ((scores >= band.upper).astype(np.int8) - (scores < band.lower))[~shown]

    def share(kind: bool, answer: int) -> float:
        return round(float((said[positive == kind] == answer).mean()), 3)

    return TradeOff(
        allowed_alarms=false_alarms, allowed_missed=missed, false_alarms=share(False, 1), missed=share(True, -1),
        found=share(True, 1), cleared=share(False, -1), unsure_altered=share(True, 0), unsure_untouched=share(False, 0),
    )  # fmt: skip


def _folds(groups: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each row: groups are dealt in an order drawn from a fixed seed."""
    names = np.unique(np.array(groups))
    dealt = np.random.default_rng(0).permutation(len(names)) % min(FOLDS, len(names))
    return np.asarray(dealt[np.searchsorted(names, np.array(groups))], np.int64)
