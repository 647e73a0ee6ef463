"""What happens in a run, told to whoever listens: JSON lines, progress lines, bars, a Prometheus file."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitapps.atomic import write_text
from vitapps.jsonable import json_ready, shown
from vitapps.pipelines.batch.quantities import shown_seconds, utc_text

_RATE_WINDOW = 60.0  # seconds that the current rate looks back
_LINE_EVERY = 5.0
_FILE_EVERY = 5.0


@dataclass(slots=True)
class Counts:
    """Where a step stands. `total` are all inputs, `todo` those that were to be worked on in this run."""

    total: int = 0
    todo: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    quarantined: int = 0
    retried: int = 0
    filtered: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def bad(self) -> int:
        """Inputs without an output: failed now or in an earlier run."""
        return self.failed + self.quarantined

    def add(self, other: Counts) -> None:
        """Sum up steps."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Rate:
    """Items a second over the last minute, by a clock that nobody sets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._times = clock, deque([clock()])
        self._count = deque([0])

    def add(self, done: int) -> None:
        """`done` items are finished in all."""
        self._times.append(self._clock())
        self._count.append(done)
        while self._times[-1] - self._times[0] > _RATE_WINDOW and len(self._times) > 2:
            self._times.popleft()
            self._count.popleft()

    def value(self) -> float:
        span = self._times[-1] - self._times[0]
        return (self._count[-1] - self._count[0]) / span if span > 0 else 0.0


class Listener(Protocol):
    """Told every event; `kind` is step_started, item_done, item_failed, item_retried, step_ended, run_…"""

    def event(self, kind: str, fields: Mapping[str, Any], counts: Counts) -> None: ...


@dataclass(slots=True)
class Events:
    """Hands events to all listeners."""

    listeners: list[Listener] = field(default_factory=list)

    def emit(self, kind: str, counts: Counts, **fields: Any) -> None:
        for listener in self.listeners:
            listener.event(kind, fields, counts)


class JsonLines:
    """One JSON object a line: `event`, `time` (UTC) and what belongs to it."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def event(self, kind: str, fields: Mapping[str, Any], counts: Counts) -> None:
        line = {"event": kind, "time": utc_text(time.time()), **json_ready(dict(fields))}
        if kind.startswith(("run_", "step_")):
            line["counts"] = counts.as_dict()
        self._write(json.dumps(line, ensure_ascii=False))


class ProgressLines:
    """A line a step now and then: `rs.detect  412/1000  3 failed  18.2/s  ETA 32 s`."""

    def __init__(self, write: Callable[[str], None], every: float = _LINE_EVERY) -> None:
        self._write, self._every, self._last = write, every, 0.0
        self._rate, self._step = Rate(), ""

    def event(self, kind: str, fields: Mapping[str, Any], counts: Counts) -> None:
        if kind == "step_started":
            self._rate, self._step = Rate(), str(fields["step"])
        if kind.startswith("item_"):
            self._rate.add(counts.done + counts.failed)
        due = time.monotonic() - self._last >= self._every
        if kind in ("step_started", "step_ended") or (kind.startswith("item_") and due):
            self._last = time.monotonic()
            self._write(progress_line(self._step, counts, self._rate.value()))


def progress_line(step: str, counts: Counts, rate: float) -> str:
    """Where a step stands, in one line."""
    finished, left = counts.done + counts.failed, counts.todo - counts.done - counts.failed
    parts = [step, f"{finished}/{counts.todo}"]
    parts += [f"{counts.skipped} skipped"] if counts.skipped else []
    parts += [f"{counts.bad} failed"] if counts.bad else []
    parts += [f"{rate:.1f}/s"] if rate else []
    parts += [f"ETA {shown_seconds(left / rate)}"] if rate and left else []
    return "  ".join(parts)


class Prometheus:
    """Text for node_exporter's textfile collector, replaced atomically every few seconds and at the end."""

    def __init__(self, path: Path, job: str, every: float = _FILE_EVERY) -> None:
        self._path, self._job, self._every, self._last = path, job, every, 0.0
        self._steps: dict[str, Counts] = {}
        self._step, self._run, self._state = "", 0, 1

    def event(self, kind: str, fields: Mapping[str, Any], counts: Counts) -> None:
        self._run = int(fields.get("run", self._run))
        self._step = str(fields.get("step", self._step))
        if self._step and not kind.startswith("run_"):
            self._steps[self._step] = counts
        self._state = 0 if kind == "run_ended" else 1
        if kind.startswith("run_") or time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            write_text(self._path, self._text(fields if kind == "run_ended" else {}), overwrite=True)

    def _text(self, ending: Mapping[str, Any]) -> str:
        lines = ["# HELP vitapps_batch_items Inputs of the job by step and state.", "# TYPE vitapps_batch_items gauge"]
        for step, counts in self._steps.items():
            for state in ("total", "done", "skipped", "failed", "quarantined"):
                labels = f'job="{_label(self._job)}",step="{_label(step)}",state="{state}"'
                lines.append(f"vitapps_batch_items{{{labels}}} {getattr(counts, state)}")
        rows = [
            ("running", "Whether a run is going on.", self._state),
            ("run", "Number of the run.", self._run),
            ("last_write_seconds", "Unix time of this file.", round(time.time(), 3)),
        ]
        if ending:
            rows += [
                ("last_exit_code", "Exit code of the last run.", ending.get("exit_code", 0)),
                ("last_duration_seconds", "Wall seconds of the last run.", ending.get("seconds", 0)),
            ]
        for name, words, value in rows:
            lines += [f"# HELP vitapps_batch_{name} {words}", f"# TYPE vitapps_batch_{name} gauge"]
            lines.append(f'vitapps_batch_{name}{{job="{_label(self._job)}"}} {value}')
        return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
