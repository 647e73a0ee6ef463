"""A Ray Data source that is fed while it is read: a generator on the driver's node that yields works as they come in.

Ray Data pulls from it only as fast as its actor pool takes works up. Whoever reads it again after a fault gets the same
works in the same order, since the feeder keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

COLUMN = "work"
_WAIT = 0.02  # seconds between looks for a new work
_UNKNOWN = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)


class Feeder:
    """An actor that holds works by number, until `close`."""

    def __init__(self) -> None:
        self._works: list[bytes] = []
        self._closed = False

    def put(self, work: bytes) -> None:
        self._works.append(work)

    def close(self) -> None:
        self._closed = True

    def get(self, index: int) -> tuple[list[bytes], bool]:
        """Works from `index` on that are there, and whether more may come."""
        return self._works[index:], not self._closed


class Feed(Datasource):
    """The works of a feeder as blocks of one row."""

    def __init__(self, feeder: Any) -> None:
        self._feeder = feeder

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
        """One task, whatever `parallelism` is: there is one feeder."""
        feeder = self._feeder

        def read() -> Iterator[Any]:
            index, more = 0, True
            while more:
                works, more = ray.get(feeder.get.remote(index))
                for work in works:
                    yield pa.table({COLUMN: [work]})
                index += len(works)
                if more and not works:
                    time.sleep(_WAIT)

        return [ReadTask(read, _UNKNOWN)]
