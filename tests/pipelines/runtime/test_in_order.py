"""Several at once, results in order, errors at their turn."""

from __future__ import annotations

import threading

import pytest

from vitapps.pipelines.runtime.in_order import in_order


def test_several_at_once_come_in_order() -> None:
    met = threading.Barrier(2, timeout=20)  # of two that run at once; one alone would wait in vain

    def square(number: int) -> int:
        met.wait()
        return number * number

    assert list(in_order(square, range(6), 2)) == [0, 1, 4, 9, 16, 25]


def test_one_at_a_time_runs_here_and_only_when_asked() -> None:
    seen: list[int] = []
    found = in_order(lambda number: seen.append(threading.get_ident()), range(3), 1)
    next(found)
    assert seen == [threading.get_ident()]


@pytest.mark.parametrize("together", [1, 2])
def test_an_error_ends_it(together: int) -> None:
    def inverse(number: int) -> float:
        return 1 / number

    found = in_order(inverse, [1, 2, 0, *range(1, 50)], together)
    assert [next(found), next(found)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(found)
