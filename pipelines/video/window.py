"""Square windows of a frame, drawn at one size, and the halves of the frame that large windows are taken from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_FINE = 0.6  # window pixels a frame pixel from which no half is used


class Look:
    """A frame H W 3 whose halves are made once, when the first window wants them."""

    def __init__(self, frame: Picture) -> None:
        self._levels = [frame]

    @classmethod
    def at(cls, frame: Picture | Look) -> Look:
        """`frame` itself where it is one already."""
        return frame if isinstance(frame, Look) else cls(frame)

    @property
    def frame(self) -> Picture:
        return self._levels[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frame.shape

    def level(self, ratio: float) -> tuple[Picture, int]:
        """The frame made smaller by the power of two that leaves just enough for drawing at `ratio`, and that power's
        value. An odd last line or column is left out."""
        number = 0
        while ratio * 2**number < _FINE and min(self._level(number).shape[:2]) > 1:
            number += 1
        return self._level(number), 2**number

    def _level(self, number: int) -> Picture:
        while len(self._levels) <= number:
            last = self._levels[-1]
            height, width = (side // 2 for side in last.shape[:2])
            half = cv2.resize(last[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
            self._levels.append(np.asarray(half, np.uint8))
        return self._levels[number]


def crop(frame: Picture | Look, middle: Floats, extent: float, side: int) -> Picture:
    """side side 3: the square of `extent` pixels about `middle`, the border repeated outside the frame."""
    picture, halved = Look.at(frame).level(side / extent)
    scale = side / extent * halved
    corner = (middle - extent / 2) / halved
    height, width = picture.shape[:2]
    low = np.clip(np.floor(corner).astype(int), 0, [width - 1, height - 1])
    high = np.clip(np.ceil(corner + side / scale).astype(int), low + 1, [width, height])
    part = picture[low[1] : high[1], low[0] : high[0]]
    shift = (low - corner + 0.5) * scale - 0.5
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    moved = cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
