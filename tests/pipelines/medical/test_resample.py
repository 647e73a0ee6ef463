"""Resampling matrices keep constants, keep places, and do not alias."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.medical.resample import (
    blur_matrix,
    downsample_matrix,
    output_size,
    positions,
    resample,
    upsample_matrix,
)

STEPS = [0.4, 0.9, 1.0, 1.3, 2.0, 2.7, 5.0]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", [1, 2, 31, 64])
def test_rows_sum_to_one(size: int, step: float) -> None:
    for matrix in (downsample_matrix(size, step), upsample_matrix(size, step)):
        np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-5)
    assert downsample_matrix(size, step).shape == (output_size(size, step), size)
    assert upsample_matrix(size, step).shape == (size, output_size(size, step))


@pytest.mark.parametrize("step", STEPS)
def test_a_ramp_keeps_its_place(step: float) -> None:
    ramp = np.arange(64, dtype=np.float32)
    where = positions(64, output_size(64, step), step)
    inner = (where > 12) & (where < 51)
    np.testing.assert_allclose((downsample_matrix(64, step) @ ramp)[inner], where[inner], atol=1e-3)
    there_and_back = upsample_matrix(64, step) @ (downsample_matrix(64, step) @ ramp)
    np.testing.assert_allclose(there_and_back[14:50], ramp[14:50], atol=1e-3)


def test_the_finest_stripes_become_grey() -> None:
    stripes = np.tile([0.0, 1.0], 32).astype(np.float32)
    coarse = downsample_matrix(64, 2.0) @ stripes
    assert np.abs(coarse - 0.5)[2:-2].max() < 0.06
    assert blur_matrix(5, 1.0).shape == (5, 5)


def test_no_step_changes_nothing() -> None:
    x = np.random.default_rng(0).random((7, 8, 9)).astype(np.float32)
    np.testing.assert_array_equal(resample(x, [downsample_matrix(n, 1.0) for n in x.shape]), x)


def test_three_axes_at_once() -> None:
    x = np.random.default_rng(0).random((9, 12, 7)).astype(np.float32)
    a, b, c = (downsample_matrix(n, s) for n, s in zip(x.shape, (2.0, 1.5, 0.6), strict=True))
    np.testing.assert_allclose(resample(x, [a, b, c]), np.einsum("ai,bj,ck,ijk->abc", a, b, c, x), rtol=1e-4)
