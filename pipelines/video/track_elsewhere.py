"""Trackers that are not installed with vitapps (OpenCV's contributed ones, NanoTrack's files), as they were measured
earlier on the six sequences of `benchmarks/`: one pass from the first box, opencv-contrib-python 5.0.0.93, CPU time on
one thread of another machine. Shown beside those same sequences, and only there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SEQUENCES = frozenset({"car-shadow", "kite-surf", "libby", "motocross-jump", "otb_Crossing", "vot2018_bag"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """`auc` mean success over the six sequences, 0..1; `ms` CPU milliseconds a frame."""

    tracker: str
    auc: float
    ms: float


_MEASURED = (
    ("cv2-contrib MOSSE", 0.349, 2.2), ("cv2-contrib MedianFlow", 0.371, 1.1), ("cv2-contrib KCF", 0.436, 59.9),
    ("cv2-contrib CSRT", 0.521, 42.6), ("NanoTrack v1", 0.648, 5.3), ("NanoTrack v2", 0.666, 4.8),
)  # fmt: skip


def measured_elsewhere(sequences: Iterable[str]) -> list[Elsewhere]:
    """What is known of exactly these sequences: nothing, unless they are the six."""
    if set(sequences) != _SEQUENCES:
        return []
    return [Elsewhere(tracker=tracker, auc=auc, ms=ms) for tracker, auc, ms in _MEASURED]
