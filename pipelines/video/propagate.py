"""Masks from one frame to the next without training: flow carries them, colour, motion and edges correct them.

Evidence for an object at a pixel, as logits
    carried    the last mask warped by optical flow: its signed distance to the outline, weak where it was hidden
    colour     log ratio of the object's colours to those around it, most of which the first mask showed
    motion     whether the pixel moves with the object or with the background: where the two differ, and each is rigid
    box        how far the pixel lies beyond the box in which a tracker sees the object (`box_guide.py`)
A mean field in the manner of Krähenbühl and Koltun (2011, NeurIPS, eq. 3), whose pairwise term is a guided filter, then
moves the outline onto edges. All of it at about 240 lines; one frame is kept, so memory does not grow with the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.box_guide import BoxGuide
from vitapps.pipelines.video.edge_filter import GuidedFilter
from vitapps.pipelines.video.mask_colours import ColourModel, lab_of
from vitapps.pipelines.video.optical_flow import Floats, dense_flow, grey_of, uncovered, warp_back
from vitapps.pipelines.video.window import Look

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]
WORKING_HEIGHT = 240  # lines of the shorter side


@dataclass(frozen=True, kw_only=True, slots=True)
class PropagateConfig:
    """Lengths in pixels at the working size. `slope`: pixels from the outline that make one logit; `reach`: no pixel
    further outside the carried mask joins it; `guided`: a tracker looks after each object, at about 20 ms a frame."""

    slope: float = 4.0
    colour: float = 1.0
    motion: float = 2.0
    hidden: float = 0.8
    reach: float = 15.0
    guided: bool = True
    smoothness: float = 4.0
    radius: int = 6
    softness: float = 10.0
    rounds: int = 3


@dataclass(slots=True)
class _Object:
    """One object: its soft mask H W in 0..1 at the working size, and what it looks like."""

    number: int
    mask: Floats
    colours: ColourModel
    guide: BoxGuide | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Motion:
    """Flow to the frame before, H W 2; `hidden` 0..1 where that frame did not show the pixel."""

    backward: Floats
    hidden: Floats


class MaskPropagator:
    """Give it the first frame H W 3 with its labels H W (0: background), then every further frame through `step`."""

    def __init__(self, pixels: Pixels, labels: Labels, config: PropagateConfig | None = None) -> None:
        self._config = config or PropagateConfig()
        self._size = labels.shape[1], labels.shape[0]
        scale = min(1.0, WORKING_HEIGHT / min(labels.shape))
        self._small = max(8, round(labels.shape[1] * scale)), max(8, round(labels.shape[0] * scale))
        first = self._shrink(pixels)
        self._grey = grey_of(first)
        lab = lab_of(first)
        self._objects = []
        for number in np.unique(labels[labels > 0]):
            mask = np.asarray(self._shrink(255 * (labels == number).astype(np.uint8)) / 255, np.float32)
            guide = BoxGuide(pixels, labels == number, mask) if self._config.guided else None
            self._objects.append(_Object(int(number), mask, ColourModel(lab, mask), guide))

    def step(self, pixels: Pixels) -> Labels:
        """The labels H W of the next frame."""
        small = self._shrink(pixels)
        grey, lab = grey_of(small), lab_of(small)
        backward = dense_flow(grey, self._grey)
        motion = _Motion(backward=backward, hidden=uncovered(backward, dense_flow(self._grey, grey)))
        edges = GuidedFilter(lab, self._config.radius, self._config.softness)
        look = Look(pixels)  # its halves serve the trackers of all objects
        for item in self._objects:
            if item.guide is not None:
                item.guide.look(look, item.mask)
            item.mask = self._segment(item, lab, motion, edges)
        self._grey = grey
        self._settle_overlaps()
        for item in self._objects:
            if (item.mask > 0.5).any():
                item.colours.follow(lab, item.mask)
            if item.guide is not None:
                item.guide.learn(item.mask)
        return self._labels()

    def _segment(self, item: _Object, lab: Floats, motion: _Motion, edges: GuidedFilter) -> Floats:
        config = self._config
        arrived = warp_back(item.mask, motion.backward) > 0.5
        distance = signed_distance(arrived if item.guide is None else item.guide.rescued(arrived))
        if distance.max() <= 0:  # the object is gone
            return np.zeros_like(item.mask)
        carried = (distance / config.slope).clip(-6, 6)
        carried = carried * (1 - config.hidden * motion.hidden) - 0.5 * motion.hidden
        ratio = item.colours.ratio(lab)
        evidence = carried + config.colour * ratio
        evidence = evidence + config.motion * motion_evidence(motion.backward, distance)
        if item.guide is not None:
            evidence = evidence + item.guide.doubt(distance.shape)
        mask = _sigmoid(evidence)
        for _ in range(config.rounds):
            mask = _sigmoid(evidence + config.smoothness * (2 * edges(mask) - 1))
        mask[distance < -config.reach] = 0
        return mask

    def _settle_overlaps(self) -> None:
        """Of two objects at one pixel the likelier keeps it."""
        if len(self._objects) > 1:
            best = np.max([item.mask for item in self._objects], axis=0)
            for item in self._objects:
                item.mask = np.where(item.mask < best, np.minimum(item.mask, 1 - best), item.mask)

    def _labels(self) -> Labels:
        labels = np.zeros(self._size[::-1], np.uint8)
        for item in self._objects:
            labels[cv2.resize(item.mask, self._size, interpolation=cv2.INTER_LINEAR) > 0.5] = item.number
        return labels

    def _shrink(self, pixels: Pixels) -> Pixels:
        return np.asarray(cv2.resize(pixels, self._small, interpolation=cv2.INTER_AREA), np.uint8)


def signed_distance(inside: NDArray[np.bool_]) -> Floats:
    """Pixels to the outline, H W: positive inside, negative outside."""
    mask = inside.astype(np.uint8)
    within, without = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (mask, 1 - mask))
    return np.asarray(within - without, np.float32)


def motion_evidence(flow: Floats, distance: Floats) -> Floats:
    """-1..1, H W: moves with the background or with the object; 0 where both move alike or are too small to tell."""
    (own, own_share), (others, others_share) = _affine_motion(flow, distance > 2), _affine_motion(flow, distance < -8)
    to_own, to_others, apart = (np.linalg.norm(gap, axis=2) for gap in (flow - own, flow - others, own - others))
    leaning = ((to_others - to_own) / np.maximum(2, apart)).clip(-1, 1)
    trust = np.clip((min(own_share, others_share) - 0.4) / 0.3, 0, 1)
    return np.asarray(trust * leaning * np.minimum(1, apart / 3), np.float32)


def _affine_motion(flow: Floats, where: NDArray[np.bool_]) -> tuple[Floats, float]:
    """The affine motion that most pixels of `where` share, at every pixel H W 2, and the share of them."""
    y, x = np.nonzero(where)
    if len(x) < 40:
        return np.zeros_like(flow), 0.0
    picks = np.linspace(0, len(x) - 1, min(500, len(x))).astype(int)
    points = np.stack([x, y], axis=1)[picks].astype(np.float32)
    matrix, agrees = cv2.estimateAffine2D(
        points, points + flow[y, x][picks], method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=150
    )
    if matrix is None:
        return np.zeros_like(flow), 0.0
    height, width = flow.shape[:2]
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    moved = np.stack([across, down, np.ones_like(across)], axis=2) @ matrix.T  # H W 3 -> H W 2
    return np.asarray(moved - np.stack([across, down], axis=2), np.float32), float(np.mean(agrees))


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
