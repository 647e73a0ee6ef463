"""What a tracker knows of an object's mask: about where it ends, and, where the mask is lost, how it looked before.

A mask that is carried by flow alone leaks into what moves along with the object (its shadow) and dies behind a pole.
The tracker (`single.py`) follows the box of the first mask for itself, and what lies beyond its box is doubted. A mask
that keeps beyond it all the same is the better witness of the two, so the doubt counts as far as the box of the last
mask and the tracker's agreed. A mask of which little is left inside the box is begun again from its usual shape.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.optical_flow import Floats
from vitapps.pipelines.video.single import Sighting, SingleTracker
from vitapps.pipelines.video.window import Look
from vitapps.pipelines.windows.boxes import box_iou

Pixels = NDArray[np.uint8]
Inside = NDArray[np.bool_]
_SHAPE = 64  # cells a side of the remembered shape
_WIDER = 1.5  # boxes wide that it shows
_RATE = 0.05  # of learning it, a frame
_MARGIN = 0.1  # of the box's sides, that a mask may reach beyond it
_FADE = 4.0  # pixels over which the doubt grows
_DOUBT = 4.0  # logits against what lies beyond, up to 1.5 times this
_APART, _TOGETHER = 0.4, 0.7  # IoU of the two boxes from which they agree a little, and wholly
_LEFT = 0.3  # of the usual area: less is lost
_SURE, _UNSURE = 0.6, 0.2  # scores of the tracker that are believed wholly, and not at all


class BoxGuide:
    """Made from the first frame H W 3 and where the object is in it, H W; `look` at each further frame, then ask. Soft
    masks are h w, of the working size."""

    def __init__(self, pixels: Pixels, inside: Inside, mask: Floats) -> None:
        self._ratio = mask.shape[1] / pixels.shape[1]
        box = _box_of(inside)
        self._tracker = SingleTracker(pixels, box)
        self._trust, self._agreed, self._box = 1.0, 1.0, box * self._ratio
        self._shape = self._cut(mask)

    def look(self, frame: Pixels | Look, mask: Floats) -> None:
        """Take the next frame; `mask` is that of the last."""
        if (mask > 0.5).any():
            overlap = float(box_iou(_box_of(mask > 0.5)[None], self._box[None])[0, 0])
            self._agreed = float(np.clip((overlap - _APART) / (_TOGETHER - _APART), 0, 1))
        seen: Sighting = self._tracker.update(frame)
        self._trust = 0.0 if seen.state == "lost" else float(np.clip((seen.score - _UNSURE) / (_SURE - _UNSURE), 0, 1))
        self._box = seen.box * self._ratio

    def doubt(self, shape: tuple[int, ...]) -> Floats:
        """Logits h w against what lies beyond the box, 0 inside; `shape` h w."""
        grown = np.minimum(self._beyond(shape) / _FADE, 1.5)
        return np.asarray(-self._trust * self._agreed * _DOUBT * grown, np.float32)

    def rescued(self, carried: Inside) -> Inside:
        """`carried` itself, or the usual shape in the box where hardly anything of it is left there."""
        if self._trust < 0.5:
            return carried
        usual = self._paste(carried.shape) > 0.5
        within = self._beyond(carried.shape) == 0
        if (carried & within).sum() >= _LEFT * usual.sum():
            return carried
        return np.asarray((carried | usual) & within)

    def learn(self, mask: Floats) -> None:
        """Take in the mask that was found."""
        if self._trust > 0.5:
            self._shape += _RATE * (self._cut(mask) - self._shape)

    def _beyond(self, shape: tuple[int, ...]) -> Floats:
        """Pixels h w from the box with its margin, 0 inside."""
        margin = np.tile(_MARGIN * (self._box[2:] - self._box[:2]), 2) * [-1, -1, 1, 1]
        x0, y0, x1, y1 = self._box + margin
        y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
        away = np.maximum(np.maximum(x0 - x, x - x1), np.maximum(y0 - y, y - y1))
        return np.asarray(away.clip(0), np.float32)

    def _cut(self, mask: Floats) -> Floats:
        way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(np.asarray(mask, np.float32), self._matrix(), (_SHAPE, _SHAPE), flags=way)
        return np.asarray(moved, np.float32)

    def _paste(self, shape: tuple[int, ...]) -> Floats:
        return np.asarray(cv2.warpAffine(self._shape, self._matrix(), shape[1::-1]), np.float32)

    def _matrix(self) -> NDArray[np.float64]:
        """2 3: from the cells of the shape to the pixels of the mask."""
        middle, wide = (self._box[:2] + self._box[2:]) / 2, _WIDER * (self._box[2:] - self._box[:2])
        corner, step = middle - wide / 2, wide / _SHAPE
        return np.array([[step[0], 0, corner[0]], [0, step[1], corner[1]]])


def _box_of(inside: Inside) -> NDArray[np.float64]:
    y, x = np.nonzero(inside)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float64)
