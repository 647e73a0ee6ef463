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


class ImageClip:
    """A `Clip` of pictures in the order of the numbers in their names; frame i stands at i / rate seconds."""

    def __init__(self, source: str, *, rate: float = 25.0) -> None:
        self._paths = list_pictures(source)
        self._rate = rate
        self.warnings: list[str] = []
        first = read_picture(self._paths[0]).pixels
        self.meta = ClipMeta(
            source=source, width=first.shape[1], height=first.shape[0], frames=len(self._paths), rate=rate,
            duration_s=len(self._paths) / rate, codec=self._paths[0].suffix.lstrip(".").lower(), pixel_format="rgb24",
            color_range="full", decoder="pictures", decoder_reason="a series of pictures",
        )  # fmt: skip
        missing = missing_numbers(self._paths)
        if missing:
            self._warn(f"{len(missing)} numbers are missing in the series, the first is {missing[0]}")

    def frames(self, start: float | None = None, end: float | None = None, stride: int = 1) -> Iterator[Frame]:
        numbered = ((index, index / self._rate) for index in range(len(self._paths)))
        for index, time in wanted(numbered, start, end, stride):
            yield self._frame(index, time)

    def frames_at(self, indices: Sequence[int]) -> Iterator[Frame]:
        for index in sorted(set(indices)):
            if index < len(self._paths):
                yield self._frame(index, index / self._rate)

    def times(self) -> NDArray[np.float64]:
        return np.arange(len(self._paths)) / self._rate

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


def missing_numbers(paths: Sequence[Path]) -> list[int]:
    """Gaps of a series whose names differ in their last number only; empty where the series has a regular step."""
    numbers = [int(found[-1]) for path in paths if (found := _DIGITS.findall(path.stem))]
    if len(numbers) != len(paths) or len(numbers) < 3:
        return []
    steps = np.diff(numbers)
    step = int(np.median(steps))
    if step < 1 or (steps < 1).any():
        return []
    return [
        low + step * k
        for low, gap in zip(numbers, steps, strict=False)
        for k in range(1, int(gap) // step)
    ]  # fmt: skip


def _printf(source: str) -> str:
    """A regular expression for a printf pattern."""
    parts = re.split(r"(%0?\d*d)", source)
    return "".join(r"\d+" if re.fullmatch(r"%0?\d*d", part) else re.escape(part) for part in parts)


def _natural(name: str) -> list[tuple[int, int | str]]:
    """`f10` after `f9`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in _DIGITS.split(name) if part]
