"""The engine of one machine: worker processes, each with the task loaded once and a short queue of its own.

A worker that hangs, grows beyond its memory or dies costs the item in its hands, never the queue behind it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from vitapps.errors import VitappsError
from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.quantities import shown_seconds
from vitapps.pipelines.batch.task import TaskSpec
from vitapps.pipelines.batch.work import Done, Work
from vitapps.pipelines.batch.worker import READY, start_worker

_AHEAD = (2, 16)  # works a worker holds, at least and at most
_FILL = 0.02  # seconds
_LOOK = 0.5  # seconds between looks at memory and time
_STARTS = 3  # workers in a row that die before they are ready
_MIB = 1 << 20


class LocalEngine:
    """Two works a worker: the one in its hands and the next, which it reads meanwhile. Of works that take less than
    the driver may need to answer, as many as fill `_FILL` seconds."""

    def __init__(
        self, task: str, spec: TaskSpec, *, workers: int, timeout: float | None = None, memory: int | None = None,
    ) -> None:  # fmt: skip
        self._make = (task, spec)
        self._count, self._timeout, self._memory = workers, timeout, memory
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
        links: dict[Any, _Worker] = {worker.link: worker for worker in self._workers}
        ready = wait(list(links), min(timeout, _LOOK)) if links else []
        done: list[Done] = []
        for link in ready:
            done += self._receive(links[link])
        if time.monotonic() - self._looked >= _LOOK:
            self._looked = time.monotonic()
            done += [fault for worker in list(self._workers) for fault in self._look_at(worker)]
        self._deal()
        return done

    def pids(self) -> list[int]:
        found, self._started = self._started, []
        return found

    def stop(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers, self._backlog = [], deque()

    def _start(self) -> None:
        worker = _Worker(*self._make)
        self._workers.append(worker)
        self._started.append(worker.pid)

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
            while worker.link.poll():
                message = worker.link.recv()
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
        if not worker.ready or not worker.works:
            return []
        if self._timeout is not None and time.monotonic() - worker.since > self._timeout:
            took = shown_seconds(self._timeout)
            return self._lost(worker, Fault("timeout", f"not done after {took}", "limits.timeout sets the time"))
        used = _resident(worker.pid) if self._memory is not None else 0
        if self._memory is not None and used > self._memory:
            words = f"the worker took {used // _MIB} MiB, the limit is {self._memory // _MIB} MiB"
            return self._lost(worker, Fault("memory", words, "limits.memory sets the ceiling of one worker"))
        return []

    def _lost(self, worker: _Worker, fault: Fault) -> list[Done]:
        """End a worker; the item in its hands gets the fault, those behind it go back."""
        worker.end()
        self._workers.remove(worker)
        works = list(worker.works)
        if not worker.ready:
            self._dead_starts += 1
            self._backlog.extendleft(reversed(works))
            if self._dead_starts >= _STARTS:
                raise VitappsError(
                    f"workers end before they are ready ({worker.ending()})",
                    hint="run one input with the single command to see why",
                )
            return []
        self._backlog.extendleft(reversed(works[1:]))
        if not works:
            return []
        if fault.kind == "killed":
            hint = "a lack of memory is the usual cause: limits.workers, limits.memory"
            fault = Fault("killed", f"the worker died ({worker.ending()})", hint)
        elapsed = round(time.monotonic() - worker.since, 6)
        return [Done(works[0].id, fault, seconds=elapsed, worker=worker.pid)]


class _Worker:
    """A process and its pipe. `since` is when it took up what it has in hands."""

    def __init__(self, task: str, spec: TaskSpec) -> None:
        self._process, self.link = start_worker(task, spec)
        self.pid = self._process.pid
        self.works: deque[Work] = deque()
        self.ready = False
        self.since = time.monotonic()

    def give(self, work: Work) -> None:
        if not self.works:
            self.since = time.monotonic()
        self.link.send(work)
        self.works.append(work)

    def end(self) -> None:
        """Kill: every output is whole or absent at any moment, so nothing is gained by asking."""
        self._process.kill()
        self._process.wait()
        self.link.close()

    def ending(self) -> str:
        code = self._process.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _resident(pid: int) -> int:
    """Resident bytes of a process; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
