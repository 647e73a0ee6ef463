"""A crop of one line as the recogniser wants it: one height, ink 1 on paper 0 whatever the colours were."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.quantiles import shades_at

STEP = 4  # pixels: widths are multiples of it
SIDE = 8  # pixels of paper that are added before and behind the writing
LEAST_CONTRAST = 20.0  # grey values between paper and full ink at least: no noise is blown up to letters
MARGIN = 0.15
MOST_HEIGHTS = 400  # a wider picture, no line any more, is squeezed to so many of its heights
Line = NDArray[np.float32]


def prepare_line(
    picture: NDArray[np.uint8], height: int, stretch: float = 1.0, margin: float = MARGIN
) -> Line:  # fmt: skip
    """H W or H W 3, 0..255 -> height W' float32: the picture's own width in proportion, to a multiple of 4, between 8
    columns of paper on either side. Margins above and below the writing are first cut down to `margin` of its height.
    A picture that is lower than `height` is made `stretch` times wider: its letters stand too close to be parted."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    grey = without_margins(np.asarray(grey, np.uint8), margin)
    rows, columns = grey.shape
    wider = stretch if rows < height else 1.0
    width = STEP * round(min(columns * wider / rows, MOST_HEIGHTS) * height / STEP)
    smooth = cv2.INTER_AREA if rows > height else cv2.INTER_CUBIC if rows < height else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(grey, (max(STEP, width), height), interpolation=smooth), np.uint8)
    return np.pad(ink_of(small), ((0, 0), (SIDE, SIDE)))


def ink_of(grey: NDArray[np.uint8]) -> Line:
    """0 paper, 1 ink, H W. Paper is the median, which writing does not reach; where more of the picture's range lies
    above it than below, the writing is light on dark. Ink is the first percentile on its side."""
    return np.asarray(cv2.LUT(grey, _inks(grey)), np.float32)


def _inks(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The ink that each of the 256 shades stands for in a picture."""
    dark, paper, light = shades_at(grey, (1, 50, 99))
    shades = np.arange(256, dtype=np.float32)
    if light - paper > paper - dark:
        ink = (shades - paper) / max(light - paper, LEAST_CONTRAST)
    else:
        ink = (paper - shades) / max(paper - dark, LEAST_CONTRAST)
    return np.asarray(np.clip(ink, -0.5, 1.25), np.float32)


def without_margins(grey: NDArray[np.uint8], share: float = MARGIN) -> NDArray[np.uint8]:
    """Rows without ink above and below the writing are cut off but for `share` of its height; half of the picture's
    height stays in any case, so that a lone dash does not grow into a bar."""
    height = len(grey)
    inked = cv2.LUT(grey, (_inks(grey) > 0.5).astype(np.uint8))
    rows = np.flatnonzero(np.count_nonzero(inked, axis=1) >= 2)
    if not len(rows):
        return grey
    top, foot = int(rows[0]), int(rows[-1]) + 1
    margin = max(1, round(share * (foot - top)))
    top, foot = max(0, top - margin), min(height, foot + margin)
    short = height // 2 - (foot - top)
    if short > 0:
        top = max(0, top - short // 2)
        foot = min(height, top + height // 2)
    return grey[top:foot]
