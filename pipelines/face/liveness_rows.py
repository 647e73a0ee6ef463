"""What a method's logits are worth on one source: at the threshold of the others, and after a calibration there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from vitapps.datasets.sets.presentation_attacks import Presentation
from vitapps.pipelines.face.liveness_model import OperatingPoint, Verdict, fit_point, with_smoothed
from vitapps.pipelines.face.scores import AttackRates, Bools, Floats, attack_rates, auc
from vitapps.pipelines.face.verdicts import Verdicts, count_verdicts


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method on one source. The threshold was chosen without the pictures it is measured on: the card's, of the
    other sources, or, `calibrated`, on other people of this one; `unsure` share that gets no verdict; rates at the
    middle of the two thresholds."""

    source: str
    method: str
    live: int
    attacks: int
    unsure: float
    rates: AttackRates
    calibrated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What users get, of the live faces or of one type of attack of a source: a face is called live only where it is so
    smoothed too. `calibrated` as in `Row`."""

    method: str
    calibrated: bool
    verdicts: Verdicts


def foreign_row(
    items: Sequence[Presentation], source: str, method: str, logits: Floats, point: OperatingPoint | None
) -> Row:
    """The operating point is `point`, or one fitted on the other sources' logits."""
    live = np.array([item.live for item in items])
    held = np.array([item.source == source for item in items])
    used = point or fit_point(logits[~held], live[~held], "the other sources")
    scores = used.scores(logits[held])
    species = [item.species for item in items if item.source == source]
    return Row(
        source=source, method=method, live=int(live[held].sum()), attacks=int((~live[held]).sum()),
        unsure=_unsure(scores, used), rates=attack_rates(scores, live[held], species, _middle(used)),
    )  # fmt: skip


def calibrated_row(items: Sequence[Presentation], source: str, method: str, logits: Floats) -> Row | None:
    """Each half of the source's people is measured at a point fitted on the other half; None where a half lacks live
    faces or attacks. Without names of people every second file is a half."""
    own = [item for item in items if item.source == source]
    held = np.array([item.source == source for item in items])
    live, values = np.array([item.live for item in own]), logits[held]
    second = _second_half(own, live)
    if second is None:
        return None
    margins, unsure = np.zeros(len(own)), np.zeros(len(own))
    for half in (second, ~second):
        point = fit_point(values[~half], live[~half], source)
        scores = point.scores(values[half])
        margins[half], unsure[half] = scores - _middle(point), _unsure(scores, point)
    rates = attack_rates(margins, live, [item.species for item in own], 0.0)
    return Row(
        source=source, method=method, live=int(live.sum()), attacks=int((~live).sum()), unsure=float(unsure.mean()),
        rates=replace(rates, auc=auc(values, live)), calibrated=True,
    )  # fmt: skip


def answers(
    items: Sequence[Presentation], source: str, method: str, logits: Floats, point: OperatingPoint | None
) -> list[Answers]:
    """`logits` 2 N, of the faces and of the same smoothed: the verdicts on a source at the point of `foreign_row`, and
    at those of `calibrated_row`."""
    live = np.array([item.live for item in items])
    held = np.array([item.source == source for item in items])
    own = [item for item in items if item.source == source]
    used = point or fit_point(logits[0, ~held], live[~held], "the other sources")
    found = [(False, _verdicts(used, logits[:, held]))]
    second = _second_half(own, live[held])
    if second is not None:
        found.append((True, _calibrated(logits[:, held], live[held], second)))
    return [
        Answers(method=method, calibrated=calibrated, verdicts=row)
        for calibrated, said in found
        for row in count_verdicts(
            [(source, item.species, verdict) for item, verdict in zip(own, said, strict=True)], get_args(Verdict)
        )
    ]


def _calibrated(logits: Floats, live: Bools, second: Bools) -> list[Verdict]:
    """Each half at the point of the other."""
    said: dict[int, Verdict] = {}
    for half in (second, ~second):
        plain, smoothed = logits[:, ~half]
        point = with_smoothed(fit_point(plain, live[~half], "the other half"), smoothed, live[~half])
        said |= zip(np.flatnonzero(half).tolist(), _verdicts(point, logits[:, half]), strict=True)
    return [said[place] for place in range(len(live))]


def _verdicts(point: OperatingPoint, logits: Floats) -> list[Verdict]:
    return [point.verdict(score, smoothed) for score, smoothed in point.scores(logits).T.tolist()]


def _second_half(own: Sequence[Presentation], live: Bools) -> Bools | None:
    """Of a source's pictures; None where a half lacks live faces or attacks."""
    second = second_half([item.subject or f"{item.species}/{item.path.stem}" for item in own])
    kinds = [int((live[half] == kind).sum()) for half in (second, ~second) for kind in (True, False)]
    return second if min(kinds) else None


def second_half(people: Sequence[str]) -> Bools:
    """Which rows belong to every second of the sorted names: nobody stands in both halves."""
    names = {name: number for number, name in enumerate(sorted(set(people)))}
    return np.array([names[name] % 2 == 1 for name in people])


def _middle(point: OperatingPoint) -> float:
    return (point.live_from + point.spoof_below) / 2


def _unsure(scores: Floats, point: OperatingPoint) -> float:
    return float(((scores >= point.spoof_below) & (scores < point.live_from)).mean())
