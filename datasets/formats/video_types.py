"""What a clip is to the rest of the program: frames with their times, and what the container says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """`index` from 0 in the whole clip; `time_s` seconds since the clip begins, from its presentation timestamp;
    `pixels` H W 3 uint8 RGB as a player shows them (upright, square pixels)."""

    index: int
    time_s: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipMeta:
    """`width`, `height` of the frames that come out; `frames` as the container claims (0: it does not say); `rate`
    mean frames a second; `rotation` degrees counter-clockwise that were applied; `sample_aspect` width / height of a
    stored pixel; `start_s` the container's own time of the clip's begin; `color_range` full, limited or unknown."""

    source: str
    width: int
    height: int
    frames: int = 0
    rate: float = 0.0
    duration_s: float = 0.0
    codec: str = ""
    pixel_format: str = ""
    color_range: str = "unknown"
    rotation: int = 0
    sample_aspect: float = 1.0
    start_s: float = 0.0
    has_audio: bool = False
    decoder: str = "pyav"
    decoder_reason: str = ""
    notes: tuple[str, ...] = field(default=())


class Clip(Protocol):
    """An open clip. `warnings` grows while frames are read: broken tails, missing frames, made-up times."""

    meta: ClipMeta
    warnings: list[str]

    def frames(self, start: float | None = None, end: float | None = None, stride: int = 1) -> Iterator[Frame]:
        """Every `stride`-th frame with start <= time < end (seconds); one in memory at a time."""
        ...

    def frames_at(self, indices: Sequence[int]) -> Iterator[Frame]:
        """The frames of these numbers, in rising order, each once; the same pixels as reading from the begin."""
        ...

    def times(self) -> NDArray[np.float64]:
        """Seconds of every frame, without decoding pixels where the container allows it."""
        ...

    def close(self) -> None:
        """Free the decoder."""
        ...

    def __enter__(self) -> Clip: ...

    def __exit__(self, *_: object) -> None: ...


def wanted(
    frames: Iterator[tuple[int, float]], start: float | None, end: float | None, stride: int
) -> Iterator[tuple[int, float]]:
    """Those of (index, time) with start <= time < end, every `stride`-th; stops at the first past `end`."""
    low, high = -np.inf if start is None else start, np.inf if end is None else end
    kept = 0
    for index, time in frames:
        if time >= high:
            return
        if time < low - 1e-9:
            continue
        if kept % stride == 0:
            yield index, time
        kept += 1
