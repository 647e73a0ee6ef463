"""The band holds the rates that it states where it was fitted, and is measured on groups that it was not fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.face.unsure_band import fit_band, trade_off
from vitapps.pipelines.face.verdicts import count_verdicts


def test_a_band_holds_its_rates() -> None:
    rng = np.random.default_rng(0)
    positive = np.tile([True, False], 500)
    scores = rng.normal(positive * 1.0, 1)
    band = fit_band(scores, positive, false_alarms=0.05, missed=0.1)
    assert 0.04 < (scores[~positive] >= band.upper).mean() <= 0.05
    assert 0.09 < (scores[positive] < band.lower).mean() <= 0.1
    crossed = fit_band(rng.normal(positive * 9.0, 1), positive, false_alarms=0.2, missed=0.2)
    assert crossed.upper == crossed.lower  # apart: nothing is left unsure


def test_groups_are_never_split() -> None:
    """Each group has a level of its own: a band that saw the group would hold its rates, one that did not cannot."""
    groups = [name for name in "abcde" for _ in range(40)]
    level = np.repeat([0.0, 10, 20, 30, 40], 40)
    positive = np.tile([True, False], 100)
    shown: list[set[str]] = []

    def score(rows: np.ndarray) -> np.ndarray:
        shown.append({group for group, kept in zip(groups, rows, strict=True) if kept})
        return level + positive

    row = trade_off(score, positive, groups, allowed=[(0.1, 0.1)])[0]
    assert all(len(names) == 4 for names in shown) and len(shown) == 5
    assert row.false_alarms > 0.15 and row.false_alarms + row.cleared + row.unsure_untouched == pytest.approx(1)
    assert row.found + row.missed + row.unsure_altered == pytest.approx(1)


def test_wider_rates_leave_less_unsure() -> None:
    rng = np.random.default_rng(1)
    positive = np.tile([True, False], 300)
    scores = rng.normal(positive * 1.0, 1)
    rows = trade_off(lambda _: scores, positive, [str(number // 2) for number in range(600)])
    unsure = [row.unsure_altered + row.unsure_untouched for row in rows]
    even = [value for value, row in zip(unsure, rows, strict=True) if row.allowed_alarms == row.allowed_missed]
    assert even == sorted(even, reverse=True) and even[0] > 3 * even[-1]
    assert abs(rows[1].false_alarms - 0.05) < 0.03


def test_verdicts_are_counted_by_source_and_truth() -> None:
    said = [("s", "fake", "unsure"), ("s", "real", "no"), ("s", "fake", "yes"), ("t", "fake", "yes")]
    rows = count_verdicts(said, ("yes", "no", "unsure"))
    assert [(row.source, row.truth, row.pictures) for row in rows] == [
        ("s", "fake", 2), ("s", "real", 1), ("t", "fake", 1),
    ]  # fmt: skip
    assert rows[0].shares == {"yes": 0.5, "no": 0.0, "unsure": 0.5}
