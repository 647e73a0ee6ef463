"""Pages that are light on dark throughout, as negatives and dark screens are: told and turned to dark on light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.components import WINDOW

Grey = NDArray[np.uint8]
LOOK = 1000  # pixels of the longer side at which a page is looked at
DARK = 110  # grey value: the usual shade of a dark page is lower
LEAN = 0.35  # of -1 to 1: strokes lighter than their ground outweigh darker ones by so much


def dark_on_light(grey: Grey) -> Grey:
    """The page H W itself, or its negative where it is light on dark."""
    return np.asarray(255 - grey, np.uint8) if is_negative(grey) else grey


def is_negative(grey: Grey) -> bool:
    """Whether a page is dark for the most part and its strokes lighter than what is around them. A page on a dark
    desk or with a black border has strokes darker than their ground, and stays."""
    if float(np.median(grey[::7, ::7])) >= DARK:
        return False
    scale = min(1.0, LOOK / max(grey.shape))
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return lean(np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)) > LEAN


def lean(grey: Grey) -> float:
    """How far what stands out from its surroundings is lighter (1) or darker (-1) than these: the third moment about
    the local mean over its absolute value, 0 for an even picture."""
    around = cv2.blur(grey, (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)
    cubes = (grey.astype(np.float64) - around) ** 3
    return float(cubes.sum() / max(np.abs(cubes).sum(), 1e-9))
