"""The two charts of the report as plain numbers for SVG: how many items a time slot, and which runs there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vitapps.pipelines.batch.quantities import shown_seconds, shown_time

_SLOTS = 60
_GAP = 3600.0  # a pause of more than an hour is cut out of the time axis


@dataclass(frozen=True, slots=True)
class Slot:
    """A bar: `x`, `width`, heights in percent of the chart; `label` says it in words."""

    x: float
    width: float
    done: float
    failed: float
    label: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """Bars over the time in which there was work; `peak` items a second in the highest slot."""

    slots: tuple[Slot, ...]
    peak: float
    span: str
    first: str
    last: str


def throughput_bars(ends: Sequence[tuple[float, bool]]) -> Throughput | None:
    """From (seconds since the epoch, failed) of every item; None without items. Long pauses are cut out."""
    if not ends:
        return None
    times = sorted(ends)
    shifts, worked = [0.0], 0.0
    for before, after in pairwise(times):
        step = after[0] - before[0]
        worked += step if step < _GAP else 1.0
        shifts.append(worked)
    length = max(worked / _SLOTS, 1e-3)
    done, failed, starts = [0] * _SLOTS, [0] * _SLOTS, [""] * _SLOTS
    for shift, (time, bad) in zip(shifts, times, strict=True):
        index = min(_SLOTS - 1, int(shift / length))
        (failed if bad else done)[index] += 1
        starts[index] = starts[index] or shown_time(time)
    peak = max(good + bad for good, bad in zip(done, failed, strict=True))
    slots = tuple(
        Slot(
            round(100 * i / _SLOTS, 3), round(100 / _SLOTS * 0.85, 3), round(100 * done[i] / peak, 2),
            round(100 * failed[i] / peak, 2), f"{starts[i]}: {done[i]} done, {failed[i]} failed",
        )
        for i in range(_SLOTS)
        if done[i] + failed[i]
    )  # fmt: skip
    return Throughput(slots, peak / length, shown_seconds(worked), shown_time(times[0][0]), shown_time(times[-1][0]))


@dataclass(frozen=True, slots=True)
class RunBar:
    """A run on the timeline, in percent of all the time from the first to the last."""

    x: float
    width: float
    state: str
    label: str


def run_bars(runs: Sequence[dict[str, Any]]) -> tuple[RunBar, ...]:
    """One bar a run; a run that was killed has no end and gets the least width."""
    if not runs:
        return ()
    first = min(run["started"] for run in runs)
    span = max(1.0, max((run["ended"] or run["started"]) - first for run in runs))
    return tuple(
        RunBar(
            round(100 * (run["started"] - first) / span, 3),
            max(0.4, round(100 * ((run["ended"] or run["started"]) - run["started"]) / span, 3)),
            run["state"],
            f"run {run['id']}, {shown_time(run['started'])}: {run['state']}",
        )
        for run in runs
    )
