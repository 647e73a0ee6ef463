"""The mask of the first frame: as painted, or grown within boxes and around points by GrabCut (Rother et al. 2004)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.mask_series import VOID, read_index_png
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.video.starts import Prompt, box_in, check_begin, grown_around

log = logging.getLogger("vitapps.video")
Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]
First = Callable[[Pixels], Labels]  # the first frame H W 3 -> its labels H W
GROWN = "the first mask was grown from boxes and points by GrabCut: look at it, and paint one where it is wrong"
_MOST_OBJECTS = 32  # more different values are shades of grey
_ASPECT = 0.02  # by how much the shape of a mask may differ from the frame's before it cannot belong to it
_AROUND = 0.5  # of the box's sides, how far around it GrabCut looks for the colours of the ground
_LEAST = 0.08  # of the box: less is no object, and the ellipse in the box is taken
_LONGEST = 480  # pixels of the part's longer side at which GrabCut works


class FirstMasks:
    """The first masks, each waiting for its second: a mask for second `at`, boxes and points for their own, or `at`.
    Objects are numbered in the order boxes, points. Raises UsageError for no object, both ways of telling or a second
    before `at`, UnreadableInputError for a file without an object."""

    def __init__(
        self, mask: Path | None, boxes: Sequence[Prompt] = (), points: Sequence[Prompt] = (), *, at: float = 0.0
    ) -> None:
        prompts = [*boxes, *points]
        if mask is not None and prompts:
            raise UsageError("--mask with --box or --point: one of them", hint="number several objects in the mask")
        if mask is None and not prompts:
            raise UsageError("nothing to follow is given", hint="--mask first.png, --box x,y,w,h or --point x,y")
        check_begin(prompts, at)
        self._at = at
        self._mask = None if mask is None else read_first_mask(mask)
        self._boxes = dict(enumerate(boxes, 1))
        self._points = dict(enumerate(points, 1 + len(boxes)))

    @property
    def seconds(self) -> list[float]:
        """When those that still wait want to begin, the earliest first."""
        waiting = [*self._boxes.values(), *self._points.values()]
        return sorted([self._second(prompt) for prompt in waiting] + [self._at] * (self._mask is not None))

    def due(self, pixels: Pixels, time_s: float) -> Labels | None:
        """Labels H W of those that begin with this frame, each given once; None where there are none. Raises UsageError
        for what does not fit the picture."""
        moment = time_s + 1e-9
        if self._mask is not None and self._at <= moment:
            mask, self._mask = self._mask, None
            return fit_mask(mask, pixels.shape[:2])
        boxes, points = (
            {number: prompt for number, prompt in waiting.items() if self._second(prompt) <= moment}
            for waiting in (self._boxes, self._points)
        )
        if not boxes and not points:
            return None
        for number in (*boxes, *points):
            self._boxes.pop(number, None)
            self._points.pop(number, None)
        grown = grown_labels(pixels, list(boxes.values()), list(points.values()))
        return np.array([0, *boxes, *points], np.uint8)[grown]

    def _second(self, prompt: Prompt) -> float:
        return self._at if prompt.at is None else prompt.at


def grown_labels(pixels: Pixels, boxes: Sequence[Prompt], points: Sequence[Prompt] = ()) -> Labels:
    """Object numbers H W from 1 on in the order boxes, points; where masks overlap the smaller one shows. Raises
    UsageError for what lies outside the picture or is hidden by others."""
    masks = [mask_in_box(pixels, box_in(pixels, prompt)) for prompt in boxes]
    masks += [grown_around(pixels, prompt) for prompt in points]
    labels = np.zeros(pixels.shape[:2], np.uint8)
    for place in sorted(range(len(masks)), key=lambda number: -int(masks[number].sum())):
        labels[masks[place]] = place + 1
    if hidden := [prompt for place, prompt in enumerate([*boxes, *points], 1) if not (labels == place).any()]:
        raise UsageError(f"{hidden[0]}: other objects cover it wholly", hint="give each object once")
    return labels


def mask_in_box(pixels: Pixels, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """H W: what differs in colour from the surroundings of the box x0 y0 x1 y1, inside it; the ellipse in the box where
    that is next to nothing."""
    height, width = pixels.shape[:2]
    margin = np.tile(_AROUND * (box[2:] - box[:2]), 2) * [-1, -1, 1, 1]
    x0, y0, x1, y1 = np.clip(np.round(box + margin), 0, [width, height] * 2).astype(int)
    part = np.ascontiguousarray(pixels[y0:y1, x0:x1, ::-1])
    inner = np.clip(np.round(box - [x0, y0, x0, y0]), 0, [x1 - x0, y1 - y0] * 2)
    scale = min(1.0, _LONGEST / max(part.shape[:2]))
    small = np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    marks = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    a0, b0, a1, b1 = np.round(inner * scale).astype(int)
    marks[b0:b1, a0:a1] = cv2.GC_PR_FGD
    middle, half = ((a0 + a1) // 2, (b0 + b1) // 2), ((a1 - a0) // 2, (b1 - b0) // 2)
    seed = np.zeros_like(marks)
    cv2.ellipse(seed, middle, (max(1, half[0] // 4), max(1, half[1] // 4)), 0, 0, 360, 1, -1)
    found = np.zeros(small.shape[:2], bool)
    if (marks == cv2.GC_BGD).any():
        cv2.setRNGSeed(0)
        cv2.grabCut(small, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
        found = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    if found.sum() < _LEAST * max(1, (a1 - a0) * (b1 - b0)):
        cv2.ellipse(seed, middle, (max(1, half[0]), max(1, half[1])), 0, 0, 360, 1, -1)
        found = seed > 0
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = np.asarray(cv2.resize(found.astype(np.float32), part.shape[1::-1])) > 0.5
    return mask


def read_first_mask(path: Path) -> Labels:
    """H W of object numbers; UnreadableInputError where no object is marked."""
    labels = read_index_png(path)
    if len(np.unique(labels)) > _MOST_OBJECTS:  # soft edges of a painted mask, not object numbers
        log.warning("%s: grey edges are cut at half brightness: one object", path)
        labels = (labels > 127).astype(np.uint8)
    labels[labels == VOID] = 0
    if not labels.any():
        raise UnreadableInputError(f"{path}: marks no object", hint="paint the object white, or number several 1, 2, 3")
    return labels


def fit_mask(labels: Labels, size: tuple[int, int]) -> Labels:
    """The mask at the frame's H W; UsageError where its shape says that it belongs to another clip."""
    if labels.shape == size:
        return labels
    height, width = labels.shape
    if abs(width / height * size[0] / size[1] - 1) > _ASPECT:
        raise UsageError(
            f"the mask has {width} x {height} pixels, the frame {size[1]} x {size[0]}",
            hint="draw it on the first frame as a player shows it: a phone's clip may be turned",
        )
    log.warning("the mask of %d x %d pixels is scaled to the frame", width, height)
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
