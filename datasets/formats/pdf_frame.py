"""Between the pixels of a displayed PDF page and its user space (ISO 32000-1, 8.3.2.3 and 14.11.2)."""

from __future__ import annotations

from dataclasses import dataclass

from vitapps.datasets.formats.page_text import Box

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFrame:
    """`box`: what is shown of the page, x0 y0 x1 y1 in user space (y up). `rotation`: /Rotate, quarter turns clockwise
    in degrees. `width`, `height`: the displayed page in pixels."""

    box: Box
    rotation: int
    width: int
    height: int

    def to_pixels(self, x: float, y: float) -> Point:
        """User space to pixels of the displayed page (y down)."""
        x0, y0, x1, y1 = self.box
        u, v = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
        across, down = {0: (u, 1 - v), 90: (v, u), 180: (1 - u, v), 270: (1 - v, 1 - u)}[self.rotation]
        return across * self.width, down * self.height

    def to_user(self, x: float, y: float) -> Point:
        """Pixels of the displayed page to user space."""
        across, down = x / self.width, y / self.height
        u, v = {
            0: (across, 1 - down), 90: (down, across), 180: (1 - across, down), 270: (1 - down, 1 - across),
        }[self.rotation]  # fmt: skip
        x0, y0, x1, y1 = self.box
        return x0 + u * (x1 - x0), y0 + v * (y1 - y0)
