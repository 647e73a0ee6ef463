"""Windows: identity is exact, memory is a band, streaming equals in-memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitapps.errors import UsageError
from vitapps.pipelines.windows import plan_windows, stream_apply, tile_apply


@st.composite
def cases(draw):
    dims = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 17)) for _ in range(dims))
    window = tuple(draw(st.integers(1, 9)) for _ in range(dims))
    overlap = tuple(draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 0.9])) for _ in range(dims))
    return shape, window, overlap, draw(st.sampled_from(["gaussian", "constant"])), draw(st.integers(1, 5))


@given(cases())
@settings(max_examples=120, deadline=None, derandomize=True)
def test_identity_is_exact(case):
    shape, window, overlap, blend, batch = case
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32) * 1e3
    options = {"window": window, "overlap": overlap, "blend": blend, "batch": batch}
    assert np.array_equal(tile_apply(x, lambda w: w, **options), x)
    assert np.array_equal(tile_apply(x, lambda w: 2 * w, **options), 2 * x)
    assert np.array_equal(tile_apply(x, lambda w: w, out="argmax", **options), x.argmax(0))


@given(cases())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_streaming_hands_out_every_row_once_in_order(case):
    shape, window, overlap, blend, batch = case
    x = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    rows, parts = [], []

    def write(place, values):
        rows.extend(range(place.start, place.stop))
        parts.append(values)

    stream_apply(
        lambda where: x[(slice(None), *where)], shape, lambda w: w, write,
        window=window, overlap=overlap, blend=blend, batch=batch,
    )  # fmt: skip
    assert rows == list(range(shape[0]))
    assert np.array_equal(np.concatenate(parts, 1), x)


def test_the_mean_is_the_weighted_one():
    """Two windows that disagree: cells under both get the mean by weight, others their own window's value."""
    calls = iter([1.0, 3.0])
    found = tile_apply(np.zeros((1, 6), np.float32), lambda w: w + next(calls), window=(4,), blend="constant")
    assert found[0].tolist() == [1, 1, 2, 2, 3, 3]


def test_every_cell_is_covered_and_the_last_window_is_flush():
    plan = plan_windows((110,), (64,), 0.5)
    assert plan.starts == ((0, 32, 46),)


def test_wrong_windows_are_refused():
    for shape, window, overlap in [((4,), (0,), 0.5), ((4,), (2,), 1.0), ((4, 4), (2,), 0.5)]:
        with pytest.raises(UsageError):
            plan_windows(shape, window, overlap)
    with pytest.raises(UsageError):
        tile_apply(np.zeros((1, 4)), lambda w: w[..., :1], window=(2,))


def test_only_a_band_of_rows_is_held():
    """The scene is never asked for, nor held, beyond one window's depth."""
    import tracemalloc

    def peak(length):
        tracemalloc.start()
        stream_apply(
            lambda where: np.ones((1, *(s.stop - s.start for s in where)), np.float32), (length, 512),
            lambda w: np.repeat(w, 20, 1), lambda rows, values: None, window=(16, 16),
        )  # fmt: skip
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    assert peak(256) < 1.2 * peak(64)
