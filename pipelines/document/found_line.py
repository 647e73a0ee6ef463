"""A line of writing as the finders give it, and the geometry they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box, Quad, box_of


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundLine:
    """`quad`: top left, top right, bottom right, bottom left of the ink, in pixels of the upright page. `slope`: how
    far it falls a pixel to the right. `x_height`: pixels, of its small letters or else an estimate. `score` 0 to 1.
    `light`: light letters on dark. `in_picture`: it lies on what looks like a picture."""

    quad: Quad
    slope: float = 0.0
    x_height: float = 0.0
    score: float = 1.0
    light: bool = False
    in_picture: bool = False

    @property
    def box(self) -> Box:
        """The upright box around it."""
        return box_of(self.quad)

    @property
    def height(self) -> float:
        """Pixels from top to foot at its left end."""
        return self.quad[3][1] - self.quad[0][1]


def slope_through(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """The slope of the straight line of least squares through n points, not all of one `x`."""
    apart = x - x.mean()
    return float(apart @ (y - y.mean()) / (apart @ apart))


def sloped_quad(x0: float, x1: float, top: float, foot: float, slope: float) -> Quad:
    """The quad from `x0` to `x1` whose upper edge meets x = 0 at `top`, its lower edge at `foot`."""
    return (
        (x0, top + slope * x0), (x1, top + slope * x1), (x1, foot + slope * x1), (x0, foot + slope * x0),
    )  # fmt: skip
