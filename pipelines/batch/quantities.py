"""Quantities as an operator writes them in a job file: `"10 min"`, `"2 GB"`, `"2%"`, `"22:00-06:00"`.

Each reader raises ValueError with what it wants; the job file adds file, line and key.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

_SECONDS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "day": 86400.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*")


@dataclass(frozen=True, slots=True)
class Share:
    """A number of items, absolute or in percent of all."""

    value: float
    percent: bool = False

    def of(self, total: int) -> int:
        """How many of `total` items are within the share, rounded down."""
        return math.floor(total * self.value / 100) if self.percent else int(self.value)


@dataclass(frozen=True, slots=True)
class DayWindow:
    """A part of the day in local time; `start > end` passes midnight."""

    start: time
    end: time

    def holds(self, moment: datetime) -> bool:
        """Whether the local `moment` lies in the window, the end excluded."""
        now = moment.time()
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


def duration(value: Any) -> float:
    """Seconds of `"90 s"`, `"10 min"`, `"2 h"`, `"1 day"` or of a bare number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    number, unit = _split(value)
    factor = _SECONDS.get(unit.lower().rstrip("s") or "s") if unit else 1.0
    if number is None or factor is None:
        raise ValueError('a duration such as "90 s", "10 min", "2 h" or "1 day"')
    return number * factor


def size(value: Any) -> int:
    """Bytes of `"200 kB"`, `"4 GiB"` or of a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    number, unit = _split(value)
    factor = _BYTES.get(unit.lower() or "b")
    if number is None or factor is None:
        raise ValueError('a size such as "200 kB", "4 GB" or "2 GiB"')
    return int(number * factor)


def share(value: Any) -> Share:
    """`5` or `"2%"`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Share(value)
    number, unit = _split(value)
    if number is None or unit not in ("", "%") or (unit == "%" and number > 100) or (not unit and number % 1):
        raise ValueError('a number of items such as 5, or a share such as "2%"')
    return Share(number, unit == "%")


def part(value: Any) -> float:
    """A part of one thing, above 0 and at most 1."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise ValueError("a number above 0 and at most 1, such as 0.5")


def day_window(value: Any) -> DayWindow:
    """`"22:00-06:00"`, local time."""
    try:
        start, end = (time.fromisoformat(part.strip()) for part in str(value).split("-"))
    except ValueError:
        raise ValueError('a window of the day such as "22:00-06:00", local time') from None
    if start == end:
        raise ValueError('a window of the day that is not empty, such as "22:00-06:00"')
    return DayWindow(start, end)


def moment(value: Any, now: float) -> float:
    """Seconds since the epoch of a date (`2026-01-31`, local midnight, or an ISO time), or `now` minus a duration."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.astimezone()).timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time()).timestamp()
    try:
        return now - duration(value)
    except ValueError:
        pass
    try:
        return moment(datetime.fromisoformat(str(value)), now)
    except ValueError:
        raise ValueError('an age such as "1 day", or a date such as 2026-01-31') from None


def shown_seconds(seconds: float) -> str:
    """`75` -> `1 min 15 s`; two units at most."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for unit, length, small, short in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // short} {small}"
    raise AssertionError("unreachable: a minute or more")


def utc_text(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def shown_time(seconds: float) -> str:
    """Seconds since the epoch for people: `2026-01-31 04:05:06 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _split(value: Any) -> tuple[float | None, str]:
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return (float(found[1]), found[2]) if found else (None, "")
