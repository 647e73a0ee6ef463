"""Boxes drawn into frames, and a sheet of a few frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.tracks import TrackRow

Picture = NDArray[np.uint8]
COLOURS = ((255, 96, 48), (64, 176, 255), (255, 216, 0), (64, 224, 96), (224, 96, 255), (0, 224, 224), (255, 160, 200))


def draw_rows(pixels: Picture, rows: Sequence[TrackRow]) -> Picture:
    """A copy of the frame with the boxes of `rows`: full lines where tracked, thin where uncertain, grey where lost."""
    canvas = np.ascontiguousarray(pixels.copy())
    line = max(1, round(min(pixels.shape[:2]) / 240))
    for row in rows:
        colour = (160, 160, 160) if row.state == "lost" else COLOURS[(row.id - 1) % len(COLOURS)]
        low, high = (round(row.x), round(row.y)), (round(row.x + row.w), round(row.y + row.h))
        cv2.rectangle(canvas, low, high, colour, line * 2 if row.state == "tracked" else line)
        label = f"{row.id}" if row.state == "tracked" else f"{row.id} {row.state}"
        place = (max(0, low[0]), max(10 * line, low[1] - 3 * line))
        cv2.putText(canvas, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * line, colour, line, cv2.LINE_AA)
    return canvas


class ContactSheet:
    """Collects frames evenly over a clip of unknown length and writes them as one picture: at most `2 * number` are
    held, and every second one goes when there are more."""

    def __init__(self, number: int = 12, columns: int = 4, width: int = 320) -> None:
        self._number, self._columns, self._width = number, columns, width
        self._kept: list[Picture] = []
        self._step, self._count = 1, 0

    def wants(self) -> bool:
        """Whether the next frame is one of those that are kept, so that others need not be drawn."""
        return self._count % self._step == 0

    def add(self, pixels: Picture | None) -> None:
        """The next frame; None for one that is not wanted."""
        if pixels is not None and self.wants():
            height = max(1, round(pixels.shape[0] * self._width / pixels.shape[1]))
            small = cv2.resize(pixels, (self._width, height), interpolation=cv2.INTER_AREA)
            self._kept.append(np.asarray(small, np.uint8))
            if len(self._kept) >= 2 * self._number:
                self._kept = self._kept[::2]
                self._step *= 2
        self._count += 1

    def save(self, path: Path) -> None:
        """Write the sheet as PNG."""
        from PIL import Image

        places = np.unique(np.linspace(0, len(self._kept) - 1, min(self._number, len(self._kept))).round().astype(int))
        chosen = [self._kept[place] for place in places]
        columns = min(self._columns, len(chosen))
        rows = -(-len(chosen) // columns)
        height, width = chosen[0].shape[:2]
        sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
        for place, picture in enumerate(chosen):
            y, x = place // columns * height, place % columns * width
            sheet[y : y + height, x : x + width] = picture
        Image.fromarray(sheet).save(path, format="PNG")
