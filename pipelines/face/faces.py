"""What a found face is, for every command of the domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # H W 3, RGB, upright
Floats = NDArray[np.float64]

LANDMARKS = (
    "right_eye",
    "left_eye",
    "nose",
    "right_mouth",
    "left_mouth",
)  # the person's own sides: viewer's left first


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceQuality:
    """How much a face can be relied on. `size` shorter side of the box in pixels; `sharpness` 0..1, 0 is blurred;
    `yaw`, `pitch`, `roll` degrees from the landmarks (yaw > 0: turned to the viewer's right, pitch > 0: looks up,
    roll > 0: clockwise as seen); `brightness` mean 0..1; `clipped` share of black and white pixels; `inside` share of
    the box that lies in the picture."""

    size: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    brightness: float
    clipped: float
    inside: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """`box` x0 y0 x1 y1 and `landmarks` 5 2 (x y, in the order of `LANDMARKS`), pixels of the upright picture with
    the pixel-corner origin; `score` 0..1."""

    box: Floats
    landmarks: Floats
    score: float
    quality: FaceQuality

    def to_json(self) -> dict[str, Any]:
        """Plain values; landmarks by name."""
        return {
            "box": [round(float(value), 1) for value in self.box],
            "score": round(self.score, 4),
            "landmarks": {
                name: [round(float(x), 1), round(float(y), 1)]
                for name, (x, y) in zip(LANDMARKS, self.landmarks, strict=True)
            },
            "quality": {name: round(float(getattr(self.quality, name)), 3) for name in FaceQuality.__slots__},
        }
