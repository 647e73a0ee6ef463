"""Matching of found boxes to drawn boxes, and the figures that follow: precision, recall, F1 at one IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitapps.pipelines.windows.boxes import Floats, match


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
class FoundBoxes:
    """One picture: `boxes` n 4 with `scores` n as found, `drawn` m 4 as annotated; pixels, pixel-corner origin."""

    boxes: Floats
    scores: Floats
    drawn: Floats


def count(pictures: Sequence[FoundBoxes], threshold: float, iou: float) -> Counts:
    """Counts over `pictures`, of boxes with a score of at least `threshold`."""
    total = Counts(hits=0, found=0, drawn=0)
    for picture in pictures:
        kept = picture.scores >= threshold
        hit = match(picture.boxes[kept], picture.scores[kept], picture.drawn, iou)
        total += Counts(hits=int(hit.sum()), found=int(kept.sum()), drawn=len(picture.drawn))
    return total
