"""Readers of lines that read nothing: they give back fixed words, evenly spread over the crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FakeWord:
    """As `PlacedWord` of `vitapps.pipelines.document.line_crops`."""

    text: str
    x0: float
    x1: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FakeReading:
    """As `Reading` of `vitapps.pipelines.document.read_page`."""

    words: tuple[FakeWord, ...]
    certainty: float


class FakeReader:
    """Reads `text` in every crop with one confidence; keeps the sizes of what it was shown in `seen`."""

    def __init__(self, text: str = "ab cd", confidence: float = 0.9) -> None:
        self.text, self.confidence = text, confidence
        self.seen: list[tuple[int, int]] = []

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> list[FakeReading]:
        """One reading for each crop."""
        self.seen += [(crop.shape[0], crop.shape[1]) for crop in crops]
        return [self._reading(crop.shape[1]) for crop in crops]

    def _reading(self, width: int) -> FakeReading:
        parts = self.text.split()
        step = width / max(1, len(parts))
        words = (FakeWord(part, place * step, (place + 1) * step, self.confidence) for place, part in enumerate(parts))
        return FakeReading(tuple(words), self.confidence)
