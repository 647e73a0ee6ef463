"""What is ours in APScheduler: a trigger (its own cron trigger fires twice in autumn), a scheduler that only edits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.base import BaseTrigger

from vitapps.pipelines.batch.cron import read_cron


class CronLine(BaseTrigger):  # type: ignore[misc]  # APScheduler publishes no types
    """Fires as `cron.Cron` says."""

    def __init__(self, text: str, zone: str) -> None:
        self.text, self.zone = text, zone
        self._cron = read_cron(text, zone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next firing after the last one, or after now."""
        return self._cron.after(previous_fire_time or now)

    def __getstate__(self) -> dict[str, Any]:
        return {"text": self.text, "zone": self.zone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __str__(self) -> str:
        following = self._cron.after(datetime.now(UTC)).astimezone(self._cron.zone)
        return f"{self.text} ({self.zone}), next {following.isoformat(timespec='minutes')}"


class Editor(BaseScheduler):  # type: ignore[misc]
    """Reads and changes a store and runs nothing: a paused scheduler still runs what is due when it shuts down."""

    def wakeup(self) -> None:
        return None

    def shutdown(self, wait: bool = True) -> None:
        super().shutdown(wait)
