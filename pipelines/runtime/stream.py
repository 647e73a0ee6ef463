"""Many files through one loaded network: reading, preparing, computing and writing overlap, windows share batches.

Each file runs through its own, unchanged pipeline in a worker thread, a few files at a time. What would call the
network calls a `Batcher` instead: one thread owns the network, takes the windows of whatever files are waiting,
computes them as one batch and hands the answers back. While it computes, the other workers read, resample, stitch and
write. Memory is bounded by the number of files in flight, whose windows wait in a bounded queue.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import VitappsError
from vitapps.progress import Progress, null_progress

log = logging.getLogger("vitapps.runtime.stream")
Arrays = tuple[NDArray[np.float32], ...]
Network = Callable[..., Sequence[NDArray[np.float32]]]
Job = TypeVar("Job")
Result = TypeVar("Result")
IN_FLIGHT = 3  # files: one computing, one being read, one being written
BATCH = 8  # windows at most in a call


class Cancelled(BaseException):
    """Raised in a worker whose run was given up; no pipeline catches it by mistake."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamReport:
    """How busy the network was. `busy` share of the wall time that it computed, `waited_s` seconds that workers waited
    for it, `mixed` batches with windows of several files, `peak_in_flight` files at once at most."""

    files: int
    failed: int
    seconds: float
    calls: int
    windows: int
    mixed: int
    busy: float
    waited_s: float
    peak_in_flight: int

    def __str__(self) -> str:
        mean = self.windows / max(self.calls, 1)
        return (
            f"{self.files} files in {self.seconds:.1f} s, network busy {self.busy:.0%}, {self.windows} windows in "
            f"{self.calls} calls ({mean:.1f} each, {self.mixed} with several files), {self.failed} failed"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed(Generic[Job, Result]):
    """Results and failures, each in the order of the jobs."""

    results: tuple[Result, ...]
    failures: tuple[tuple[Job, VitappsError], ...]
    report: StreamReport


@dataclass(slots=True)
class _Request:
    inputs: Arrays
    owner: int
    answer: Future[Arrays] = field(default_factory=Future)


class Batcher:
    """A network for many threads: `batcher(B C *spatial) -> arrays`, computed by one thread in joint batches.

    A call returns when its answer is there; it raises what the network raised, or Cancelled after `close`. Requests are
    joined while the windows are of one shape and number at most `batch`; none waits for others to come.
    """

    def __init__(self, network: Network, *, batch: int = BATCH, waiting: int = 2 * IN_FLIGHT) -> None:
        self._network, self._batch = network, batch
        self._requests: queue.Queue[_Request | None] = queue.Queue(maxsize=waiting)
        self._held: _Request | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.calls = self.windows = self.mixed = 0
        self.busy_s = self.waited_s = 0.0
        self._thread = threading.Thread(target=self._serve, name="vitapps-network", daemon=True)
        self._thread.start()

    def __call__(self, *inputs: NDArray[np.float32]) -> Arrays:
        request = _Request(inputs, threading.get_ident())
        start = time.perf_counter()
        while True:
            if self._closed.is_set():
                raise Cancelled
            try:
                self._requests.put(request, timeout=0.05)
                break
            except queue.Full:
                continue
        while True:
            try:
                answer = request.answer.result(timeout=0.2)
                break
            except TimeoutError:
                if request.answer.done():
                    raise  # the network's own
                if self._closed.is_set():
                    raise Cancelled from None
        with self._lock:
            self.waited_s += time.perf_counter() - start
        return answer

    def close(self) -> None:
        """Stop after the running call; callers that wait get Cancelled."""
        self._closed.set()
        with _quiet(queue.Full):
            self._requests.put_nowait(None)  # wakes the thread
        self._thread.join()

    def _serve(self) -> None:
        while not self._closed.is_set():
            group = self._next_group()
            if group:
                self._compute(group)

    def _next_group(self) -> list[_Request]:
        """The request that waited longest and what fits beside it."""
        first = self._held or self._requests.get()
        self._held = None
        if first is None:
            return []
        group, number = [first], len(first.inputs[0])
        while number < self._batch:
            try:
                following = self._requests.get_nowait()
            except queue.Empty:
                break
            if following is None:
                break
            if not _alike(first, following) or number + len(following.inputs[0]) > self._batch:
                self._held = following
                break
            group.append(following)
            number += len(following.inputs[0])
        return group

    def _compute(self, group: list[_Request]) -> None:
        start = time.perf_counter()
        try:
            joined = (
                group[0].inputs
                if len(group) == 1
                else tuple(np.concatenate(parts) for parts in zip(*(request.inputs for request in group), strict=True))
            )  # B C *spatial each -> sum of B
            answers = tuple(self._network(*joined))
        except BaseException as error:
            for request in group:
                request.answer.set_exception(error)
            return
        self.busy_s += time.perf_counter() - start
        self.calls += 1
        self.windows += sum(len(request.inputs[0]) for request in group)
        self.mixed += len({request.owner for request in group}) > 1
        first = 0
        for request in group:
            last = first + len(request.inputs[0])
            request.answer.set_result(tuple(answer[first:last] for answer in answers))
            first = last


def stream(
    jobs: Sequence[Job],
    work: Callable[[Job, Batcher], Result],
    network: Network,
    *,
    in_flight: int = IN_FLIGHT,
    batch: int = BATCH,
    progress: Progress = null_progress,
) -> Streamed[Job, Result]:
    """`work(job, network)` for every job, at most `in_flight` at a time; results in the order of the jobs.

    A VitappsError of one job is logged and collected, the others go on. Anything else, Ctrl-C included, ends the run:
    the network stops, workers that wait for it are cancelled, and it is raised when all of them have cleaned up.
    """
    batcher = Batcher(network, batch=batch, waiting=2 * in_flight)
    live = _Live()
    start = time.perf_counter()
    done: list[Result] = []
    failures: list[tuple[Job, VitappsError]] = []

    def one(job: Job) -> Result:
        with live:
            return work(job, batcher)

    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="vitapps-file")
    waiting: list[tuple[Job, Future[Result]]] = []
    try:
        with progress.task("files", total=len(jobs)) as task:
            for job, future in _submitted(pool, one, jobs, in_flight, waiting):
                try:
                    done.append(future.result())
                except VitappsError as error:
                    log.error("%s", error)
                    failures.append((job, error))
                task.advance()
    finally:
        batcher.close()
        pool.shutdown(wait=True, cancel_futures=True)
    seconds = time.perf_counter() - start
    report = StreamReport(
        files=len(jobs), failed=len(failures), seconds=seconds, calls=batcher.calls, windows=batcher.windows,
        mixed=batcher.mixed, busy=batcher.busy_s / max(seconds, 1e-9), waited_s=batcher.waited_s,
        peak_in_flight=live.peak,
    )  # fmt: skip
    log.info("%s", report)
    return Streamed(results=tuple(done), failures=tuple(failures), report=report)


def _submitted(
    pool: ThreadPoolExecutor, one: Callable[[Job], Result], jobs: Sequence[Job], in_flight: int,
    waiting: list[tuple[Job, Future[Result]]],
) -> Iterator[tuple[Job, Future[Result]]]:  # fmt: skip
    """Jobs and their futures in order; no more are started than `in_flight` beyond the one that is waited for."""
    for job in jobs:
        waiting.append((job, pool.submit(one, job)))
        if len(waiting) > in_flight:
            yield waiting.pop(0)
    while waiting:
        yield waiting.pop(0)


class _Live:
    """Counts what is in the block."""

    def __init__(self) -> None:
        self._lock, self._now, self.peak = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.peak = max(self.peak, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


def _alike(one: _Request, other: _Request) -> bool:
    """Whether the windows of two requests can share a batch."""
    shapes = [[(array.shape[1:], array.dtype) for array in request.inputs] for request in (one, other)]
    return shapes[0] == shapes[1]


@contextmanager
def _quiet(kind: type[Exception]) -> Iterator[Any]:
    try:
        yield
    except kind:
        return
