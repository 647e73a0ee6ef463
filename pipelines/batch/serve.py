"""`vitapps batch schedule` and `vitapps batch serve`: jobs at their times, from one process, by APScheduler.

Schedules lie in an SQLite file. A job that is still running when its time comes again is left out (overlap); a time
that was missed while nobody served is made up for once if it is not older than the grace (misfire).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import OutputError, UsageError
from vitapps.pipelines.batch.cron import Cron
from vitapps.pipelines.batch.job import Job
from vitapps.require import require

log = logging.getLogger("vitapps.batch")
GRACE = 3600
_WAKE = 5.0  # seconds between looks at schedules that another process has added
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """One entry of the store; `following` is the next time as ISO 8601 in the zone of its line."""

    name: str
    job: str
    line: str
    following: str


def default_store() -> Path:
    """`$XDG_STATE_HOME/vitapps/schedules.sqlite`."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "vitapps" / "schedules.sqlite"


def add_schedule(job: Job, cron: Cron, store: Path) -> Schedule:
    """Put the job into the store, in place of an older entry of its name."""
    scheduler = open_store(store)
    from vitapps.pipelines.batch.cron_trigger import CronLine

    try:
        scheduler.add_job(
            "vitapps.pipelines.batch.serve:run_scheduled", CronLine(cron.text, cron.zone.key), id=job.name,
            args=[str(job.path.absolute())], replace_existing=True, coalesce=True, max_instances=1,
            misfire_grace_time=GRACE,
        )  # fmt: skip
        return next(item for item in _listed(scheduler) if item.name == job.name)
    finally:
        scheduler.shutdown()


def list_schedules(store: Path) -> list[Schedule]:
    """Every entry, the next to fire first."""
    scheduler = open_store(store)
    try:
        return _listed(scheduler)
    finally:
        scheduler.shutdown()


def remove_schedule(name: str, store: Path) -> None:
    """Take an entry out of the store; raises UsageError for one that is not there."""
    scheduler = open_store(store)
    try:
        names = [item.name for item in _listed(scheduler)]
        if name not in names:
            raise UsageError(f"no schedule {name!r}", hint=f"there are: {', '.join(names) or 'none'}")
        scheduler.remove_job(name)
    finally:
        scheduler.shutdown()


def serve(store: Path, say: Callable[[str], None]) -> int:
    """Run due jobs until SIGTERM or SIGINT, then let the running ones drain. How many were started."""
    background = require("apscheduler.schedulers.background", extra="batch", package="apscheduler")
    scheduler, stop = background.BackgroundScheduler(**_options(store)), threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    events = require("apscheduler.events", extra="batch")
    started: list[str] = []

    def told(event: Any) -> None:
        if event.code == events.EVENT_JOB_SUBMITTED:
            started.append(event.job_id)
            say(f"{event.job_id}: started")
        elif event.code == events.EVENT_JOB_MISSED:
            say(f"{event.job_id}: missed its time by more than {GRACE} s, left out")
        elif event.code == events.EVENT_JOB_MAX_INSTANCES:
            say(f"{event.job_id}: still running, left out")
        elif event.code == events.EVENT_JOB_EXECUTED:
            say(f"{event.job_id}: ended with exit code {event.retval}")

    scheduler.add_listener(told, events.EVENT_ALL)
    scheduler.start()
    try:
        for item in _listed(scheduler):
            say(f"{item.name}: {item.line}")
        while not stop.wait(_WAKE):
            scheduler.wakeup()
    finally:
        scheduler.pause()
        for child in list(_children.values()):
            child.send_signal(signal.SIGTERM)  # its run finishes what is in flight
        scheduler.shutdown(wait=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    return len(started)


def run_scheduled(job: str) -> int:
    """What the store names: one run of a job in a process of its own; its exit code."""
    code = "import sys; from vitapps.apps.main import main; sys.exit(main(sys.argv[1:]))"
    child = subprocess.Popen([sys.executable, "-P", "-c", code, "batch", "run", job, "--quiet"], start_new_session=True)
    _children[child.pid] = child
    try:
        return child.wait()
    finally:
        _children.pop(child.pid, None)


def open_store(store: Path) -> Any:
    """A started scheduler for reading and editing the store; `shutdown()` closes it."""
    require("apscheduler", extra="batch")
    from vitapps.pipelines.batch.cron_trigger import Editor

    editor = Editor(**_options(store))
    editor.start(paused=True)
    return editor


def _options(store: Path) -> dict[str, Any]:
    require("sqlalchemy", extra="batch")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{store}: {error.strerror}", hint="give a --store that you may write to") from error
    stores = {"default": {"type": "sqlalchemy", "url": f"sqlite:///{store.absolute()}"}}
    return {"jobstores": stores, "timezone": "UTC"}


def _listed(scheduler: Any) -> list[Schedule]:
    found = []
    for job in scheduler.get_jobs():
        following = job.next_run_time
        found.append(
            Schedule(
                name=job.id,
                job=job.args[0],
                line=str(job.trigger),
                following=following.isoformat() if following else "",
            )
        )
    return found
