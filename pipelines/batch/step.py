"""One step of a job through an engine: claim, submit, record, retry. Knows no engine from inside and no task."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from vitapps.errors import ExitCode, MissingError, OutputError, VitappsError
from vitapps.pipelines.batch.events import Counts, Events
from vitapps.pipelines.batch.faults import ALONE, FATAL, PASSING, Fault
from vitapps.pipelines.batch.identity import remove_leftovers
from vitapps.pipelines.batch.inputs import Sieve, Watch
from vitapps.pipelines.batch.job import Job
from vitapps.pipelines.batch.journal import Journal
from vitapps.pipelines.batch.plan import Planner
from vitapps.pipelines.batch.signals import Draining
from vitapps.pipelines.batch.work import Done, Engine, Work

_LOOK = 0.5  # seconds between looks at cancel, time window and watched folder
_FLUSH = 0.01  # seconds that an outcome may wait for others, so that a commit covers several
MakeEngine = Callable[[int], Engine]  # with how many workers; 0: as the job says


@dataclass(slots=True)
class Ending:
    """Why a step stopped before its end; an empty `reason` says that it did not."""

    reason: str = ""  # interrupted, cancelled, paused, stopped
    error: VitappsError | None = None


@dataclass(kw_only=True)
class StepRun:
    """The state of one step's run. Outcomes are in the journal before anyone hears of them."""

    job: Job
    planner: Planner
    journal: Journal
    events: Events
    drain: Draining
    make_engine: MakeEngine
    counts: Counts = field(default_factory=Counts)
    ending: Ending = field(default_factory=Ending)
    _queue: deque[Work] = field(default_factory=deque)
    _alone: deque[Work] = field(default_factory=deque)
    _later: list[tuple[float, int, Work]] = field(default_factory=list)
    _flight: dict[int, Work] = field(default_factory=dict)
    _tries: dict[int, int] = field(default_factory=dict)
    _unwritten: list[tuple[Work, Done, bool]] = field(default_factory=list)
    _told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    _flushed: float = 0.0
    _looked: float = 0.0
    _watch: Watch | None = None
    _drain_until: float | None = None

    def run(self) -> Counts:
        """Work through the plan; `ending` says whether it was left early. Raises VitappsError when all would fail."""
        plan = self.planner.all()
        inputs = plan.step.inputs
        self._watch = Watch(inputs, plan.task) if inputs.watch is not None else None
        self.counts = Counts(
            total=plan.total, todo=len(plan.todo), skipped=plan.skipped, quarantined=len(plan.quarantined),
            filtered=plan.filtered,
        )  # fmt: skip
        remove_leftovers(plan.leftovers, self.journal.worker_pids())
        self.events.emit("step_started", self.counts, step=plan.step.name, task=plan.step.task)
        start = time.monotonic()
        try:
            self._refuse_foreign()
            self._take_new()
            self._pump(0)
            while self._alone and not self.ending.reason:  # after the others: it has the machine for itself
                self._queue.append(self._alone.popleft())
                self._pump(1)
        finally:
            self.counts.seconds = round(time.monotonic() - start, 3)
            self._flush()
            self.events.emit("step_ended", self.counts, step=plan.step.name, reason=self.ending.reason or "done")
        return self.counts

    def _refuse_foreign(self) -> None:
        plan = self.planner.plan
        for work in plan.foreign:
            words = f"{work.out}: exists already and is not of this job"
            fault = Fault("output", words, "move it away, or run the job with --overwrite")
            self._claim([work])
            self._record(work, Done(work.id, fault), final=True)
        plan.foreign.clear()
        self._flush()

    def _pump(self, workers: int) -> None:
        engine: Engine | None = None
        try:
            while self._queue or self._flight or self._later or self._is_watching():
                self._look_around()
                if self.ending.reason and (not self._flight or self._drained()):
                    break
                if not self.ending.reason:
                    self._due()
                    if self._queue:
                        engine = engine or self.make_engine(workers)
                        self._fill(engine)
                self._settle(engine.poll(self._patience()) if engine and self._flight else self._idle())
        finally:
            if engine is not None:
                engine.stop()
            self._flight.clear()

    def _fill(self, engine: Engine) -> None:
        works = [self._queue.popleft() for _ in range(min(engine.free(), len(self._queue)))]
        if not works:
            return
        self._claim(works)
        for work in works:
            self._flight[work.id] = work
            engine.submit(work)
        if pids := engine.pids():
            self.journal.add_workers(pids)

    def _claim(self, works: list[Work]) -> None:
        self.journal.claim(self.planner.plan.step.name, works, self.planner.plan.identity)

    def _settle(self, done: list[Done]) -> None:
        for item in done:
            work = self._flight.pop(item.id)
            if item.fault is None:
                self._record(work, item, final=True)
            elif item.fault.kind in FATAL:
                self._stop_all(item.fault)
            else:
                self._failed(work, item, item.fault)
        if self._unwritten and (not self._flight or time.monotonic() - self._flushed > _FLUSH):
            self._flush()

    def _failed(self, work: Work, done: Done, fault: Fault) -> None:
        tries = self._tries[work.id] = self._tries.get(work.id, 0) + 1
        again = fault.kind in PASSING and tries <= self.job.retry.times
        alone = fault.kind in ALONE and tries == 1
        self._record(work, done, final=not (again or alone))
        if alone:
            self._alone.append(work)
        elif again:
            due = time.monotonic() + self.job.retry.delay * 2 ** (tries - 1)
            heapq.heappush(self._later, (due, work.id, work))
        elif self._too_many() and self.job.on_error == "stop":
            self.ending.reason = self.ending.reason or "stopped"

    def _too_many(self) -> bool:
        return self.counts.bad > self.job.limits.max_failed.of(self.counts.total)

    def _stop_all(self, fault: Fault) -> None:
        """The disk is full or the weights are gone: what is in flight is let go, nothing is quarantined for it."""
        family = MissingError if fault.kind == "missing" else OutputError
        self.ending = Ending("stopped", self.ending.error or family(fault.message, hint=fault.hint))

    def _record(self, work: Work, done: Done, *, final: bool) -> None:
        counts, fault = self.counts, done.fault
        self._unwritten.append((work, done, final))
        fields = {"step": self.planner.plan.step.name, "input": work.key, "seconds": done.seconds}
        if fault is None:
            counts.done += 1
            counts.bytes += done.source.size if done.source else 0
            kind, fields = "item_done", {**fields, "output": str(work.out), "summary": done.summary}
        else:
            counts.failed, counts.retried = counts.failed + final, counts.retried + (not final)
            kind = "item_failed" if final else "item_retried"
            fields |= {"fault": fault.kind, "error": fault.message, "hint": fault.hint, "command": work.command}
        self._told.append((kind, fields))

    def _flush(self) -> None:
        if self._unwritten:
            self.journal.finish(self.planner.plan.step.name, self._unwritten)
        self._unwritten, told, self._told = [], self._told, []
        self._flushed = time.monotonic()
        for kind, fields in told:
            self.events.emit(kind, self.counts, **fields)

    def _patience(self) -> float:
        """Do not wait longer than an outcome may stay unwritten, or a retry is due."""
        waits = [_LOOK, *([_FLUSH] if self._unwritten else [])]
        waits += [max(0.0, self._later[0][0] - time.monotonic())] if self._later else []
        return min(waits)

    def _idle(self) -> list[Done]:
        if not self._queue:
            time.sleep(min(_LOOK, self._patience()))
        return []

    def _due(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            self._queue.append(heapq.heappop(self._later)[2])

    def _is_watching(self) -> bool:
        return self._watch is not None and not self.ending.reason

    def _look_around(self) -> None:
        """Signals at once; the cancel note, the time window and the watched folder twice a second."""
        if self.drain and not self.ending.reason:
            self.ending.reason = "interrupted"
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        window = self.job.limits.window
        if self.ending.reason:
            return
        if self.journal.cancel_requested():
            self.ending.reason = "cancelled"
        elif window is not None and not window.holds(datetime.now()):
            self.ending.reason = "paused"
        else:
            self._take_new()

    def _take_new(self) -> None:
        plan = self.planner.plan
        if self._watch is not None:
            accept, counts = Sieve(plan.step.filters, plan.task), self.counts
            before = plan.total
            fresh = -len(plan.todo)
            self.planner.add(item for item in self._watch.settled() if accept(item))
            counts.total, counts.todo = counts.total + plan.total - before, counts.todo + fresh + len(plan.todo)
            counts.skipped, counts.quarantined = plan.skipped, len(plan.quarantined)
            self._refuse_foreign()
        self._queue.extend(plan.todo)
        plan.todo.clear()

    def _drained(self) -> bool:
        now = time.monotonic()
        self._drain_until = self._drain_until or now + self.job.limits.drain
        return now > self._drain_until or self.ending.error is not None


def exit_code(counts: Counts, job: Job, ending: Ending) -> ExitCode:
    """Of a run: 130 interrupted or cancelled, 6 more failures than allowed, the error's own, else 0."""
    if ending.error is not None:
        return ending.error.exit_code
    if ending.reason in ("interrupted", "cancelled"):
        return ExitCode.INTERRUPTED
    return ExitCode.PARTIAL if counts.bad > job.limits.max_failed.of(counts.total) else ExitCode.OK
