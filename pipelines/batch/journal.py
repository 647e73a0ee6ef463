"""The job's memory: an SQLite file in WAL mode, one row an input. It outlives any kill of the processes that write it.

A row is `running` from before its output can appear until its outcome is known, so that after a kill the outputs of the
items in flight are known to be ours. Commits are grouped by the driver. `synchronous=NORMAL`: a commit survives the
death of any process at once, and the death of the machine up to the last checkpoint; what is lost then is done again.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import OutputError
from vitapps.jsonable import json_ready
from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.identity import FileId, pack, unpack
from vitapps.pipelines.batch.work import Done, Work

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    step TEXT, key BLOB, size INTEGER, mtime_ns INTEGER, sha256 TEXT, options TEXT, weights TEXT,
    state TEXT, failures INTEGER DEFAULT 0, kind TEXT, error TEXT, hint TEXT, out BLOB, command TEXT,
    outputs TEXT, preview TEXT, summary TEXT, warnings TEXT, seconds REAL, cpu REAL, worker INTEGER,
    finished REAL, run INTEGER, seq INTEGER, PRIMARY KEY (step, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL, ended REAL, pid INTEGER, host TEXT, command TEXT, state TEXT, counts TEXT,
    machine TEXT);
CREATE TABLE IF NOT EXISTS workers (run INTEGER, pid INTEGER, host TEXT);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT);
"""
_VERSION = 1
_COLUMNS = (
    "step, key, size, mtime_ns, sha256, options, weights, state, failures, kind, error, hint, out, command, outputs, "
    "preview, summary, warnings, seconds, cpu, worker, finished, run, seq"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A row of `items`. `state` is running, done or failed; `seconds` wall, `cpu` CPU seconds of its last try;
    `finished` seconds since the epoch; `seq` the order of finishing, which no clock can disturb."""

    step: str
    key: str
    size: int
    mtime_ns: int
    sha256: str
    options: str
    weights: str
    state: str
    failures: int
    kind: str
    error: str
    hint: str
    out: str
    command: str
    outputs: tuple[FileId, ...]
    preview: str
    summary: dict[str, Any]
    warnings: tuple[str, ...]
    seconds: float
    cpu: float
    worker: int
    finished: float
    run: int
    seq: int


class Journal:
    """Open the journal of a job; the folder is made. One writer at a time: the driver holds the job's lock."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise OutputError(
                    f"{path}: a journal of another version ({version})", hint="`vitapps batch clean --all`"
                )
            if read_only:
                self._db.execute("PRAGMA query_only=1")
            else:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
                self._db.execute(f"PRAGMA user_version={_VERSION}")
            self._seq = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM items").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"{path}: {reason}", hint='set state = "..." in the job file to a writable folder'
            ) from error
        self.run = 0

    def close(self) -> None:
        self._db.close()

    def begin(self, command: str, machine: Mapping[str, Any]) -> int:
        """Note that a run starts; its number. Runs that never ended were killed."""
        self._db.execute("UPDATE runs SET state='killed' WHERE state='running'")
        row = (time.time(), os.getpid(), host(), _text(command), "running", json.dumps(json_ready(machine)))
        made = self._db.execute(
            "INSERT INTO runs (started, pid, host, command, state, machine) VALUES (?, ?, ?, ?, ?, ?)", row
        )
        self.run = int(made.lastrowid or 0)
        self._db.execute("DELETE FROM notes WHERE name='cancel'")
        return self.run

    def end(self, state: str, counts: Mapping[str, Any]) -> None:
        """Note how the run ended: done, failed, interrupted, cancelled, paused, stopped."""
        row = (time.time(), state, json.dumps(json_ready(counts)), self.run)
        self._db.execute("UPDATE runs SET ended=?, state=?, counts=? WHERE id=?", row)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the first first."""
        cursor = self._db.execute("SELECT * FROM runs ORDER BY id")
        names = [item[0] for item in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        for row in rows:
            row["counts"], row["machine"] = json.loads(row["counts"] or "{}"), json.loads(row["machine"] or "{}")
        return rows

    def records(self, step: str | None = None, *, where: str = "1", values: tuple[Any, ...] = ()) -> Iterable[Record]:
        """Rows of a step (None: of all); `where` is SQL of our own, never of a user."""
        chosen, given = (f"step=? AND {where}", (step, *values)) if step is not None else (where, values)
        for row in self._db.execute(f"SELECT {_COLUMNS} FROM items WHERE {chosen}", given):
            yield _record(row)

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of rows by step and state."""
        found: dict[str, dict[str, int]] = {}
        for step, state, number in self._db.execute("SELECT step, state, COUNT(*) FROM items GROUP BY step, state"):
            found.setdefault(step, {})[state] = number
        return found

    def finished_since(self, moment: float) -> int:
        """Items done or failed after `moment`, seconds since the epoch."""
        query = "SELECT COUNT(*) FROM items WHERE finished > ? AND state <> 'running'"
        return int(self._db.execute(query, (moment,)).fetchone()[0])

    def claim(self, step: str, works: Iterable[Work], identity: Mapping[int, tuple[FileId, str, str]]) -> None:
        """Mark works as running, in one commit; `identity` of each id is (input, options hash, weights)."""
        rows = []
        for work in works:
            source, options, weights = identity[work.id]
            rows.append(
                (step, _blob(work.key), source.size, source.mtime_ns, options, weights, _blob(str(work.out)),
                 _text(work.command), self.run)
            )  # fmt: skip
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT INTO items (step, key, size, mtime_ns, options, weights, out, command, run, state) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running') ON CONFLICT (step, key) DO UPDATE SET size=excluded.size, "
            "mtime_ns=excluded.mtime_ns, options=excluded.options, weights=excluded.weights, out=excluded.out, "
            "command=excluded.command, run=excluded.run, state='running'",
            rows,
        )
        self._db.execute("COMMIT")

    def finish(self, step: str, ends: Iterable[tuple[Work, Done, bool]]) -> None:
        """Record outcomes, in one commit; the flag says whether a faulty item is final (quarantined) or tried again."""
        self._db.execute("BEGIN IMMEDIATE")
        for work, done, final in ends:
            self._seq += 1
            fault = done.fault or Fault("io", "")
            state = "done" if done.fault is None else "failed" if final else "running"
            source = done.source
            row = (
                state, *((source.size, source.mtime_ns, source.sha256) if source else (None, None, None)),
                int(done.fault is not None), fault.kind if done.fault else "", _text(fault.message), _text(fault.hint),
                pack(done.outputs), json.dumps(done.preview), json.dumps(json_ready(done.summary)),
                json.dumps(json_ready(done.warnings)), done.seconds, done.cpu, done.worker, time.time(), self._seq,
                step, _blob(work.key),
            )  # fmt: skip
            self._db.execute(
                "UPDATE items SET state=?, size=COALESCE(?, size), mtime_ns=COALESCE(?, mtime_ns), "
                "sha256=COALESCE(?, sha256), failures=failures+?, kind=?, error=?, hint=?, outputs=?, preview=?, "
                "summary=?, warnings=?, seconds=?, cpu=?, worker=?, finished=?, seq=? WHERE step=? AND key=?",
                row,
            )
        self._db.execute("COMMIT")

    def refresh(self, step: str, sources: Iterable[FileId]) -> None:
        """Inputs whose time changed and whose content did not: note the new time."""
        rows = [(item.size, item.mtime_ns, step, _blob(item.path)) for item in sources]
        if rows:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE items SET size=?, mtime_ns=? WHERE step=? AND key=?", rows)
            self._db.execute("COMMIT")

    def forget(self, keys: Iterable[tuple[str, str]]) -> None:
        """Drop rows (step, key), so that their inputs are new again; their outputs stay."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("DELETE FROM items WHERE step=? AND key=?", [(step, _blob(key)) for step, key in keys])
        self._db.execute("COMMIT")

    def release(self, *, everything: bool = False) -> int:
        """Let quarantined (or all) items be done again; how many. Where the output was not ours, it still is not."""
        foreign = self._db.execute("DELETE FROM items WHERE state='failed' AND kind='output'").rowcount
        others = self._db.execute(
            "UPDATE items SET state='running', failures=0 WHERE state='failed' OR ?", (everything,)
        ).rowcount
        return foreign + others

    def add_workers(self, pids: Iterable[int]) -> None:
        self._db.executemany("INSERT INTO workers VALUES (?, ?, ?)", [(self.run, pid, host()) for pid in pids])

    def worker_pids(self) -> set[int]:
        """Workers of earlier runs on this machine."""
        return {row[0] for row in self._db.execute("SELECT pid FROM workers WHERE host=?", (host(),))}

    def forget_workers(self) -> None:
        self._db.execute("DELETE FROM workers WHERE host=? AND run<>?", (host(), self.run))

    def request_cancel(self) -> None:
        """Ask the run to drain and stop; it looks twice a second."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES ('cancel', '1')")

    def cancel_requested(self) -> bool:
        return self._db.execute("SELECT 1 FROM notes WHERE name='cancel'").fetchone() is not None


def host() -> str:
    """Name of this machine."""
    return platform.node()


def _record(row: tuple[Any, ...]) -> Record:
    values: list[Any] = [_unblob(value) if isinstance(value, bytes) else value for value in row]
    numbers = {2, 3, 8, 18, 19, 20, 21, 22, 23}
    values = [(0 if index in numbers else "") if value is None else value for index, value in enumerate(values)]
    values[14] = unpack(values[14])
    values[15] = json.loads(values[15] or '""')
    values[16] = json.loads(values[16] or "{}")
    values[17] = tuple(json.loads(values[17] or "[]"))
    return Record(*values)


def _blob(text: str) -> bytes:
    """A path as its bytes: SQLite text cannot hold names that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _unblob(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
