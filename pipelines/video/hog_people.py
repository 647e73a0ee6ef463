"""The classical finder of people, to compare with: histograms of oriented gradients and a linear support vector machine
(Dalal and Triggs 2005, sections 3 to 6), learnt from the same marked frames. With scikit-learn (`vitapps[face]`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vitapps.datasets.sets.people_in_clips import MarkedFrame, Pixels
from vitapps.pipelines.windows.boxes import box_iou, nms
from vitapps.require import require

Floats = NDArray[np.float64]
_CELL, _BLOCKS = 8, (15, 7)  # pixels; blocks of 2 x 2 cells in a window of 64 x 128
_BODY = 96  # pixels of a person in the 128 of a window
_STEP = 1.2  # from one size of the frame to the next
_LARGEST = 960  # pixels of the frame's longer side where the search begins: people of 64 pixels in one of 640
_NEGATIVES, _LEAST, _NMS_IOU = 12, -0.5, 0.4


@dataclass(frozen=True, slots=True)
class HogPeople:
    """`weights` 15 7 36 and `bias` of the machine."""

    weights: Floats
    bias: float

    def find(self, frame: MarkedFrame) -> tuple[Floats, Floats]:
        """Boxes n 4 and margins n of the windows that pass, at all sizes."""
        boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for scale, blocks in _pyramid(frame.pixels):
            windows = sliding_window_view(blocks, _BLOCKS, axis=(0, 1))  # h w 36 -> y x 36 15 7
            margin = np.einsum("yxfbc,bcf->yx", windows, self.weights, optimize=True) + self.bias
            y, x = np.nonzero(margin > _LEAST)
            low = np.stack([x * _CELL + 64 / 4, y * _CELL + (128 - _BODY) / 2], axis=1)
            boxes.append(np.concatenate([low, low + np.array([32, _BODY])], axis=1) / scale)
            scores.append(margin[y, x])
        found, margins = np.concatenate(boxes), np.concatenate(scores)
        kept = nms(found, margins, _NMS_IOU)
        return found[kept], margins[kept]


def train_hog(frames: Sequence[MarkedFrame], seed: int = 0) -> HogPeople:
    """Learnt from marked people and their mirror images, against windows without people and then against what the
    machine takes for people there. Raises MissingError without scikit-learn."""
    svm = require("sklearn.svm", extra="face")
    rng = np.random.default_rng(seed)
    people = [_window(pixels, box) for frame in frames for pixels, box in _both_ways(frame)]
    nobody = [_window(frame.pixels, box) for frame in frames for box in _elsewhere(frame, rng)]
    found = _fitted(svm, people, nobody, seed)
    nobody += [_window(frame.pixels, box) for frame in frames for box in _mistaken(found, frame)]
    return _fitted(svm, people, nobody, seed)


def _fitted(svm: ModuleType, people: Sequence[Pixels], nobody: Sequence[Pixels], seed: int) -> HogPeople:
    features = np.array([_blocks(window).ravel() for window in [*people, *nobody]])
    machine = svm.LinearSVC(C=0.01, class_weight="balanced", random_state=seed, max_iter=5000)
    machine.fit(features, np.arange(len(features)) < len(people))
    return HogPeople(machine.coef_.reshape(*_BLOCKS, 36), float(machine.intercept_[0]))


def _both_ways(frame: MarkedFrame) -> list[tuple[Pixels, Floats]]:
    mirrored = np.ascontiguousarray(frame.pixels[:, ::-1])
    width = frame.pixels.shape[1]
    pairs: list[tuple[Pixels, Floats]] = []
    for x0, y0, x1, y1 in frame.boxes.astype(np.float64):
        pairs += [(frame.pixels, np.array([x0, y0, x1, y1])), (mirrored, np.array([width - x1, y0, width - x0, y1]))]
    return pairs


def _window(pixels: Pixels, box: Floats) -> Pixels:
    """The 64 x 128 window in which the box is `_BODY` high and in the middle."""
    scale = _BODY / max(1.0, float(box[3] - box[1]))
    middle = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, 32 - scale * middle[0]], [0, scale, 64 - scale * middle[1]]])
    if scale < 0.5:  # a warp alone would skip lines
        pixels = np.asarray(cv2.blur(pixels, (round(1 / scale),) * 2), np.uint8)
    return np.asarray(cv2.warpAffine(pixels, matrix, (64, 128), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _elsewhere(frame: MarkedFrame, rng: np.random.Generator) -> list[Floats]:
    height, width = frame.pixels.shape[:2]
    tall = np.exp(rng.uniform(np.log(0.1 * height), np.log(0.9 * height), _NEGATIVES))
    low = rng.uniform(0, 1, (_NEGATIVES, 2)) * np.stack([width - 0.4 * tall, height - tall], axis=1)
    boxes = np.concatenate([low, low + np.stack([0.4 * tall, tall], axis=1)], axis=1)
    return list(boxes[_nobody(boxes, frame)])


def _mistaken(machine: HogPeople, frame: MarkedFrame) -> list[Floats]:
    boxes, margins = machine.find(frame)
    order = np.flatnonzero(_nobody(boxes, frame) & (margins > 0))
    return list(boxes[order[np.argsort(-margins[order])][:_NEGATIVES]])


def _nobody(boxes: Floats, frame: MarkedFrame) -> NDArray[np.bool_]:
    marked = np.concatenate([frame.boxes, frame.ignored]).astype(np.float64)
    return np.asarray((box_iou(boxes, marked) < 0.2).all(axis=1))


def _pyramid(pixels: Pixels) -> list[tuple[float, Floats]]:
    """Scales, and blocks h w 36 of the frame at each: people up to 0.75 of the height of the frame."""
    levels, scale = [], min(4.0, _LARGEST / max(pixels.shape[:2]))
    while min(scale * pixels.shape[0] / 128, scale * pixels.shape[1] / 64) >= 1:
        size = [round(scale * side) for side in pixels.shape[1::-1]]
        levels.append((scale, _blocks(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))))
        scale /= _STEP
    return levels


def _blocks(pixels: Pixels) -> Floats:
    """Normalised blocks h w 36 of a picture."""
    from skimage.feature import hog

    found = hog(pixels, pixels_per_cell=(_CELL, _CELL), cells_per_block=(2, 2), feature_vector=False, channel_axis=2)
    return np.asarray(found.reshape(*found.shape[:2], 36), np.float32)  # h w 2 2 9 -> h w 36
