"""Matching of found boxes to drawn boxes, and the figures that follow: precision, recall, F1 at one IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitapps.pipelines.windows.boxes import Floats, match

NEON_IOU = 0.4  # Weinstein et al. 2019, Remote Sensing 11(11) 1309


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """`hits` one-to-one matches, `found` boxes given, `drawn` boxes of the reference."""

    hits: int
    found: int
    drawn: int

    @property
    def precision(self) -> float:
        """hits / found; 0 when nothing was found."""
        return self.hits / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """hits / drawn; 0 when nothing was drawn."""
        return self.hits / self.drawn if self.drawn else 0.0

    @property
    def f1(self) -> float:
        """2 hits / (found + drawn); 0 when both are empty."""
        return 2 * self.hits / (self.found + self.drawn) if self.found + self.drawn else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(hits=self.hits + other.hits, found=self.found + other.found, drawn=self.drawn + other.drawn)


@dataclass(frozen=True, kw_only=True, slots=True)
class TileBoxes:
    """One tile: `boxes` n 4 with `scores` n as found, `drawn` m 4 as annotated; pixels, pixel-corner origin."""

    boxes: Floats
    scores: Floats
    drawn: Floats


def count(tiles: Sequence[TileBoxes], threshold: float, iou: float = NEON_IOU) -> Counts:
    """Counts over `tiles`, of boxes with a score of at least `threshold`."""
    total = Counts(hits=0, found=0, drawn=0)
    for tile in tiles:
        kept = tile.scores >= threshold
        hit = match(tile.boxes[kept], tile.scores[kept], tile.drawn, iou)
        total += Counts(hits=int(hit.sum()), found=int(kept.sum()), drawn=len(tile.drawn))
    return total


def best_threshold(tiles: Sequence[TileBoxes], iou: float = NEON_IOU) -> float:
    """The score threshold (0.05, 0.06 … 0.9) of the greatest F1; the lowest of equals."""
    grid = np.round(np.arange(0.05, 0.901, 0.01), 2)
    curve = np.array([count(tiles, float(value), iou).f1 for value in grid])
    return float(grid[curve.argmax()])
