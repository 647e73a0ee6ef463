"""What moves before a still camera: differences from the median of frames that are spread over the clip.

The median of a pixel over time is its background wherever something covers it in less than half of the frames
(Cucchiara et al. 2003, "Detecting Moving Objects, Ghosts and Shadows in Video Streams", section 3). No network, no
classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import Clip, is_url
from vitapps.errors import UsageError

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_HEIGHT = 360  # lines of the shorter side at work
_FRAMES = 25  # of which the background is the median
_LEAST = 22.0  # grey values of 255 that a pixel differs by
_SMALLEST = 4e-4  # share of the frame that a thing covers
_DRIFT = 7.0  # grey values that the middle pixel differs by in a usual frame of a camera that moves
_ALL = 0.4  # share of the frame beyond which the camera has moved, or the light has changed


class MovingThings:
    """`find(pixels) -> (boxes n 4 as x0 y0 x1 y1, scores n in 0.6..1)` for frames of the clip; `still`: the camera was.

    Raises UsageError for a stream, which cannot be looked through beforehand.
    """

    def __init__(self, clip: Clip) -> None:
        if is_url(clip.meta.source):
            raise UsageError(
                f"{clip.meta.source}: a stream without detections", hint="--detections FILE or --detect-weights"
            )
        total = len(clip.times())
        wanted = sorted({int(place) for place in np.linspace(0, max(0, total - 1), _FRAMES)}) if total else []
        frames = [self._small(frame.pixels) for frame in clip.frames_at(wanted)]
        self._background = np.median(frames, axis=0).astype(np.uint8) if frames else None
        self.still = self._background is not None and self._drift(frames, self._background) < _DRIFT

    def find(self, pixels: Picture) -> tuple[Floats, Floats]:
        """The things of one frame; none where most of it differs."""
        mask = self.mask(pixels)
        return (np.zeros((0, 4)), np.zeros(0)) if mask is None else self.things(mask, pixels.shape)

    @staticmethod
    def things(mask: Picture, frame: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Those of a `mask` of a frame of shape H W 3, as `find` gives them."""
        number, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        stats = stats[1:number][stats[1:number, cv2.CC_STAT_AREA] > _SMALLEST * mask.size]
        boxes = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1).astype(np.float64)
        filled = stats[:, cv2.CC_STAT_AREA] / np.maximum(stats[:, 2] * stats[:, 3], 1)
        scale = np.array([frame[1] / mask.shape[1], frame[0] / mask.shape[0]] * 2)
        return boxes * scale, 0.6 + 0.4 * filled

    def mask(self, pixels: Picture) -> Picture | None:
        """What moves, 0 or 1, h w of the size at work; None where most of the frame differs from the background."""
        small = self._small(pixels)
        if self._background is None or small.shape != self._background.shape:
            return None
        apart = self._apart(small, self._background)
        limit = max(_LEAST, 4 * float(np.median(apart)))
        mask = (apart > limit).astype(np.uint8)
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
        tall = max(5, len(mask) // 24)  # people fall into head, shirt and trousers
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((tall, 5), np.uint8)), np.uint8)
        return None if mask.mean() > _ALL else mask

    @classmethod
    def _drift(cls, frames: Sequence[Picture], background: Picture) -> float:
        """By how much the middle pixel of the middle frame differs from the background."""
        return float(np.median([np.median(cls._apart(frame, background)) for frame in frames]))

    @staticmethod
    def _apart(small: Picture, background: Picture) -> Picture:
        """How far each pixel is from the background: the most of its colours, h w 3 -> h w."""
        return np.asarray(cv2.absdiff(small, background).max(axis=2), np.uint8)

    @staticmethod
    def _small(pixels: Picture) -> Picture:
        scale = min(1.0, _HEIGHT / min(pixels.shape[:2]))
        size = max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale))
        return np.asarray(cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (5, 5), 0), np.uint8)
