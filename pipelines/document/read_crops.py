"""`vitapps doc read`: picture files of one line or word each -> what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_frames
from vitapps.options import RunOptions
from vitapps.pipelines.document.recognise import Reading, Recogniser
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.require import require

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
    """Read every frame of every file; raises UnreadableInputError on the first that is no picture. `weights`: a card,
    or a published MGP-STR checkpoint (`hf:OWNER/REPO` or its folder) for crops of one word each."""
    recogniser = _reader(weights, options)
    frames = ((path, frame.frame, frame.pixels) for path in files for frame in read_frames(path))
    done: list[FileReading] = []
    waiting: list[tuple[Path, int, NDArray[np.uint8]]] = []
    for item in frames:
        waiting.append(item)
        if len(waiting) == _TOGETHER:
            done += _read(recogniser, waiting)
            waiting = []
    return CropReadings(readings=(*done, *_read(recogniser, waiting)), facts=recogniser.facts)


class _CropReader(Protocol):
    @property
    def facts(self) -> NetworkFacts: ...

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[Reading, ...]: ...


def _reader(weights: str | None, options: RunOptions | None) -> _CropReader:
    if weights and (weights.startswith("hf:") or Path(weights).is_dir()):
        require("torch", extra="train")
        from vitapps.pipelines.document.read_words import WordReader

        return WordReader.load(weights, options)
    return Recogniser.load(weights, options)


def _read(recogniser: _CropReader, items: list[tuple[Path, int, NDArray[np.uint8]]]) -> list[FileReading]:
    readings = recogniser.read([pixels for _, _, pixels in items])
    return [
        FileReading(input=path, frame=frame, reading=reading)
        for (path, frame, _), reading in zip(items, readings, strict=True)
    ]
