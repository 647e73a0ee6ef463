"""`vitapps batch status`, `retry`, `cancel`, `clean`: what the journal says, and small changes to it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.batch.identity import remove_leftovers
from vitapps.pipelines.batch.job_file import read_job
from vitapps.pipelines.batch.journal import Journal, Record
from vitapps.pipelines.batch.lock import is_locked, job_lock
from vitapps.pipelines.batch.quantities import utc_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """A job as its journal shows it: `items` counts rows by step and state, `rate` is items a second of a minute."""

    name: str
    state: Path
    running: bool
    runs: int
    last: dict[str, Any]
    items: dict[str, dict[str, int]]
    failed: tuple[Record, ...]
    rate: float

    def to_json(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        keys = ("step", "key", "kind", "error", "hint", "failures", "command")
        return {
            "job": self.name, "state": str(self.state), "running": self.running, "runs": self.runs,
            "last_run": self.last, "items": self.items, "rate": self.rate,
            "failed": [{key: getattr(record, key) for key in keys} for record in self.failed],
        }  # fmt: skip


def state_folder(job: Path) -> Path:
    """Of a job file or of a state folder itself; raises UnreadableInputError where there is no journal."""
    state = job if (job / "journal.sqlite").exists() else read_job(job).state if job.is_file() else job
    if not (state / "journal.sqlite").exists():
        raise UnreadableInputError(f"{job}: no journal of a job", hint=f"`vitapps batch run {job}` makes one")
    return state


def find_states(folder: Path) -> list[Path]:
    """State folders directly in `folder`."""
    return sorted(path.parent for path in folder.glob("*.batch/journal.sqlite"))


def job_status(state: Path, *, most: int = 100) -> Status:
    """Read the journal in `state`; at most `most` failed items are listed."""
    journal = Journal(state / "journal.sqlite", read_only=True)
    try:
        runs = journal.runs()
        last = _shown(runs[-1]) if runs else {}
        return Status(
            name=state.name.removesuffix(".batch"), state=state, running=is_locked(state), runs=len(runs), last=last,
            items=journal.counts(), rate=round(journal.finished_since(time.time() - 60) / 60, 3),
            failed=tuple(journal.records(where="state='failed' ORDER BY seq LIMIT ?", values=(most,))),
        )  # fmt: skip
    finally:
        journal.close()


def retry(state: Path, *, everything: bool = False) -> int:
    """Let quarantined items, or `everything`, be tried by the next run; how many there were.

    Raises OutputError while a run goes on."""
    with job_lock(state):
        journal = Journal(state / "journal.sqlite")
        try:
            return journal.release(everything=everything)
        finally:
            journal.close()


def cancel(state: Path) -> bool:
    """Ask the run to drain and stop; False when none goes on."""
    if not is_locked(state):
        return False
    journal = Journal(state / "journal.sqlite")
    try:
        journal.request_cancel()
    finally:
        journal.close()
    return True


def clean(state: Path, *, everything: bool = False) -> dict[str, int]:
    """Drop rows of inputs that are gone and temporary files of killed runs; `everything`: the whole state folder.

    Outputs stay in either case. Raises OutputError while a run goes on.
    """
    with job_lock(state):
        if everything:
            if not (state / "journal.sqlite").exists():
                raise UsageError(f"{state}: no state folder of a job", hint="nothing was removed")
        else:
            return _clean(state)
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock.sqlite", "holder", "report.html"):
        (state / name).unlink(missing_ok=True)
    shutil.rmtree(state / "report", ignore_errors=True)
    if not any(state.iterdir()):
        state.rmdir()
    return {"journal": 1}


def _clean(state: Path) -> dict[str, int]:
    try:
        journal = Journal(state / "journal.sqlite")
        gone, folders = [], set()
        for record in journal.records():
            folders.add(str(Path(record.out).parent))
            if "://" not in record.key and not Path(record.key).exists():
                gone.append((record.step, record.key))
        journal.forget(gone)
        left = remove_leftovers(folders, journal.worker_pids())
        journal.forget_workers()
        journal.close()
    except sqlite3.DatabaseError as error:
        raise UnreadableInputError(f"{state}: {error}", hint="`vitapps batch clean --all` starts anew") from error
    return {"rows": len(gone), "leftovers": left}


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    times = {name: run[name] and utc_text(run[name]) for name in ("started", "ended")}
    return {**run, **times}
