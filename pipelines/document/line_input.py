"""A crop of one line as the recogniser wants it: one height, ink 1 on paper 0 whatever the colours were."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

STEP = 4  # pixels: widths are multiples of it
LEAST_WIDTH = 16
LEAST_CONTRAST = 20.0  # grey values between paper and full ink at least: no noise is blown up to letters
Line = NDArray[np.float32]


def prepare_line(picture: NDArray[np.uint8], height: int) -> Line:
    """H W or H W 3, 0..255 -> height W' float32, W' a multiple of 4 in proportion to the picture.

    Paper is the median, which writing does not reach; where more of the picture's range lies above it than below, the
    writing is light on dark. Ink is the first percentile on its side.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    rows, columns = grey.shape
    width = max(LEAST_WIDTH, STEP * round(columns * height / rows / STEP))
    smooth = cv2.INTER_AREA if rows > height else cv2.INTER_CUBIC if rows < height else cv2.INTER_LINEAR
    scaled = cv2.resize(grey, (width, height), interpolation=smooth).astype(np.float32)
    paper = float(np.median(scaled))
    dark, light = (float(value) for value in np.percentile(scaled, (1, 99)))
    above, below = light - paper, paper - dark
    if above > below:
        ink = (scaled - paper) / max(above, LEAST_CONTRAST)
    else:
        ink = (paper - scaled) / max(below, LEAST_CONTRAST)
    line: Line = np.clip(ink, -0.5, 1.25).astype(np.float32)
    return line
