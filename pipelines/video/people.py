"""People in the frames of a clip: the embedded finder, and before a still camera what moves beside it.

Where the camera moves, a box that the finder is sure of begins a track. Before a still camera a box must move to begin
one, and then may be doubted somewhat: signs and posts stay where they are. Boxes that stand still, and things that move
in the shape of a person and were not found, go on with tracks that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.associate import AssociateSettings
from vitapps.pipelines.video.moving import MovingThings
from vitapps.pipelines.video.two_pass import TwoPassDetector
from vitapps.pipelines.windows.boxes import box_iou

DEFAULT_WEIGHTS = "people-finder"
Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
DOUBT = 0.3  # of the card's threshold: below it nothing is a person
BEGINS = AssociateSettings().begin
_MOVING, _FIRMER = 0.3, 0.2  # share of a box that moves, and what this adds to its score
_STILL = 0.15  # share of a box that moves, below which it stands still
_GOES_ON = AssociateSettings().strong  # score of what begins no track, but goes on with one as a strong detection
_UPRIGHT = (1.4, 4.5)  # height over width of a thing that may be a person
_NEW = 0.2  # IoU with what was found, up to which a moving thing is another


@dataclass(frozen=True, slots=True)
class PeopleSearch:
    """`find(pixels) -> (boxes n 4, scores n 0..1)` for frames in their order; `threshold` is that of the card, and
    the search gives boxes from `DOUBT` of it on; `moving` is None where the camera moves or nobody knows."""

    search: TwoPassDetector
    threshold: float
    moving: MovingThings | None = None

    def find(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """The people of the next frame, H W 3."""
        (found,) = self.search.steps([pixels])
        boxes, scores = found.boxes, rescaled(found.scores, self.threshold)
        mask = None if self.moving is None else self.moving.mask(pixels)
        if self.moving is None or mask is None:
            return boxes, scores
        share = _share(mask, boxes, pixels.shape)
        scores = np.minimum(scores + _FIRMER * (share >= _MOVING), np.where(share < _STILL, _GOES_ON, 1.0))
        things = upright(self.moving.things(mask, pixels.shape)[0])
        alone = things[(box_iou(things, boxes) <= _NEW).all(axis=1)]
        return np.concatenate([boxes, alone]), np.concatenate([scores, np.full(len(alone), _GOES_ON)])


def rescaled(scores: Floats, threshold: float) -> Floats:
    """Scores 0..1 brought to those of the association, straight from 0 over the threshold to 1."""
    return np.asarray(np.interp(scores, (0.0, threshold, 1.0), (0.0, BEGINS, 1.0)))


def upright(boxes: Floats) -> Floats:
    """Those that have the shape of a person who stands."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    tall = sides[:, 1] / sides[:, 0]
    return boxes[(tall >= _UPRIGHT[0]) & (tall <= _UPRIGHT[1])]


def _share(mask: Pixels, boxes: Floats, frame: tuple[int, ...]) -> Floats:
    """Share of every box (frame pixels) that is set in the mask, by an integral image."""
    total = cv2.integral(mask)  # h w -> h+1 w+1
    scale = np.array([mask.shape[1] / frame[1], mask.shape[0] / frame[0]] * 2)
    limit = np.array([mask.shape[1], mask.shape[0]] * 2)
    x0, y0, x1, y1 = np.clip(np.round(boxes * scale), 0, limit).astype(np.int64).T
    inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    return np.asarray(inside / np.maximum((x1 - x0) * (y1 - y0), 1))
