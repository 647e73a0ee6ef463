"""A cron line in a time zone: five fields, and the moments at which it fires, across changes of the clock.

The rules at such a change are those that an operator expects of a nightly job. A time that the clock skips (02:30 in
spring) fires at the moment it would have been, an hour later by the new clock. A time that comes twice (02:30 in
autumn) fires at the first; only a line whose hour is `*` fires in both hours, and in spring in neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vitapps.errors import UsageError

DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_HORIZON = 366 * 9  # days; 29 February can be eight years away


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed line. `minutes`, `hours`, `days`, `months`, `weekdays` (0 Sunday) are sorted values."""

    text: str
    zone: ZoneInfo
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    any_hour: bool
    either_day: bool  # both day fields are given: cron wants either of them

    def on(self, day: date) -> bool:
        """Whether it fires on this day."""
        weekday = day.isoweekday() % 7 in self.weekdays
        monthday = day.day in self.days
        return day.month in self.months and (weekday or monthday if self.either_day else weekday and monthday)

    def after(self, moment: datetime) -> datetime:
        """The first firing after the aware `moment`, in UTC; raises UsageError for a line that never fires."""
        start = moment.astimezone(self.zone).date() - timedelta(days=1)  # a skipped time can belong to the day before
        for days in range(_HORIZON):
            day = start + timedelta(days=days)
            fires = sorted(self._moments(day)) if self.on(day) else []
            for found in fires:
                if found > moment:
                    return found
        raise UsageError(f"cron line {self.text!r}: never fires", hint="is there such a day in such a month?")

    def _moments(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime.combine(day, time(hour, minute), self.zone)
                first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
                skipped = first.astimezone(self.zone).replace(tzinfo=None) != wall.replace(tzinfo=None)
                if not (skipped and self.any_hour):
                    yield first
                if first != second and not skipped and self.any_hour:
                    yield second


def read_cron(text: str, zone: str) -> Cron:
    """Parse `0 2 * * 1-5` or `@daily` for an IANA zone such as `Europe/Berlin`. Raises UsageError."""
    words = _WORDS.get(text.strip().lower(), text).split()
    if len(words) != len(_FIELDS):
        raise UsageError(
            f"cron line {text!r}: {len(words)} fields", hint='minute hour day month weekday, such as "0 2 * * *"'
        )
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"no time zone {zone!r}", hint="such as Europe/Berlin or UTC") from None
    minutes, hours, days, months, weekdays = (_values(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    either = not words[2].startswith("*") and not words[4].startswith("*")
    line = Cron(
        text=" ".join(words), zone=found, minutes=minutes, hours=hours, days=days, months=months,
        weekdays=tuple(sorted({day % 7 for day in weekdays})), any_hour=words[1].startswith("*"), either_day=either,
    )  # fmt: skip
    line.after(datetime.now(UTC))
    return line


def _values(text: str, name: str, low: int, high: int) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if not found:
            raise UsageError(f"cron {name} {part!r}: not understood", hint="such as *, 5, 1-5, */15 or 1,15")
        if found[1] == "*":
            start, end = low, 6 if high == 7 else high
        else:
            start = _number(found[2], name)
            end = _number(found[3], name) if found[3] else high if found[4] else start
        step = int(found[4] or 1)
        if not (low <= start <= end <= high and step):
            raise UsageError(f"cron {name} {part!r}: outside {low} to {high}", hint="the smaller number first")
        values.update(range(start, end + 1, step))
    return tuple(sorted(values))


def _number(word: str, name: str) -> int:
    if word.isdigit():
        return int(word)
    short = word[:3].lower()
    if name == "month" and short in _MONTHS:
        return _MONTHS.index(short) + 1
    if name == "day of week" and short.capitalize() in DAYS:
        return DAYS.index(short.capitalize())
    raise UsageError(f"cron {name} {word!r}: no number and no name", hint="such as 1, mon or jan")


def local_zone() -> str:
    """The IANA name of this machine's zone; UTC where it cannot be told."""
    import os
    from pathlib import Path

    if name := os.environ.get("TZ", "").lstrip(":"):
        return name
    _, found, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    return name if found else "UTC"
