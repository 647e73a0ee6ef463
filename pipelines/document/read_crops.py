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
from vitapps.pipelines.document.recognise import DEFAULT_READER, Reading, Recogniser
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.require import require

_TOGETHER = 64  # crops in memory at a time
_PICKLES = (".pt", ".pth", ".ckpt", ".bin")  # our cards name no file of these kinds


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReading:
    """`frame` from 0 of a file with several pictures."""

    input: Path
    frame: int
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class CropReadings:
    """Readings in the order of files and frames, and the networks that read them."""

    readings: tuple[FileReading, ...]
    networks: tuple[NetworkFacts, ...]


def read_crops(files: Sequence[Path], *, weights: str | None = None, options: RunOptions | None = None) -> CropReadings:
    """Read every frame of every file; raises UnreadableInputError on the first that is no picture. `weights`: a card,
    or a published checkpoint: TrOCR (`hf:OWNER/REPO` or its folder), for crops of one word each MGP-STR (likewise) or
    PARSeq (its file)."""
    recogniser = load_reader(weights, options)
    frames = ((path, frame.frame, frame.pixels) for path in files for frame in read_frames(path))
    done: list[FileReading] = []
    waiting: list[tuple[Path, int, NDArray[np.uint8]]] = []
    for item in frames:
        waiting.append(item)
        if len(waiting) == _TOGETHER:
            done += _read(recogniser, waiting)
            waiting = []
    return CropReadings(readings=(*done, *_read(recogniser, waiting)), networks=recogniser.networks)


class CropReader(Protocol):
    """What reads crops H W 3 or H W uint8."""

    @property
    def networks(self) -> tuple[NetworkFacts, ...]: ...

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[Reading, ...]: ...


def load_reader(weights: str | None, options: RunOptions | None) -> CropReader:
    """The recogniser of a card or of a published checkpoint; raises MissingError and UsageError as these do."""
    if weights and _is_published(weights):
        require("torch", extra="train")
        from vitapps.pipelines.document.read_published import load_published_reader

        return load_published_reader(weights, options or RunOptions())
    return Recogniser.load(weights or DEFAULT_READER, options)


def _is_published(weights: str) -> bool:
    path = Path(weights)
    bare = path.suffix == ".safetensors" and path.is_file() and not path.with_suffix(".toml").exists()
    return weights.startswith("hf:") or path.is_dir() or path.suffix in _PICKLES or bare


def _read(recogniser: CropReader, items: list[tuple[Path, int, NDArray[np.uint8]]]) -> list[FileReading]:
    readings = recogniser.read([pixels for _, _, pixels in items])
    return [
        FileReading(input=path, frame=frame, reading=reading)
        for (path, frame, _), reading in zip(items, readings, strict=True)
    ]
