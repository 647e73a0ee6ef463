"""Arrays from one process to another through a shared file in memory: one copy to write, one to read, none through a
pipe. A segment belongs to the process that writes; it grows by being made anew."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_MEMORY = Path("/dev/shm")
_LEAST = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is said about arrays that lie one after the other in a segment: its file when it is new, their shapes."""

    path: str
    shapes: tuple[tuple[int, ...], ...]


class Sender:
    """Writes arrays for one receiver, who takes them out before the next are written."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def put(self, arrays: Sequence[Floats]) -> Parcel:
        """Copy float32 `arrays` into the segment, a larger one when they do not fit."""
        needed = sum(array.size for array in arrays) * 4
        path = ""
        if self._map is None or len(self._map) < needed:
            path = self._make(max(needed, _LEAST))
        assert self._map is not None
        start = 0
        for array in arrays:
            view = np.frombuffer(self._map, np.float32, array.size, start).reshape(array.shape)
            view[...] = array
            start += array.size * 4
        return Parcel(path, tuple(array.shape for array in arrays))

    def _make(self, size: int) -> str:
        number, path = tempfile.mkstemp(prefix="vitapps-", dir=_MEMORY if _MEMORY.is_dir() else None)
        try:
            os.ftruncate(number, size)
            self._map = mmap.mmap(number, size)
        finally:
            os.close(number)
        return path


class Receiver:
    """Reads what a `Sender` of another process put."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def take(self, parcel: Parcel) -> tuple[Floats, ...]:
        """Copies of the arrays. A new segment loses its name here, so that nothing is left of it after a kill."""
        if parcel.path:
            with open(parcel.path, "r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
            with suppress(OSError):
                os.unlink(parcel.path)
        assert self._map is not None
        found, start = [], 0
        for shape in parcel.shapes:
            size = int(np.prod(shape, dtype=np.int64))
            found.append(np.frombuffer(self._map, np.float32, size, start).reshape(shape).copy())
            start += size * 4
        return tuple(found)
