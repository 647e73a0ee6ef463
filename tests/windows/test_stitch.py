"""Windows: identity is exact, memory is a band, streaming equals in-memory."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitapps.errors import UsageError
from vitapps.pipelines.windows import plan_windows, stream_apply, tile_apply
from vitapps.pipelines.windows.band import FULL
from vitapps.pipelines.windows.stitch import tile_rows


@st.composite
def cases(draw):
    dims = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 17)) for _ in range(dims))
    window = tuple(draw(st.integers(1, 9)) for _ in range(dims))
    overlap = tuple(draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 0.9])) for _ in range(dims))
    return shape, window, overlap, draw(st.sampled_from(["gaussian", "constant", "crop"])), draw(st.integers(1, 5))


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
def test_streaming_hands_out_every_cell_once_in_order(case):
    shape, window, overlap, blend, batch = case
    x = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    found, times, corners = np.full_like(x, np.nan), np.zeros(shape, int), []

    def write(place, values):
        found[(slice(None), *place)] = values
        times[place] += 1
        corners.append(tuple(part.start for part in place[:2]))

    stream_apply(
        lambda where: x[(slice(None), *where)], shape, lambda w: w, write,
        window=window, overlap=overlap, blend=blend, batch=batch,
    )  # fmt: skip
    assert (times == 1).all()
    assert corners == sorted(corners)
    assert np.array_equal(found, x)


def test_the_mean_is_the_weighted_one():
    """Two windows that disagree: cells under both get the mean by weight, others their own window's value."""
    calls = iter([1.0, 3.0])
    found = tile_apply(np.zeros((1, 6), np.float32), lambda w: w + next(calls), window=(4,), blend="constant")
    assert found[0].tolist() == [1, 1, 2, 2, 3, 3]


def test_every_cell_is_covered_and_the_last_window_is_flush():
    plan = plan_windows((110,), (64,), 0.5)
    assert plan.starts == ((0, 23, 46),)


def test_wrong_windows_are_refused():
    for shape, window, overlap in [((4,), (0,), 0.5), ((4,), (2,), 1.0), ((4, 4), (2,), 0.5)]:
        with pytest.raises(UsageError):
            plan_windows(shape, window, overlap)
    with pytest.raises(UsageError):
        tile_apply(np.zeros((1, 4)), lambda w: w[..., :1], window=(2,))


def test_steps_are_even_and_no_larger_than_asked_for():
    for size in range(1, 60):
        for window in range(1, 12):
            starts = plan_windows((size,), (window,), 0.3).starts[0]
            steps = np.diff(starts)
            assert starts[-1] == max(size, window) - window
            assert all(steps <= max(1, round(window * 0.7)))
            assert not len(steps) or steps.max() - steps.min() <= 1


def test_crop_takes_no_cell_from_the_edge_of_a_window():
    """A function whose edge cells are wrong: only the edges of the array itself, which have no better window, are."""

    def wrong_at_the_edge(stack):
        answers = np.ones_like(stack)
        answers[:, :, 2:-2, 2:-2] = 0
        return answers

    found = tile_apply(np.zeros((1, 30, 37), np.float32), wrong_at_the_edge, window=(12, 12), blend="crop")[0]
    assert found[2:-2, 2:-2].max() == 0
    assert found[:2].min() == 1


def test_what_a_reader_raises_is_raised_and_its_thread_ends():
    def read(where):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        stream_apply(read, (64, 64), lambda w: w, lambda place, values: None, window=(16, 16))
    assert not [thread for thread in threading.enumerate() if thread.name == "vitapps-reader"]


def peak(shape, window, classes=20):
    tracemalloc.start()
    stream_apply(
        lambda where: np.ones((1, *(s.stop - s.start for s in where)), np.float32), shape,
        lambda w: np.repeat(w, classes, 1), lambda place, values: None, window=window,
    )  # fmt: skip
    _, top = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return top


def test_only_the_overlap_of_a_band_is_held():
    """The scene is never asked for, nor held: its length costs nothing, its width only the rows that overlap."""
    assert peak((256, 2048), (16, 16)) < 1.2 * peak((64, 2048), (16, 16))
    band = 4 * 20 * 16 * 4096
    assert peak((64, 4096), (16, 16)) < 0.75 * band


def test_rows_of_a_window_are_blended_as_whole_windows_are():
    shares = np.random.default_rng(5).dirichlet(np.ones(3), (13, 11)).transpose(2, 0, 1).astype(np.float32)
    calls = iter(range(100))

    def two_at_a_time(part):
        answer = part[0] * np.float32(1 - 0.01 * next(calls))  # windows differ, so that the weights count
        for start in range(0, 6, 2):
            yield slice(start, start + 2), answer[:, start : start + 2]

    other = iter(range(100))
    wanted = tile_apply(shares, lambda part: part * np.float32(1 - 0.01 * next(other)), window=(6, 5))
    exact = np.zeros_like(shares)
    tile_rows(shares, two_at_a_time, exact, window=(6, 5))
    assert np.array_equal(exact, wanted)
    calls = iter(range(100))
    small = np.zeros(shares.shape, np.uint16)
    tile_rows(shares, two_at_a_time, small, window=(6, 5))
    assert np.abs(small / FULL - wanted).max() < 1e-4
    with pytest.raises(UsageError):
        tile_rows(shares, two_at_a_time, exact, window=(16, 5))
