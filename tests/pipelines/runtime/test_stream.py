"""Many files through one network: order, isolation, bounds, joint batches, and a clean end."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest

from vitapps.errors import UnreadableInputError
from vitapps.pipelines.runtime.stream import Batcher, Cancelled, stream


def network(*inputs):
    time.sleep(0.001)
    return (inputs[0] * 2, inputs[0].sum(axis=1))


def file_of(number, *, windows=4, shape=(3,)):
    """The windows of file `number`: their values name it."""
    return [np.full((1, *shape), 100 * number + index, np.float32) for index in range(windows)]


def work(number, batcher):
    time.sleep(random.Random(number).random() * 0.01)
    return number, [batcher(window)[0] for window in file_of(number)]


def test_every_file_gets_its_own_answers_in_order():
    done = stream(range(20), work, network, in_flight=4)
    assert [number for number, _ in done.results] == list(range(20))
    for number, answers in done.results:
        for answer, window in zip(answers, file_of(number), strict=True):
            assert np.array_equal(answer, 2 * window)
    assert done.report.windows == 80
    assert done.report.files == 20
    assert done.failures == ()


def test_windows_of_different_files_share_a_batch():
    gate = threading.Barrier(4)
    seen = []

    def slow(x):
        seen.append(len(x))
        time.sleep(0.05)  # the others arrive meanwhile
        return (x,)

    def at_once(number, batcher):
        gate.wait()
        return [batcher(window)[0] for window in file_of(number, windows=3)]

    report = stream(range(4), at_once, slow, in_flight=4, batch=8).report
    assert max(seen) > 1
    assert report.mixed >= 1
    assert report.calls < report.windows == 12
    assert max(seen) <= 8


def test_windows_of_other_shapes_do_not():
    def one(number, batcher):
        shape = (3,) if number % 2 else (5,)
        return [batcher(window)[0].shape for window in file_of(number, shape=shape)]

    done = stream(range(6), one, lambda x: (x,), in_flight=3)
    assert [shapes[0] for shapes in done.results] == [(1, 5), (1, 3)] * 3


def test_a_bad_file_does_not_stop_the_others(caplog):
    def some_fail(number, batcher):
        answers = work(number, batcher)
        if number in (0, 3, 7):
            raise UnreadableInputError(f"file {number} is bad")
        return answers[0]

    done = stream(range(8), some_fail, network)
    assert done.results == (1, 2, 4, 5, 6)
    assert [(job, str(error)) for job, error in done.failures] == [(n, f"file {n} is bad") for n in (0, 3, 7)]
    assert done.report.failed == 3
    assert "file 3 is bad" in caplog.text


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_few_files_are_held_at_a_time(in_flight):
    lock, now, peak = threading.Lock(), [0], [0]

    def counted(number, batcher):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        try:
            return work(number, batcher)[0]
        finally:
            with lock:
                now[0] -= 1

    done = stream(range(15), counted, network, in_flight=in_flight)
    assert peak[0] == done.report.peak_in_flight == in_flight
    assert done.results == tuple(range(15))


def test_work_overlaps_the_network():
    """4 files of 30 ms reading, 30 ms network, 30 ms writing: one after the other they take 360 ms."""

    def slow(x):
        time.sleep(0.03)
        return (x,)

    def one(number, batcher):
        time.sleep(0.03)
        batcher(np.zeros((1, 3), np.float32))
        time.sleep(0.03)

    order, events = [], threading.Lock()

    def traced(number, batcher):
        with events:
            order.append(("start", number))
        one(number, batcher)
        with events:
            order.append(("end", number))

    stream(range(4), traced, slow, in_flight=3)
    assert order.index(("start", 1)) < order.index(("end", 0))
    assert order.index(("start", 2)) < order.index(("end", 0))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_is_no_fault_of_a_file_ends_the_run_cleanly(error):
    threads = threading.active_count()
    cleaned, finished = [], []

    def fails(number, batcher):
        try:
            if number == 2:
                raise error("stop")
            for window in file_of(number, windows=200):
                batcher(window)
            finished.append(number)
        finally:
            cleaned.append(number)

    with pytest.raises(error):
        stream([2, *range(3, 50)], fails, network, in_flight=3)
    assert finished == []
    assert len(cleaned) <= 5  # the others never started
    assert threading.active_count() == threads


def test_an_error_of_the_network_reaches_the_file_that_called_it():
    def breaks(x):
        raise MemoryError("too large")

    with pytest.raises(MemoryError):
        stream(range(3), work, breaks)


def test_a_closed_batcher_cancels_who_waits():
    batcher = Batcher(lambda x: time.sleep(0.2) or (x,))
    said = []

    def call():
        try:
            for _ in range(20):
                batcher(np.zeros((1, 3), np.float32))
        except Cancelled:
            said.append("cancelled")

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(0.05)
    batcher.close()
    for caller in callers:
        caller.join(timeout=20)
    assert said == ["cancelled"] * 3


def test_nothing_to_do_is_nothing_done():
    done = stream([], work, network)
    assert done.results == ()
    assert done.report.calls == 0
