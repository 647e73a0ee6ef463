"""The engine of one machine: worker processes, each with the task loaded once and a short queue of its own.

Their networks may be those of one further process, which computes for all of them (`model_server.py`). A worker that
hangs, grows beyond its memory or dies costs the item in its hands, never the queue behind it; when the process of the
networks ends, that goes for all workers.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from multiprocessing.connection import wait
from typing import Any

from vitapps.errors import VitappsError
from vitapps.pipelines.batch.child import Child
from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.model_server import ModelServer, Used
from vitapps.pipelines.batch.quantities import shown_seconds
from vitapps.pipelines.batch.task import TaskSpec
from vitapps.pipelines.batch.work import Done, Work
from vitapps.pipelines.batch.worker import READY

log = logging.getLogger("vitapps.batch")

_AHEAD = (2, 16)  # works a worker holds, at least and at most
_FILL = 0.02  # seconds
_LOOK = 0.5  # seconds between looks at memory and time
_STARTS = 3  # workers in a row that die before they are ready
_MIB = 1 << 20


class LocalEngine:
    """Two works a worker: the one in its hands and the next, which it reads meanwhile. Of works that take less than
    the driver may need to answer, as many as fill `_FILL` seconds. With `shared_threads` the networks are one for all
    workers, computed with so many threads; with 0 each worker has its own."""

    def __init__(
        self, task: str, spec: TaskSpec, *, workers: int, timeout: float | None = None, memory: int | None = None,
        shared_threads: int = 0,
    ) -> None:  # fmt: skip
        self._make = (task, spec)
        self._count, self._timeout, self._memory = workers, timeout, memory
        self._shared_threads = shared_threads
        self._server: ModelServer | None = None
        self._ahead, self._typical = _AHEAD[0], _FILL
        self._workers: list[_Worker] = []
        self._backlog: deque[Work] = deque()
        self._started: list[int] = []
        self._dead_starts = 0
        self._looked = time.monotonic()

    def free(self) -> int:
        missing = self._count - len(self._workers)
        room = sum(max(0, self._ahead - len(worker.works)) for worker in self._workers) + missing * self._ahead
        return max(0, room - len(self._backlog))

    def submit(self, work: Work) -> None:
        self._backlog.append(work)
        if len(self._workers) < min(self._count, len(self._workers) + len(self._backlog)):
            self._start()
        self._deal()

    def poll(self, timeout: float) -> list[Done]:
        """See `Engine`; looks after hanging and growing workers as well."""
        self._deal()
        links: dict[Any, _Worker] = {worker.child.link: worker for worker in self._workers}
        ready = wait(list(links), min(timeout, _LOOK)) if links else []
        done: list[Done] = []
        for link in ready:
            done += self._receive(links[link])
        if time.monotonic() - self._looked >= _LOOK:
            self._looked = time.monotonic()
            done += self._look_at_server()
            done += [fault for worker in list(self._workers) for fault in self._look_at(worker)]
        self._deal()
        return done

    def pids(self) -> list[int]:
        found, self._started = self._started, []
        return found

    def stop(self) -> None:
        for worker in self._workers:
            worker.child.end()
        self._workers, self._backlog = [], deque()
        if self._server is not None:
            log.info("the shared networks: %s", self.used())
            self._server.child.end()
            self._server = None

    @property
    def server_pid(self) -> int | None:
        """Of the process that owns the networks; None where each worker has its own."""
        return self._server.child.pid if self._server else None

    def used(self) -> Used | None:
        """What the shared networks have done so far; None without them."""
        return self._server.used() if self._server else None

    def _start(self) -> None:
        if self._server is not None and not self._server.child.is_alive():
            self._server.child.end()
            self._server = None
        if self._shared_threads and self._server is None:
            self._server = ModelServer(self._shared_threads)
        worker = _Worker(*self._make, self._server)
        self._workers.append(worker)
        self._started.append(worker.child.pid)

    def _deal(self) -> None:
        """Hand out the backlog, to the worker with the shortest queue first."""
        while self._backlog:
            if len(self._workers) < self._count and all(worker.works for worker in self._workers):
                self._start()
            worker = min(self._workers, key=lambda item: len(item.works))
            if len(worker.works) >= self._ahead:
                return
            try:
                worker.give(self._backlog[0])
            except OSError:  # it died: its sentinel is seen in the next poll
                return
            self._backlog.popleft()

    def _receive(self, worker: _Worker) -> list[Done]:
        done: list[Done] = []
        try:
            while worker.child.link.poll():
                message = worker.child.link.recv()
                if isinstance(message, VitappsError):
                    raise message
                if message == READY:
                    worker.ready, worker.since = True, time.monotonic()
                    self._dead_starts = 0
                    continue
                worker.works.popleft()
                worker.since = time.monotonic()
                self._typical = 0.9 * self._typical + 0.1 * message.seconds
                self._ahead = max(_AHEAD[0], min(_AHEAD[1], int(_FILL / max(self._typical, 1e-4))))
                done.append(message)
        except (EOFError, OSError):
            done += self._lost(worker, Fault("killed", "", ""))
        return done

    def _look_at(self, worker: _Worker) -> list[Done]:
        if worker.server is not None and not worker.server.child.is_alive():  # it may wait for it for ever
            return self._lost(worker, Fault("killed", "", ""))
        if not worker.ready or not worker.works:
            return []
        if self._timeout is not None and time.monotonic() - worker.since > self._timeout:
            took = shown_seconds(self._timeout)
            return self._lost(worker, Fault("timeout", f"not done after {took}", "limits.timeout sets the time"))
        return self._lost(worker, fault) if (fault := self._too_large(worker.child)) else []

    def _look_at_server(self) -> list[Done]:
        """When the process of the networks is gone or too large: what its workers have in hands is lost with them."""
        if self._server is None:
            return []
        fault = None if self._server.child.is_alive() else Fault("killed", "", "")
        fault = fault or self._too_large(self._server.child)
        if fault is None:
            return []
        self._server.child.end()
        self._server = None
        return [done for worker in list(self._workers) for done in self._lost(worker, fault)]

    def _too_large(self, child: Child) -> Fault | None:
        used = child.resident() if self._memory is not None else 0
        if self._memory is None or used <= self._memory:
            return None
        words = f"the worker took {used // _MIB} MiB, the limit is {self._memory // _MIB} MiB"
        return Fault("memory", words, "limits.memory sets the ceiling of one worker")

    def _lost(self, worker: _Worker, fault: Fault) -> list[Done]:
        """End a worker; the item in its hands gets the fault, those behind it go back."""
        worker.child.end()
        self._workers.remove(worker)
        works = list(worker.works)
        if not worker.ready:
            self._dead_starts += 1
            self._backlog.extendleft(reversed(works))
            if self._dead_starts >= _STARTS:
                raise VitappsError(
                    f"workers end before they are ready ({worker.child.ending()})",
                    hint="run one input with the single command to see why",
                )
            return []
        self._backlog.extendleft(reversed(works[1:]))
        if not works:
            return []
        if fault.kind == "killed":
            hint = "a lack of memory is the usual cause: limits.workers, limits.memory"
            fault = Fault("killed", f"the worker died ({worker.child.ending()})", hint)
        elapsed = round(time.monotonic() - worker.since, 6)
        return [Done(works[0].id, fault, seconds=elapsed, worker=worker.child.pid)]


class _Worker:
    """A process and what it has to do. `since` is when it took up what it has in hands; `server` owns its networks, and
    may be one that another has followed since."""

    def __init__(self, task: str, spec: TaskSpec, server: ModelServer | None) -> None:
        self.child = Child("vitapps.pipelines.batch.worker", [(task, spec, server.address if server else None)])
        self.server = server
        self.works: deque[Work] = deque()
        self.ready = False
        self.since = time.monotonic()

    def give(self, work: Work) -> None:
        if not self.works:
            self.since = time.monotonic()
        self.child.link.send(work)
        self.works.append(work)
