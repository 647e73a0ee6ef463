"""Error rates of scores against labels: AUC, intervals by bootstrap over groups, ISO/IEC 30107-3, pixel F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auc(scores: Floats, positive: Bools) -> float:
    """Chance that a positive scores above a negative, ties by half; NaN where one kind is absent."""
    number = int(positive.sum())
    if not 0 < number < len(positive):
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of equal scores, from 1
    return float((ranks[positive].sum() - number * (number + 1) / 2) / (number * (len(positive) - number)))


def auc_interval(
    scores: Floats, positive: Bools, groups: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the AUC by drawing whole groups (videos, people) with replacement, positives and negatives
    apart; NaN where a kind has fewer than two groups."""
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    kinds = [[np.flatnonzero((names == name) & (positive == kind)) for name in np.unique(names[positive == kind])]
             for kind in (False, True)]  # fmt: skip
    if min(len(kind) for kind in kinds) < 2:
        return float("nan"), float("nan")
    found = []
    for _ in range(draws):
        drawn = [np.concatenate([kind[item] for item in rng.integers(len(kind), size=len(kind))]) for kind in kinds]
        chosen = np.concatenate(drawn)
        found.append(auc(scores[chosen], positive[chosen]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackRates:
    """ISO/IEC 30107-3 at one threshold. `apcer` by attack type and `worst_apcer` their maximum: attacks taken for live;
    `bpcer`: live faces refused; `acer`, `hter` the means with the worst and with the pooled attack rate."""

    threshold: float
    apcer: dict[str, float]
    worst_apcer: float
    bpcer: float
    acer: float
    hter: float
    auc: float


def attack_rates(scores: Floats, live: Bools, species: Sequence[str], threshold: float) -> AttackRates:
    """Rates of live scores (high is live): accepted from `threshold` up. `species` names the attack of each row."""
    accepted = scores >= threshold
    names = np.array(species)
    by_type = {str(name): float(accepted[~live & (names == name)].mean()) for name in np.unique(names[~live])}
    bpcer = float((~accepted[live]).mean()) if live.any() else float("nan")
    worst = max(by_type.values(), default=float("nan"))
    pooled = float(accepted[~live].mean()) if (~live).any() else float("nan")
    return AttackRates(
        threshold=threshold, apcer=by_type, worst_apcer=worst, bpcer=bpcer, acer=(worst + bpcer) / 2,
        hter=(pooled + bpcer) / 2, auc=auc(scores, live),
    )  # fmt: skip


def det_points(scores: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """Detection error trade-off: false accept and false reject rates at every threshold, by rising threshold."""
    candidates = np.concatenate([np.unique(scores), [np.inf]])
    accepts = np.array([(scores[~positive] >= value).mean() for value in candidates])
    rejects = np.array([(scores[positive] < value).mean() for value in candidates])
    return accepts, rejects


def best_f1(values: NDArray[np.float32], truth: Bools, steps: int = 256) -> float:
    """Highest F1 over thresholds of a map against `truth`, both of one shape: an oracle's choice for one picture."""
    flat = values.ravel()
    levels = np.quantile(flat, np.linspace(0, 1, steps))
    place = np.searchsorted(levels, flat, side="right")  # how many levels a pixel reaches
    chosen = np.bincount(place, minlength=steps + 1)[::-1].cumsum()[::-1][1:]
    hits = np.bincount(place, weights=truth.ravel(), minlength=steps + 1)[::-1].cumsum()[::-1][1:]
    return float((2 * hits / np.maximum(chosen + truth.sum(), 1)).max())


def f1_of(mask: Bools, truth: Bools) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0
