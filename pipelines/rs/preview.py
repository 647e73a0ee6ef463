"""A picture of what was found: the searched area reduced to screen size, boxes drawn on top."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.raster import Window
from vitapps.pipelines.rs.gsd import Scale
from vitapps.pipelines.rs.scan import Picture
from vitapps.pipelines.windows.boxes import Floats, Ints

_COLOURS = ((255, 64, 32), (64, 160, 255), (255, 216, 0), (64, 224, 96), (224, 96, 255))
_NOTHING = 128  # grey of nodata


class Preview:
    """Collects reduced blocks while the search reads them, so that the raster is read once."""

    def __init__(self, area: Window, longest: int = 1600) -> None:
        """`area` in model pixels; the picture is at most `longest` pixels a side."""
        self.area = area
        wide, deep = area[2] - area[0], area[3] - area[1]
        self.factor = min(1.0, longest / max(wide, deep))
        size = max(1, round(deep * self.factor)), max(1, round(wide * self.factor))
        self.canvas: NDArray[np.uint8] = np.full((*size, 3), _NOTHING, np.uint8)  # H W 3

    def add(self, picture: Picture) -> None:
        """Paste the block's own part."""
        from PIL import Image

        x0, y0, x1, y1 = picture.block.core
        left, top = picture.block.rect[:2]
        u0, v0, u1, v1 = self._place(np.array([[x0, y0, x1, y1]]))[0].round().astype(int)
        if u1 <= u0 or v1 <= v0:
            return
        part = picture.rgb[:, y0 - top : y1 - top, x0 - left : x1 - left].copy()
        part[:, ~picture.valid[y0 - top : y1 - top, x0 - left : x1 - left]] = _NOTHING
        whole = Image.fromarray(np.ascontiguousarray(part.transpose(1, 2, 0)))
        self.canvas[v0:v1, u0:u1] = np.asarray(whole.resize((int(u1 - u0), int(v1 - v0)), Image.Resampling.BOX))

    def save(self, path: Path, boxes: Floats, labels: Ints, scale: Scale) -> None:
        """Draw `boxes` n 4 (raster pixels), coloured by label, and write a PNG."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(self.canvas)
        draw = ImageDraw.Draw(image)
        line = 2 if self.factor >= 0.5 else 1
        placed = self._place(boxes * (scale.x, scale.y, scale.x, scale.y))
        for (x0, y0, x1, y1), label in zip(placed.tolist(), labels.tolist(), strict=True):
            draw.rectangle(
                (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=_COLOURS[label % len(_COLOURS)], width=line
            )
        image.save(path, format="PNG")

    def _place(self, boxes: Floats | Ints) -> Floats:
        """Model pixels n 4 -> pixels of the picture."""
        deep, wide = self.canvas.shape[:2]
        ratio = wide / (self.area[2] - self.area[0]), deep / (self.area[3] - self.area[1])
        return np.asarray((boxes - np.tile(self.area[:2], 2)) * (*ratio, *ratio), float)
