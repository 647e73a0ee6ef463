"""What a label number means: name, colour and clinical code, as viewers and DICOM want it."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

GOLDEN = 0.6180339887498949  # successive hues are as far apart as any number of them allows


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelInfo:
    """One label. `color` is sRGB 0..255, `snomed` a SNOMED CT code with its meaning, `side` left, right or empty.

    `optional`: written only when it is asked for.
    """

    value: int
    name: str
    color: tuple[int, int, int] = (255, 0, 0)
    snomed: tuple[str, str] | None = None
    side: str = ""
    optional: bool = False


def hue_color(rank: int) -> tuple[int, int, int]:
    """Colour number `rank` of an endless list in which near ranks differ strongly."""
    level = (1.0, 0.8, 0.92)[rank % 3]
    saturation = (0.85, 0.65, 0.5)[(rank // 3) % 3]
    red, green, blue = colorsys.hsv_to_rgb((rank * GOLDEN) % 1.0, saturation, level)
    return round(red * 255), round(green * 255), round(blue * 255)


def label_dtype_name(infos: Sequence[LabelInfo]) -> str:
    """Smallest unsigned type that holds every value: uint8 or uint16."""
    return "uint8" if max((info.value for info in infos), default=0) <= 255 else "uint16"
