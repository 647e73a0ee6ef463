"""Ink and its connected components: the pixels' own evidence of letters, at any size, without a network.

Coordinates are pixels of the grey picture given, origin at the outer corner of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Ints = NDArray[np.int32]
MIDDLE = (45, 210)  # shades between black and white
WINDOW = 51  # pixels over which light and contrast are taken as even
LOWEST = 4  # pixels: no letter that can be read is lower
FAINT = 0.2  # of the depth of the page's ink: a component that is nowhere deeper is a stain or shows through
LARGE = 12  # x-heights: a component as high or wide is no letter of body type


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """`boxes` n 4 (x0 y0 x1 y1) and `areas` n of the components of `ink` H W (1 where there is ink)."""

    ink: Grey
    boxes: Ints
    areas: Ints

    @property
    def heights(self) -> Ints:
        """n."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    @property
    def widths(self) -> Ints:
        """n."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    def chosen(self, which: NDArray[np.bool_]) -> Components:
        """Some of them."""
        return Components(ink=self.ink, boxes=self.boxes[which], areas=self.areas[which])


def binarise(grey: Grey) -> Grey:
    """1 where there is ink, H W -> H W: darker than its surroundings by a share of their deviation (Niblack 1986), and
    by more than the paper's grain, so that blank paper stays blank; and nothing that is faint throughout beside the
    page's other ink, as stains are and what shows through from the back."""
    if _is_bilevel(grey):
        return np.asarray(grey < 128, np.uint8)
    ink, depth = _darker_than_around(grey)
    return _without_stains(ink, depth)


def _darker_than_around(grey: Grey) -> tuple[Grey, NDArray[np.float32]]:
    """Niblack's ink, and how much darker than the mean around it each pixel is. In place, step by step: a page has
    eight million pixels, and each array of floats on the way would be 34 MB."""
    window = (WINDOW, WINDOW)
    step = np.asarray(
        cv2.sqrBoxFilter(grey, cv2.CV_32F, window, normalize=True, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    depth = cv2.blur(grey, window, borderType=cv2.BORDER_REPLICATE).astype(np.float32)  # the mean at first
    step -= depth * depth  # variance
    np.maximum(step, 0, out=step)
    cv2.sqrt(step, dst=step)
    step *= np.float32(0.35)
    np.maximum(step, np.float32(max(5.0, 3.0 * grain(grey))), out=step)
    depth -= grey
    return np.asarray(depth > step, np.uint8), depth


def _without_stains(ink: Grey, depth: NDArray[np.float32]) -> Grey:
    """The components of `ink` that are deep at one pixel at least (hysteresis, Canny 1986); both H W."""
    inked = ink > 0
    if not inked.any():
        return ink
    deep = inked & (depth > FAINT * float(np.percentile(depth[inked], 90)))
    count, labels = cv2.connectedComponents(ink, connectivity=8, ltype=cv2.CV_32S)
    kept = np.bincount(labels[deep], minlength=count) > 0
    clean = np.zeros_like(ink)
    clean[inked] = kept[labels[inked]]
    return clean


def _is_bilevel(grey: Grey) -> bool:
    shades = np.bincount(grey[::3, ::3].ravel(), minlength=256)
    return bool(shades[MIDDLE[0] : MIDDLE[1]].sum() < 0.01 * shades.sum()) and bool(shades[:128].any())


def grain(grey: Grey) -> float:
    """Standard deviation of the noise, from the median of second differences (Immerkaer 1996)."""
    part = grey[: grey.shape[0] // 2 * 2 : 2, :].astype(np.int16)
    if min(part.shape) < 3:
        return 0.0
    second = np.abs(2 * part[:, 1:-1] - part[:, :-2] - part[:, 2:])
    counts = np.bincount(second.ravel()).cumsum()
    low, high = np.searchsorted(counts, ((second.size - 1) // 2, second.size // 2), side="right").tolist()
    return float((low + high) / 2) / (0.6745 * 6**0.5)


def components_of(ink: Grey) -> Components:
    """Every 8-connected component."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_32S)
    found = stats[1:]  # row 0 is the paper
    boxes = np.column_stack([found[:, 0], found[:, 1], found[:, 0] + found[:, 2], found[:, 1] + found[:, 3]])
    return Components(ink=ink, boxes=boxes.astype(np.int32), areas=found[:, 4].astype(np.int32))


def letter_like(found: Components) -> NDArray[np.bool_]:
    """Which components could be letters by their shape alone: neither specks nor rules nor boxes."""
    width, height = found.widths, found.heights
    fill = found.areas / np.maximum(width * height, 1)
    likely = (height >= LOWEST) & (height < 400) & (width < 10 * height) & (height < 12 * width) & (fill > 0.08)
    return np.asarray(likely)


def x_height(found: Components) -> float:
    """Height of the small letters of body type in pixels: the commonest height, weighed by width; 0 without letters."""
    letters = found.chosen(letter_like(found) & (found.widths < 3 * found.heights))
    if len(letters.boxes) < 3:
        return 0.0
    mass = np.bincount(letters.heights, weights=np.minimum(letters.widths, 2 * letters.heights), minlength=8)
    smooth = np.convolve(mass, [0.5, 1, 0.5], "same")
    octave = np.array([smooth[max(0, int(0.85 * h)) : int(1.15 * h) + 2].sum() for h in range(len(smooth))])
    peak = int(octave.argmax())
    low, high = max(0, int(0.8 * peak)), int(1.2 * peak) + 2
    return float(low + smooth[low:high].argmax())
