"""A folder or a numbered series of pictures as a clip."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture
from vitapps.datasets.formats.video_types import Clip, ClipMeta, Frame, wanted
from vitapps.errors import UnreadableInputError

log = logging.getLogger("vitapps.video")
_DIGITS = re.compile(r"(\d+)")
_FAR = 2**53  # between two numbers of one series
_LONGEST = 10  # times the pictures that are there


class ImageClip:
    """A `Clip` of pictures in the order of the numbers in their names, `rate` of them a second; where numbers of the
    series are missing, their time passes all the same."""

    def __init__(self, source: str, *, rate: float = 25.0) -> None:
        self._paths = list_pictures(source)
        places, gap = places_of(self._paths)
        self._times = places / rate
        self.warnings: list[str] = []
        first = read_picture(self._paths[0]).pixels
        self.meta = ClipMeta(
            source=source, width=first.shape[1], height=first.shape[0], frames=len(self._paths), rate=rate,
            duration_s=float(self._times[-1]) + 1 / rate, codec=self._paths[0].suffix.lstrip(".").lower(),
            pixel_format="rgb24", color_range="full", decoder="pictures", decoder_reason="a series of pictures",
        )  # fmt: skip
        if gap >= 0:
            missing = int(places[-1]) + 1 - len(places)
            self._warn(f"{missing} numbers are missing in the series, the first is {gap}; times keep the gaps")

    def frames(self, start: float | None = None, end: float | None = None, stride: int = 1) -> Iterator[Frame]:
        numbered = ((index, float(time)) for index, time in enumerate(self._times))
        for index, time in wanted(numbered, start, end, stride):
            yield self._frame(index, time)

    def frames_at(self, indices: Sequence[int]) -> Iterator[Frame]:
        for index in sorted(set(indices)):
            if index < len(self._paths):
                yield self._frame(index, float(self._times[index]))

    def times(self) -> NDArray[np.float64]:
        return self._times

    def close(self) -> None:
        return None

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _frame(self, index: int, time: float) -> Frame:
        pixels = read_picture(self._paths[index]).pixels
        if pixels.shape[:2] != (self.meta.height, self.meta.width):
            raise UnreadableInputError(
                f"{self._paths[index]}: {pixels.shape[1]} x {pixels.shape[0]} pixels,"
                f" the series has {self.meta.width} x {self.meta.height}",
                hint="a clip has frames of one size; move other pictures elsewhere",
            )
        return Frame(index=index, time_s=round(time, 6), pixels=pixels)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        log.warning("%s: %s", self.meta.source, text)


def list_pictures(source: str) -> list[Path]:
    """Pictures of a folder, a printf pattern (`%05d`) or a glob, by the numbers in their names; UnreadableInputError
    where there are none."""
    folder = Path(source)
    if folder.is_dir():
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    else:
        pattern, number = re.subn(r"%0?\d*d", "*", source)
        found = [Path(name) for name in glob.glob(pattern)]
        if number:
            exact = re.compile(_printf(source))
            found = [path for path in found if exact.fullmatch(str(path))]
    if not found:
        raise UnreadableInputError(f"{source}: no pictures there", hint="check the folder or the pattern")
    return sorted(found, key=lambda path: _natural(path.name))


def places_of(paths: Sequence[Path]) -> tuple[NDArray[np.int64], int]:
    """Which picture of the whole series each one is, from 0, and the first number that is missing (-1: none).

    By the last number of the names, where these rise in a regular step (the median one) with gaps; other names, and
    gaps that would make the series `_LONGEST` times as long (times of day, say), count one after another.
    """
    numbers = [int(found[-1]) for path in paths if (found := _DIGITS.findall(path.stem))]
    in_turn = np.arange(len(paths))
    if len(numbers) != len(paths) or len(numbers) < 3 or max(numbers) - min(numbers) > _FAR:
        return in_turn, -1
    steps = np.diff([number - numbers[0] for number in numbers])
    step = int(np.median(steps))
    if step < 1 or (steps < 1).any():
        return in_turn, -1
    places = np.concatenate([[0], np.cumsum(np.maximum(steps // step, 1))])
    gaps = np.flatnonzero(np.diff(places) > 1)
    if not len(gaps) or places[-1] >= _LONGEST * len(paths):
        return in_turn, -1
    return places, numbers[gaps[0]] + step


def _printf(source: str) -> str:
    """A regular expression for a printf pattern."""
    parts = re.split(r"(%0?\d*d)", source)
    return "".join(r"\d+" if re.fullmatch(r"%0?\d*d", part) else re.escape(part) for part in parts)


def _natural(name: str) -> list[tuple[int, int | str]]:
    """`f10` after `f9`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in _DIGITS.split(name) if part]
