"""What a run has to do: inputs against the journal. An input whose record and outputs agree is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from vitapps.errors import UsageError
from vitapps.pipelines.batch.identity import FileId, is_unchanged, options_hash, weights_hash
from vitapps.pipelines.batch.inputs import Candidate, list_inputs
from vitapps.pipelines.batch.job import Job, Step
from vitapps.pipelines.batch.journal import Journal, Record
from vitapps.pipelines.batch.remote import is_url
from vitapps.pipelines.batch.task import Item, Task, TaskSpec, command_of
from vitapps.pipelines.batch.work import Work
from vitapps.provenance import record_path

Identity = tuple[FileId, str, str]  # input, options hash, weights: what the journal compares


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """How a run reads its plan. `shard` (i, n) takes every input whose hash is i of n, i from 0: for job arrays."""

    overwrite: bool = False
    shard: tuple[int, int] | None = None


@dataclass(kw_only=True, slots=True)
class StepPlan:
    """One step. `foreign` works have an output on disk that this job did not make."""

    step: Step
    task: type[Task]
    spec: TaskSpec
    weights: dict[str, str]
    todo: list[Work] = field(default_factory=list)
    identity: dict[int, Identity] = field(default_factory=dict)
    foreign: list[Work] = field(default_factory=list)
    quarantined: list[Record] = field(default_factory=list)
    skipped: int = 0
    filtered: int = 0
    bytes: int = 0
    seconds: list[float] = field(default_factory=list)  # of items that were done before, for an estimate
    leftovers: set[str] = field(default_factory=set)  # folders with items that were in flight when a run was killed

    @property
    def total(self) -> int:
        return len(self.todo) + len(self.foreign) + len(self.quarantined) + self.skipped

    @property
    def expected_seconds(self) -> float | None:
        """Work of one worker for what is to do, from the median of past items; None without any."""
        past = sorted(self.seconds)
        return past[len(past) // 2] * len(self.todo) if past else None


class Planner:
    """Plans a step; also answers for inputs that come in later (a watched folder)."""

    def __init__(self, job: Job, step: Step, journal: Journal | None, choices: Choices) -> None:
        self.job, self.choices, self._journal = job, choices, journal
        spec, task = job.spec(step), step.task_class
        self.plan = StepPlan(step=step, task=task, spec=spec, weights=task.weights(spec))
        self._options = options_hash(step.task, spec.settings, spec.options, step.output.layout)
        self._weights = weights_hash(self.plan.weights)
        self._records = {record.key: record for record in journal.records(step.name)} if journal else {}
        self._made = {item.path for record in self._records.values() for item in record.outputs}
        self._outs: dict[str, str] = {}
        self._claimed: set[str] = set()  # outputs of this run
        self._next = 0

    def all(self) -> StepPlan:
        """List the inputs of the step and decide about each. Raises UsageError when two would share an output."""
        step = self.plan.step
        candidates, self.plan.filtered = list_inputs(step.inputs, step.filters, self.plan.task, self.job.path.parent)
        self.add(candidates)
        return self.plan

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Decide about each candidate; new work is appended to `plan.todo`."""
        moved: list[FileId] = []
        for candidate in candidates:
            if candidate.key in self._made or not self._in_shard(candidate.key):
                continue
            moved += self._decide(candidate)
        if self._journal is not None:
            self._journal.refresh(self.plan.step.name, moved)

    def _decide(self, candidate: Candidate) -> Iterator[FileId]:
        """Yields the identity of an input whose time changed and whose content did not."""
        plan, record = self.plan, self._records.get(candidate.key)
        out = self._out(candidate)
        if record is not None and record.seconds and record.state == "done":
            plan.seconds.append(record.seconds)
        if record is not None and record.state == "running":
            plan.leftovers.add(str(out.parent))
        current = record is not None and (record.options, record.weights, record.out) == (
            self._options, self._weights, str(out)
        )  # fmt: skip
        if record is not None and current and record.state in ("done", "failed"):
            same, moved = self._same_source(record, candidate)
            if same and record.state == "failed" and self._stays_failed(record, out):
                plan.quarantined.append(record)
                return
            if same and record.state == "done" and all(is_unchanged(item) for item in record.outputs):
                plan.skipped += 1
                yield from moved
                return
        self._append(candidate, out, record)

    def _append(self, candidate: Candidate, out: Path, record: Record | None) -> None:
        plan = self.plan
        item = Item(input=Path(candidate.key), out=out)
        command = "" if is_url(candidate.key) else command_of(plan.task, plan.spec, item)
        work = Work(self._next, candidate.key, out, command)
        self._next += 1
        plan.identity[work.id] = (candidate.source, self._options, self._weights)
        if self.choices.overwrite or str(out) in self._claimed or _is_ours(record, out, command):
            self._claimed.add(str(out))
            plan.todo.append(work)
            plan.bytes += max(0, candidate.source.size)
        else:
            plan.foreign.append(work)

    def _same_source(self, record: Record, candidate: Candidate) -> tuple[bool, list[FileId]]:
        recorded = FileId(record.key, record.size, record.mtime_ns, record.sha256)
        content = self.plan.step.inputs.identity == "content"
        if is_url(candidate.key) or not (content or candidate.source.size == recorded.size):
            return recorded.same_stat(candidate.source), []
        if recorded.same_stat(candidate.source) and not content:
            return True, []
        return is_unchanged(recorded, content=True), [candidate.source]

    def _stays_failed(self, record: Record, out: Path) -> bool:
        """A fault of the input or the options stays; one of circumstances that have passed does not."""
        in_the_way = out.exists() and not self.choices.overwrite
        return record.kind != "vanished" and (record.kind != "output" or in_the_way)

    def _out(self, candidate: Candidate) -> Path:
        plan, path = self.plan, Path(candidate.key)
        names = {
            "parent": candidate.parent or ".", "stem": plan.task.stem(path), "name": path.name, "suffix": path.suffix,
            "step": plan.step.name, "ext": plan.task.extension(plan.spec),
        }  # fmt: skip
        out = Path(os.path.abspath(plan.step.output.folder / plan.step.output.layout.format_map(names)))
        other = self._outs.setdefault(str(out), candidate.key)
        if other != candidate.key:
            raise UsageError(
                f"{out}: both {other} and {candidate.key} would write it",
                hint='output.layout = "{parent}/{name}{ext}" keeps them apart, or set inputs.base',
            )
        return out

    def _in_shard(self, key: str) -> bool:
        if self.choices.shard is None:
            return True
        index, count = self.choices.shard
        return int(sha256(os.fsencode(key)).hexdigest()[:8], 16) % count == index


def _is_ours(record: Record | None, out: Path, command: str) -> bool:
    """Whether this job may replace `out`: it is not there, the journal knows it, or its own run record says so.

    The run record decides when the machine died with commits of the journal unwritten.
    """
    known = record is not None and record.out == str(out) and not (record.state == "failed" and record.kind == "output")
    if known or not out.exists():
        return True
    try:
        return bool(command) and json.loads(record_path(out).read_text(encoding="utf-8"))["command"] == command
    except (OSError, ValueError, KeyError, TypeError):
        return False
