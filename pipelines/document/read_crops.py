"""`vitapps doc read`: picture files of one line or word each -> what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_frames
from vitapps.options import RunOptions
from vitapps.pipelines.document.recognise import Reading, Recogniser
from vitapps.pipelines.runtime.network_facts import NetworkFacts

_TOGETHER = 64  # crops in memory at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReading:
    """`frame` from 0 of a file with several pictures."""

    input: Path
    frame: int
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class CropReadings:
    """Readings in the order of files and frames, and the network that read them."""

    readings: tuple[FileReading, ...]
    facts: NetworkFacts


def read_crops(files: Sequence[Path], *, weights: str | None = None, options: RunOptions | None = None) -> CropReadings:
    """Read every frame of every file; raises UnreadableInputError on the first that is no picture."""
    recogniser = Recogniser.load(weights, options)
    frames = ((path, frame.frame, frame.pixels) for path in files for frame in read_frames(path))
    done: list[FileReading] = []
    waiting: list[tuple[Path, int, NDArray[np.uint8]]] = []
    for item in frames:
        waiting.append(item)
        if len(waiting) == _TOGETHER:
            done += _read(recogniser, waiting)
            waiting = []
    return CropReadings(readings=(*done, *_read(recogniser, waiting)), facts=recogniser.facts)


def _read(recogniser: Recogniser, items: list[tuple[Path, int, NDArray[np.uint8]]]) -> list[FileReading]:
    readings = recogniser.read([pixels for _, _, pixels in items])
    return [
        FileReading(input=path, frame=frame, reading=reading)
        for (path, frame, _), reading in zip(items, readings, strict=True)
    ]
