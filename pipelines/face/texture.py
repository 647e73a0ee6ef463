"""What the surface of a face crop looks like: colour LBP at several scales and statistics of residuals.

- Local binary patterns, uniform, 8 neighbours (Ojala, Pietikäinen, Mäenpää 2002, IEEE TPAMI 24(7)), of every channel of
  YCbCr and HSV, as Boulkenafet, Komulainen, Hadid 2016 (IEEE TIFS 11(8)) use them against prints and replays; here at
  radius 1 and 2 of the crop and radius 1 of its half.
- Signs and sizes of neighbouring high-pass residuals (a short co-occurrence after Fridrich and Kodovský 2012, IEEE TIFS
  7(3)): moire, print dots and recompression change them.
Histograms carry square roots, so that inner products are those of Hellinger's kernel.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 96  # pixels a side of the crop
Floats = NDArray[np.float32]
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def texture(crop: NDArray[np.uint8]) -> Floats:
    """Features of a face crop, H W 3 uint8 RGB of any size -> D float32."""
    way = cv2.INTER_AREA if crop.shape[0] > SIZE else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(crop, (SIZE, SIZE), interpolation=way), np.uint8)
    half = np.asarray(cv2.resize(small, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA), np.uint8)
    parts = [patterns(small, 1), patterns(small, 2), patterns(half, 1), residuals(small)]
    return np.concatenate(parts).astype(np.float32)


def patterns(pixels: NDArray[np.uint8], radius: int) -> Floats:
    """Square roots of the 59-bin histograms of uniform patterns of Y, Cb, Cr, H, S, V: 354."""
    channels = np.concatenate(
        [cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb), cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)], axis=2
    )  # H W 6
    found = []
    for plane in channels.transpose(2, 0, 1).astype(np.int16):
        height, width = plane.shape
        inner = plane[radius : height - radius, radius : width - radius]
        code = np.zeros(inner.shape, np.uint8)
        for bit, (down, right) in enumerate(_RING):
            y, x = radius * (1 + down), radius * (1 + right)
            code |= (plane[y : y + inner.shape[0], x : x + inner.shape[1]] >= inner).astype(np.uint8) << bit
        found.append(np.bincount(_uniform()[code].ravel(), minlength=59) / code.size)
    return np.asarray(np.sqrt(np.concatenate(found)), np.float32)


def residuals(pixels: NDArray[np.uint8]) -> Floats:
    """Square roots of co-occurrences of quantised second differences along rows and columns, by channel: 375."""
    found = []
    for plane in cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb).transpose(2, 0, 1).astype(np.float32):
        along = plane[:, :-2] - 2 * plane[:, 1:-1] + plane[:, 2:]
        down = (plane[:-2] - 2 * plane[1:-1] + plane[2:]).T
        counts = np.zeros(125)
        for change in (along, down):
            steps = (change / 3).round().clip(-2, 2).astype(int) + 2  # five levels
            triples = 25 * steps[:, :-2] + 5 * steps[:, 1:-1] + steps[:, 2:]
            counts += np.bincount(triples.ravel(), minlength=125)
        found.append(counts / counts.sum())
    return np.asarray(np.sqrt(np.concatenate(found)), np.float32)


@cache
def _uniform() -> NDArray[np.uint8]:
    """Code 0..255 -> bin: 58 patterns with at most two changes around the ring, all others in bin 58."""
    codes = np.arange(256)
    bits = (codes[:, None] >> np.arange(8)) & 1  # 256 8
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    table = np.full(256, 58, np.uint8)
    table[changes <= 2] = np.arange(58)
    return table
