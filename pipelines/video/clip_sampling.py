"""Which frames of a clip a video network sees: one rule for training, inference and probes.

A window has `frames` frames, `stride` apart, and begins every `hop` frames of the clip. What is left at the end gets
one more window that ends with the last frame; a clip shorter than one window is spread evenly over it. So every part is
seen, and the result does not depend on how the clip is read. TWLV-I (arXiv:2408.11318, section 4) compares models under
one rule for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vitapps.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRule:
    """`hop` None: half a window."""

    frames: int = 16
    stride: int = 4
    hop: int | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or self.stride < 1 or (self.hop is not None and self.hop < 1):
            raise UsageError(
                f"windows of {self.frames} frames, {self.stride} apart, every {self.hop}", hint="all start at 1"
            )

    @property
    def span(self) -> int:
        """Frames of the clip from the first to the last of a window."""
        return (self.frames - 1) * self.stride + 1

    @property
    def step(self) -> int:
        """Frames from the begin of one window to that of the next."""
        return self.hop or max(1, self.span // 2)


def starts(number: int, rule: ClipRule) -> list[int]:
    """First frame of every window of a clip of `number` frames."""
    if number <= rule.span:
        return [0]
    first = list(range(0, number - rule.span + 1, rule.step))
    return first if first[-1] == number - rule.span else [*first, number - rule.span]


def indices(start: int, number: int, rule: ClipRule) -> list[int]:
    """The frames of the window that begins at `start`, in a clip of `number` frames."""
    if number >= rule.span:
        return [start + place * rule.stride for place in range(rule.frames)]
    spread = np.linspace(0, number - 1, rule.frames)
    return [int(place) for place in spread.round()]


class Windows(Generic[Item]):
    """Windows of a stream whose length is not known: `over(items)` yields (first, last, items of the window).

    Equals `starts` and `indices` of the whole clip; at most `span` + `step` items are kept.
    """

    def __init__(self, rule: ClipRule) -> None:
        self._rule = rule

    def over(self, items: Iterable[Item]) -> Iterator[tuple[int, int, list[Item]]]:
        """Numbers count from the first item."""
        rule = self._rule
        kept: list[Item] = []
        offset = number = due = 0  # clip number of kept[0], items so far, begin of the next window
        last = -1
        for item in items:
            kept.append(item)
            number += 1
            if number == due + rule.span:
                yield due, number - 1, [kept[place - offset] for place in indices(due, number, rule)]
                last, due = due, due + rule.step
            drop = min(due, number - rule.span) - offset  # the last window may begin before the next that is due
            if drop > 0:
                del kept[:drop]
                offset += drop
        if not number:
            return
        final = max(0, number - rule.span)
        if final != last or last < 0:
            yield final, number - 1, [kept[place - offset] for place in indices(final, number, rule)]
