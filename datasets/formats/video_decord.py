"""Video files through decord, for those who ask for it: it reads neither AV1 nor GIF, its last release is of 2021."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_types import Clip, ClipMeta, Frame, wanted
from vitapps.errors import UnreadableInputError
from vitapps.require import require

log = logging.getLogger("vitapps.video")


class DecordClip:
    """A `Clip` on decord's reader. Rotation and sample aspect are what decord makes of them."""

    def __init__(self, source: str, *, threads: int = 0) -> None:
        decord = require("decord", extra="decord")
        decord.logging.set_level(decord.logging.FATAL)
        self.warnings: list[str] = []
        try:
            self._reader: Any = decord.VideoReader(source, num_threads=threads)
            first = self._reader[0].asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise UnreadableInputError(f"{source}: decord cannot read it: {reason}", hint="--decoder pyav") from None
        stamps = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), np.float64)  # N 2
        self._times: NDArray[np.float64] = np.round(stamps[:, 0] - stamps[0, 0], 6)
        self.meta = ClipMeta(
            source=source, width=first.shape[1], height=first.shape[0], frames=len(self._times),
            rate=float(self._reader.get_avg_fps()), duration_s=float(stamps[-1, 1] - stamps[0, 0]),
            start_s=float(stamps[0, 0]), decoder="decord", decoder_reason="asked for",
        )  # fmt: skip

    def frames(self, start: float | None = None, end: float | None = None, stride: int = 1) -> Iterator[Frame]:
        numbered = ((index, float(time)) for index, time in enumerate(self._times))
        for index, time in wanted(numbered, start, end, stride):
            yield Frame(index=index, time_s=time, pixels=self._reader[index].asnumpy())

    def frames_at(self, indices: Sequence[int]) -> Iterator[Frame]:
        for index in sorted(set(indices)):
            if index < len(self._times):
                yield Frame(index=index, time_s=float(self._times[index]), pixels=self._reader[index].asnumpy())

    def times(self) -> NDArray[np.float64]:
        return self._times

    def close(self) -> None:
        self._reader = None

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
