"""Copies within a picture: SIFT matched with itself, similarity transforms by RANSAC, then a dense check.

Amerini et al. 2011 (IEEE TIFS 6(3)): generalised second-nearest-neighbour test and geometric verification. The mask
comes from the picture laid over itself by each transform found: where it fits, source and copy are marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

KEYPOINTS = 6000  # at most; the strongest are kept
RATIO = 0.6  # of a match's distance to that of the next: Amerini et al. take 0.5
APART = 24.0  # pixels between source and copy at least
MIN_INLIERS = 6
MAX_TRANSFORMS = 8
FIT = 0.80  # local correlation from which a place fits on its copy
TYPICAL_FIT = 0.95  # median of that over the inliers: things that only look alike, as windows of a house do, stay below
LONGEST = 1600  # side in pixels at which the search is done
Points = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfMatch:
    """`mask` H W float32 in 0..1, source and copy; `inliers` of the strongest transform, 0 where none was found."""

    mask: NDArray[np.float32]
    inliers: int


def self_match(pixels: NDArray[np.uint8]) -> SelfMatch:
    """Copies in RGB H W 3 uint8; repeated patterns of the scene itself (tiles, windows) are found as well."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    first, second = _matches(grey)
    mask = np.zeros(grey.shape, np.float32)
    strongest = 0
    for _ in range(MAX_TRANSFORMS):
        found = _transform(first, second)
        if found is None:
            break
        matrix, inliers = found
        region = _region(grey, matrix, first[inliers])
        if region.any():
            strongest = max(strongest, int(inliers.sum()))
        mask = np.maximum(mask, region)
        first, second = first[~inliers], second[~inliers]
    full = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return SelfMatch(mask=np.asarray(full, np.float32), inliers=strongest)


def _matches(grey: NDArray[np.uint8]) -> tuple[Points, Points]:
    """Pairs of places that look alike, each N 2 (x, y)."""
    none = np.zeros((0, 2), np.float32)
    finder = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.01, edgeThreshold=20)
    keypoints, descriptors = finder.detectAndCompute(grey, None)
    if descriptors is None or len(keypoints) < 2 * MIN_INLIERS:
        return none, none
    places = np.array([point.pt for point in keypoints], np.float32)  # N 2
    unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)
    pairs = [_nearest(places, unit, start) for start in range(0, len(unit), 1024)]
    index = np.concatenate([item[0] for item in pairs])
    partner = np.concatenate([item[1] for item in pairs])
    keep = index != partner
    return places[index[keep]], places[partner[keep]]


def _nearest(places: Points, unit: NDArray[np.float32], start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Matches of 1024 descriptors from `start` that pass the ratio test: (index, partner)."""
    rows = slice(start, start + 1024)
    far = np.square(places[rows, None] - places[None]).sum(axis=2) > APART**2  # n N
    alike = np.where(far, unit[rows] @ unit.T, -1.0)  # cosine, n N
    order = np.argpartition(-alike, 2, axis=1)[:, :3]
    values = np.take_along_axis(alike, order, axis=1)
    sorting = np.argsort(-values, axis=1)
    order, values = np.take_along_axis(order, sorting, axis=1), np.take_along_axis(values, sorting, axis=1)
    distance = np.sqrt(np.maximum(2 - 2 * values, 0))  # of unit vectors
    good = (distance[:, 0] < RATIO * distance[:, 1]) | (distance[:, 1] < RATIO * distance[:, 2])
    good &= distance[:, 0] < 0.5
    index = np.arange(len(order)) + start
    return index[good], order[good, 0]


def _transform(first: Points, second: Points) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """The similarity transform with most agreement, 2 3, and which pairs agree; None where too few do."""
    if len(first) < MIN_INLIERS:
        return None
    cv2.setRNGSeed(0)
    matrix, agrees = cv2.estimateAffinePartial2D(
        first, second, method=cv2.RANSAC, ransacReprojThreshold=3.0, maxIters=4000, confidence=0.999
    )
    if matrix is None or int(agrees.sum()) < MIN_INLIERS:
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    return (np.asarray(matrix, np.float64), agrees[:, 0].astype(bool)) if 0.25 < scale < 4 else None


def _region(grey: NDArray[np.uint8], matrix: NDArray[np.float64], first: Points) -> NDArray[np.float32]:
    """Where the picture fits on itself, at the sources and at the copies, H W in 0..1; `first` N 2 lie in sources."""
    height, width = grey.shape
    fits = _fit(grey, matrix)
    if float(np.median(_at(fits, first))) < TYPICAL_FIT:
        return np.zeros(grey.shape, np.float32)
    source = _near(fits > FIT, first)
    copy = cv2.warpAffine(source.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.maximum(source.astype(np.float32), copy.astype(np.float32))


def _fit(grey: NDArray[np.uint8], matrix: NDArray[np.float64], window: int = 7) -> NDArray[np.float32]:
    """Correlation over a square of the picture at a place and at its image under `matrix`, H W."""
    height, width = grey.shape
    here = grey.astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(here, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-1)
    size = (window, window)
    mean, other = cv2.blur(here, size), cv2.blur(there, size)
    product = cv2.blur(here * there, size) - mean * other
    variances = (cv2.blur(here * here, size) - mean**2, cv2.blur(there * there, size) - other**2)
    fit = (product + 4.0) / np.sqrt((variances[0] + 4.0).clip(4) * (variances[1] + 4.0).clip(4))
    alike = np.abs(mean - other) < 25  # a flat sky is not a copy of a flat wall
    return np.where(alike & (there >= 0), fit, 0).astype(np.float32)


def _near(fits: NDArray[np.bool_], points: Points) -> NDArray[np.bool_]:
    """The parts of `fits`, closed and cleaned, in which enough of `points` lie."""
    cleaned = cv2.morphologyEx(fits.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(cleaned, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    _, labels = cv2.connectedComponents(closed)
    counts = np.bincount(_at(labels, points), minlength=labels.max() + 1)
    counts[0] = 0
    return np.asarray((counts >= 3)[labels])


def _at(values: NDArray[Any], points: Points) -> NDArray[Any]:
    """Values H W at the nearest pixels of `points` N 2."""
    x, y = points.round().astype(int).T
    return np.asarray(values[y.clip(0, values.shape[0] - 1), x.clip(0, values.shape[1] - 1)])
