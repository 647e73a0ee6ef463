"""Turning: exact, reversible, and right about left and right."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.scans import affine, orientations, stored_as, values
from vitapps.errors import UsageError
from vitapps.pipelines.medical.orientation import axis_codes, turn_to


@pytest.mark.parametrize("degrees", [0, 30])
@pytest.mark.parametrize(("axes", "signs"), orientations())
def test_all_48_orientations(axes: tuple[int, ...], signs: tuple[int, ...], degrees: float) -> None:
    array, matrix = values(), affine((1, 2, 3), degrees)
    stored, stored_matrix = stored_as(array, matrix, axes, signs)
    turn = turn_to(stored_matrix, "RAS")
    np.testing.assert_array_equal(turn.apply(stored), array)
    np.testing.assert_array_equal(turn.undo(array), stored)
    np.testing.assert_allclose(turn.affine(stored_matrix, stored.shape), matrix, atol=1e-9)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LIA", "PSR", "ARI"])
def test_any_codes(codes: str) -> None:
    turn = turn_to(affine((1, 2, 3), 30), codes)
    assert axis_codes(turn.affine(affine((1, 2, 3), 30), (4, 5, 6))) == codes


def test_an_axis_between_two_directions_takes_only_one() -> None:
    matrix = affine()
    matrix[:3, :3] = np.array([[1, 1, 0], [0.99, -1, 0], [0, 0, 1]]) / np.sqrt(2)
    assert sorted(turn_to(matrix, "RAS").axes) == [0, 1, 2]


@pytest.mark.parametrize("codes", ["RAR", "RA", "RASP", "XYZ", "RLA"])
def test_wrong_codes(codes: str) -> None:
    with pytest.raises(UsageError):
        turn_to(np.eye(4), codes)
