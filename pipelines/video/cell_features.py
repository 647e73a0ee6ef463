"""Features of a correlation filter: oriented gradients and colours of one target, by cells of a few pixels.

Gradients follow the histograms of Felzenszwalb et al. 2010 ("Object Detection with Discriminatively Trained Part-Based
Models", section 6.1): 18 signed and 9 unsigned directions, normalised by the energy around and cut off. In place of
colour names (van de Weijer et al. 2009), a table learnt from web pictures, the colours are those of the target itself:
soft memberships of a few clusters found around it in its first frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Features = NDArray[np.float32]

CELL = 4  # pixels
SIGNED = 18
_CUT = 0.25
_SPREAD = 18.0  # Lab units: how far a colour still counts as that of a cluster


def gradients(picture: Picture) -> Features:
    """H W 3 -> 27 h w with h = H / 4: signed directions, then unsigned ones, each 0 to about 0.3."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across: Features = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), np.float32)
    down: Features = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1), np.float32)
    signed = _directions(across, down)
    unsigned = signed[: SIGNED // 2] + signed[SIGNED // 2 :]
    energy = cv2.blur((unsigned**2).sum(axis=0), (3, 3), borderType=cv2.BORDER_REPLICATE)
    norm = 1.0 / np.sqrt(9 * energy + 1e-2 * CELL**4)
    return np.concatenate([np.minimum(signed * norm, _CUT), np.minimum(unsigned * norm, _CUT)])


def _directions(across: Features, down: Features) -> Features:
    """Derivatives H W -> 18 h w: the length of each pixel's gradient, shared by the two directions next to it."""
    force, angle = cv2.cartToPolar(across, down)
    rows, columns = force.shape[0] // CELL, force.shape[1] // CELL
    area = rows * columns
    place = np.asarray(angle, np.float32) * np.float32(SIGNED / (2 * np.pi))
    low = place.astype(np.int32)
    upper = force * (place - low)
    cells = (np.arange(force.shape[0])[:, None] // CELL) * columns + np.arange(force.shape[1])[None] // CELL
    bins = (low * area + cells.astype(np.int32)).ravel()
    total = np.bincount(bins, (force - upper).ravel(), (SIGNED + 1) * area)
    total[area:] += np.bincount(bins, upper.ravel(), (SIGNED + 1) * area)[:-area]
    total[:area] += total[-area:]  # the full turn is direction 0
    return total[:-area].reshape(SIGNED, rows, columns).astype(np.float32)


class Colours:
    """Soft memberships of the colour clusters of one target: `of(H W 3) -> K h w`, and `likeness` of pixels."""

    def __init__(self, picture: Picture, inside: NDArray[np.bool_], number: int = 10) -> None:
        """Clusters of the pixels of `picture`; `inside` H W marks the target."""
        lab = _lab(picture)
        colours = lab.reshape(-1, 3)
        rng = np.random.default_rng(0)
        pixels = (rng.permutation(np.flatnonzero(side.ravel()))[:1200] for side in (inside, ~inside))
        chosen = np.concatenate(list(pixels))
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 1.0)
        cv2.setRNGSeed(0)
        number = min(number, len(chosen))
        empty = np.empty((0, 1), np.int32)
        _, _, centres = cv2.kmeans(colours[chosen], number, empty, stop, 1, cv2.KMEANS_PP_CENTERS)
        self.centres = np.asarray(centres, np.float32)  # K 3

    def of(self, picture: Picture) -> Features:
        """H W 3 -> K h w, each cell's memberships less their mean."""
        rows, columns = picture.shape[0] // CELL, picture.shape[1] // CELL
        half = cv2.resize(picture, (2 * columns, 2 * rows), interpolation=cv2.INTER_AREA)
        lab = _lab(np.asarray(half, np.uint8)).reshape(-1, 3)
        near = self.centres @ lab.T  # K n; the square of lab is common to all clusters
        near -= 0.5 * (self.centres**2).sum(axis=1, keepdims=True)
        near -= near.max(axis=0)
        member = np.exp(near / np.float32(_SPREAD**2))
        member /= member.sum(axis=0)
        lines = member.reshape(-1, rows, 2, 2 * columns)
        lines = lines[:, :, 0] + lines[:, :, 1]  # sums by hand: numpy is slow along axes of two
        grid = (lines[..., ::2] + lines[..., 1::2]) / 4  # -> K h w
        return np.asarray(0.3 * (grid - grid.mean(axis=0)), np.float32)


def _lab(picture: Picture) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.float32)
