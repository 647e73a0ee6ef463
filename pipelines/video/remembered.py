"""How an object looked before it was lost, and where in a whole frame something looks like that.

While an object goes behind something its tracker still learns, and its box shrinks or stretches. So the look from some
frames before the loss is what is searched for: the filter as it was then, and a small picture of the object, which
normalised cross-correlation finds anywhere in the frame at once (Lewis 1995, "Fast Normalized Cross-Correlation").
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.track_filter import FilterTracker
from vitapps.pipelines.video.window import Look

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
_SIDE = 20.0  # pixels: root of the object's area in the small picture
_EVERY = 8  # good frames from one remembered look to the next
_LEAST = 4  # pixels a side of a picture that can be found


@dataclass(frozen=True, kw_only=True, slots=True)
class _LookBefore:
    """`ratio`: small pixels a frame pixel; `picture` None: too small, or at the border of the frame."""

    filter: FilterTracker
    picture: Picture | None
    ratio: float


class Remembered:
    """`note` good frames; `filter` and `places` then tell of the look at least `_EVERY` good frames before the last."""

    def __init__(self, frame: Look, tracker: FilterTracker) -> None:
        self._old = self._new = self._take(frame, tracker)
        self._count = 0

    def note(self, frame: Look, tracker: FilterTracker) -> None:
        """A frame in which the object was seen well."""
        self._count += 1
        if self._count % _EVERY == 0:
            self._old, self._new = self._new, self._take(frame, tracker)

    def filter(self, middle: Floats) -> FilterTracker:
        """The filter as it was, at another place."""
        found = self._old.filter.copy()
        found.middle = middle
        return found

    def places(self, frame: Look, number: int) -> list[Floats]:
        """Centres x y in the frame of the `number` places that look most like the object, best first."""
        picture = self._old.picture
        if picture is None:
            return []
        small = _shrunk(frame, self._old.ratio)
        height, width = picture.shape[:2]
        if small.shape[0] < height or small.shape[1] < width:
            return []
        alike = cv2.matchTemplate(small, picture, cv2.TM_CCOEFF_NORMED)
        found = []
        for _ in range(number):
            row, column = np.unravel_index(int(alike.argmax()), alike.shape)
            found.append(np.array([column + width / 2, row + height / 2]) / self._old.ratio)
            alike[max(0, row - height // 2) : row + height // 2 + 1,
                  max(0, column - width // 2) : column + width // 2 + 1] = -1  # fmt: skip
        return found

    @staticmethod
    def _take(frame: Look, tracker: FilterTracker) -> _LookBefore:
        ratio = float(min(1.0, _SIDE / np.sqrt(tracker.size.prod())))
        small = _shrunk(frame, ratio)
        x0, y0, x1, y1 = np.round(tracker.box * ratio).astype(int)
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, small.shape[1]), min(y1, small.shape[0])
        whole = min(x1 - x0, y1 - y0) >= _LEAST
        picture = small[y0:y1, x0:x1].copy() if whole else None
        return _LookBefore(filter=tracker.copy(), picture=picture, ratio=ratio)


def _shrunk(frame: Look, ratio: float) -> Picture:
    size = max(1, round(frame.shape[1] * ratio)), max(1, round(frame.shape[0] * ratio))
    return np.asarray(cv2.resize(frame.level(ratio)[0], size, interpolation=cv2.INTER_AREA), np.uint8)
