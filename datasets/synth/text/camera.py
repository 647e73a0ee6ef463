"""What a camera adds to a line that a flat-bed scanner does not: bent paper, moire of a screen, the other side of the
leaf, few dots an inch, light from one side. H W 0..255 grey in and out; sizes are pixels of the picture.

Moire is not drawn: the stripes of a screen, about as fine as the camera's pixels, are looked at once a pixel, and what
one sees is their beat (Amidror 2009, The Theory of the Moire Phenomenon, ch. 2). Bent paper is a cylinder whose axis
stands upright, as beside the fold of a book (Cao, Ding and Liu 2003): columns move up and down along a smooth curve.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
BENT = 0.22  # of the height: how far a column moves at most
STRIPES = (0.85, 1.2)  # pixels from one stripe of the screen to the next
DEEP = 0.35  # of the light that the stripes take at most
FAINT = (0.05, 0.35)  # of its ink: what shows through
FEWEST = 0.45  # of the dots an inch
DIM = 0.55  # of the light that is missing at the dark end


def by_camera(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """One or several of the defects below, drawn from `rng`; `strength` 0 gives the picture itself."""
    if strength <= 0:
        return picture
    chosen = rng.random(len(DEFECTS)) < 0.35
    chosen[rng.integers(len(DEFECTS))] = True
    for defect, wanted in zip(DEFECTS, chosen, strict=True):
        picture = defect(picture, rng, strength) if wanted else picture
    return picture


def shown_through(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """The back of the leaf: the line itself mirrored, moved along, blurred and faint."""
    ink = 255 - np.roll(picture[:, ::-1], int(rng.integers(picture.shape[1])), axis=1).astype(np.float32)
    ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(0.7, 1.6))), np.float32)
    return _grey(picture - strength * rng.uniform(*FAINT) * ink * (picture / np.float32(255)))


def bent(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """The line on paper that is not flat; the picture grows by what its columns move, in the shade of the paper."""
    height, width = picture.shape
    most = strength * BENT * height
    room = int(np.ceil(most))
    tall = np.pad(picture, ((room, room), (0, 0)), constant_values=int(np.percentile(picture, 80)))
    places = np.linspace(0, 1, width)
    curve = rng.uniform(-1, 1) * np.sin(np.pi * places) + rng.uniform(-0.5, 0.5) * np.sin(2 * np.pi * places)
    down = most * curve / max(float(np.abs(curve).max()), 1.0)
    y, x = np.mgrid[: tall.shape[0], :width].astype(np.float32)
    moved = cv2.remap(tall, x, (y - down).astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def on_screen(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """The line on a screen whose stripes beat with the camera's pixels."""
    step, angle = rng.uniform(*STRIPES), rng.uniform(-0.15, 0.15)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / step
    lit = 1 - strength * rng.uniform(0.3, 1.0) * DEEP * (0.5 + 0.5 * np.cos(phase + rng.uniform(0, 2 * np.pi)))
    return _grey(picture * lit)


def few_dots(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """Seen with fewer dots an inch and enlarged again."""
    height, width = picture.shape
    share = 1 - strength * rng.uniform(0.1, 1 - FEWEST)
    size = max(4, round(width * share)), max(4, round(height * share))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def lit_from_a_side(picture: Grey, rng: Generator, strength: float = 1.0) -> Grey:
    """Light that falls off along the line, and a little from its top to its foot."""
    along = np.linspace(0, 1, picture.shape[1]) if rng.random() < 0.5 else np.linspace(1, 0, picture.shape[1])
    down = np.linspace(0, 0.3 * rng.uniform(-1, 1), picture.shape[0])
    share = 1 - strength * rng.uniform(0.2, 1.0) * DIM * np.clip(along[None, :] + down[:, None], 0, 1)
    return _grey(picture * share)


DEFECTS: tuple[Callable[[Grey, Generator, float], Grey], ...] = (
    shown_through, bent, on_screen, few_dots, lit_from_a_side
)  # fmt: skip


def _grey(picture: NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)
