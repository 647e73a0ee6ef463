"""Scores of text against hand values and against the textbook recursion."""

from __future__ import annotations

import random

import pytest

from vitapps.pipelines.document.text_scores import (
    bag_of_words,
    character_errors,
    edit_distance,
    error_rate,
    folded_text,
    free_distance,
    free_errors,
    strict_text,
    word_errors,
)
from vitapps.pipelines.runtime.reliability import calibration_error, reliability


def table_distance(one: str, other: str, *, anywhere: bool = False) -> int:
    """Levenshtein by the full table; `anywhere`: of `one` to any part of `other`."""
    row = [0 if anywhere else place for place in range(len(other) + 1)]
    for number, item in enumerate(one, 1):
        new = [number]
        for place, char in enumerate(other, 1):
            new.append(min(row[place] + 1, new[-1] + 1, row[place - 1] + (item != char)))
        row = new
    return min(row) if anywhere else row[-1]


def test_distances_are_those_of_the_table() -> None:
    rng = random.Random(0)
    for _ in range(300):
        one, other = ("".join(rng.choices("abc ", k=rng.randint(0, 12))) for _ in range(2))
        assert edit_distance(one, other) == table_distance(one, other)
        assert free_distance(one, other) == table_distance(one, other, anywhere=True)
    long = "".join(rng.choices("abcdefgh", k=300))
    assert edit_distance(long, long[:100] + "x" + long[101:-3]) <= 4


def test_normalisations_say_what_they_fold() -> None:
    assert strict_text(" e\u0301 \n b ") == "é b"
    assert folded_text("``ﬁne'' — x²… yes !") == '"fine" - x2... yes!'
    assert folded_text("‘‘a’’ – b") == folded_text('"a" - b')


def test_rates_pool_all_units() -> None:
    found = character_errors(["abcd", "x"], ["abcx", "xyz"])
    assert (found.edits, found.length) == (3, 7) and found.rate == pytest.approx(300 / 7)
    assert found.low <= found.rate <= found.high
    assert word_errors(["one two"], ["one too three"]).edits == 2
    assert error_rate([], []).rate != error_rate([], []).rate  # NaN without truth


def test_order_does_not_count_where_it_is_free() -> None:
    page = "second line\nfirst line"
    assert free_errors([page], [["first line", "second line"]]).edits == 0
    assert free_errors([page], [["first lime", "second line"]]).edits == 1


def test_words_count_as_often_as_they_stand() -> None:
    bag = bag_of_words(["a", "a", "b", "c"], ["a", "b", "b", "d"])
    assert (bag.right, bag.found, bag.truth) == (2, 4, 4) and bag.f1 == 0.5
    assert bag_of_words([], []).f1 == 1.0


def test_the_reliability_curve_holds_shares_by_confidence() -> None:
    curve = reliability([0.95, 0.91, 1.0, 0.2], [True, True, False, False])
    assert [(item.count, round(item.right, 2)) for item in curve] == [(1, 0.0), (3, 0.67)]
    assert calibration_error(curve) == pytest.approx((0.2 + 3 * abs(0.95333 - 2 / 3)) / 4, abs=1e-4)
