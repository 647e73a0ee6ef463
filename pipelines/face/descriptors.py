"""Hand-made descriptors of an aligned face: gradient histograms, Gabor energies, local binary patterns.

Each takes an aligned crop and gives one float32 row; distances between rows are meaningful after the square roots taken
here (Hellinger kernel) and a learnt projection (`embedder.py`).

- HOG: Dalal and Triggs 2005, cells normalised by the energy around them.
- LBP: uniform patterns of 8 neighbours, Ojala et al. 2002 (IEEE TPAMI 24(7)), histograms on a grid as in Ahonen et al.
  2006 (IEEE TPAMI 28(12)).
- Gabor: magnitudes of 5 scales and 8 orientations, Liu and Wechsler 2002 (IEEE TIP 11(4)), sampled on a grid.
"""

from __future__ import annotations

import math
from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vitapps.pipelines.face.faces import Pixels

Row = NDArray[np.float32]
SIZE = 112  # of the aligned crop
ORIENTATIONS = 9
_EPS = 1e-6


def prepared(crop: Pixels) -> Row:
    """The crop as grey in even light: difference of Gaussians, contrast limited (Tan and Triggs 2010, IEEE TIP 19(6),
    section II), faded out towards the corners, which show no face; 112 112 3 -> 112 112."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    grey = np.power(grey, 0.4)
    band = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.GaussianBlur(grey, (0, 0), 9)
    band = band / (np.sqrt((band**2).mean()) + _EPS)
    return cast(Row, (3 * np.tanh(band / 3) * _oval()).astype(np.float32))


def describe(crop: Pixels) -> dict[str, Row]:
    """The descriptors that templates are made of, by name, of a crop 112 112 3."""
    even = prepared(crop)
    return {
        "hog": np.concatenate([hog(even, 8), hog(_resized(even, 56), 8)]),
        "gabor": gabor(_resized(even, 64)),
    }


def hog(grey: Row, cell: int) -> Row:
    """Square roots of orientation histograms of cells of `cell` pixels; S S -> (S/cell)^2 * 9."""
    maps = orientation_energies(grey, ORIENTATIONS)
    side = grey.shape[0] // cell
    cells = np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in maps], axis=2)
    energy = cv2.blur(cells.sum(axis=2), (3, 3), borderType=cv2.BORDER_REPLICATE)
    return cast(Row, np.sqrt(cells / (energy[..., None] + 0.05)).ravel())


def orientation_energies(grey: Row, bins: int, *, signed: bool = False) -> Row:
    """Gradient strength by direction, shared between the two nearest of `bins` directions over half a turn (`signed`:
    over a whole one); S S -> bins S S."""
    turn = 2 * math.pi if signed else math.pi
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % turn * (bins / turn)
    low = np.floor(angle).astype(int) % bins
    share = angle - np.floor(angle)
    maps = np.zeros((bins, *grey.shape), np.float32)
    rows, columns = np.indices(grey.shape)
    maps[low, rows, columns] += strength * (1 - share)
    maps[(low + 1) % bins, rows, columns] += strength * share
    return maps


def lbp(grey: Row, radius: int, cell: int = 16) -> Row:
    """Square roots of histograms of the 59 uniform patterns at `radius` pixels in cells of `cell`."""
    code = np.zeros(grey.shape, np.uint8)
    for bit in range(8):
        angle = bit * math.pi / 4
        shift = np.array([[1, 0, radius * math.cos(angle)], [0, 1, radius * math.sin(angle)]], np.float32)
        other = cv2.warpAffine(
            grey, shift, grey.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        code |= (other > grey).astype(np.uint8) << bit
    labels = _uniform()[code]
    side = grey.shape[0] // cell
    blocks = labels.reshape(side, cell, side, cell).transpose(0, 2, 1, 3).reshape(side * side, -1)
    offsets = blocks + 59 * np.arange(side * side)[:, None]
    counts = np.bincount(offsets.ravel(), minlength=59 * side * side)
    return cast(Row, np.sqrt(counts / cell**2).astype(np.float32))


def gabor(grey: Row) -> Row:
    """Roots of Gabor magnitudes on an 8 x 8 grid; 64 64 -> 40 * 64. The picture wraps round: its rim is faded out."""
    answers = np.abs(fft.ifft2(fft.fft2(grey)[None] * _gabor_bank()))  # 40 64 64
    cells = answers.reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4))  # 40 8 8
    return cast(Row, np.sqrt(cells / (cells.mean(axis=(1, 2), keepdims=True) + _EPS)).ravel().astype(np.float32))


def _resized(grey: Row, side: int) -> Row:
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.float32)


@cache
def _oval() -> Row:
    """1 over the face, 0 in the corners; 112 112."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    distance = np.hypot((x - 56) / 50, (y - 62) / 62)
    return cast(Row, (1 / (1 + np.exp((distance - 1) * 14))).astype(np.float32))


@cache
def _uniform() -> NDArray[np.int64]:
    """Pattern of 8 bits -> 0..58: those with at most two changes round the circle one by one, all others together."""
    table = np.full(256, 58, np.int64)
    number = 0
    for code in range(256):
        turned = (code >> 1) | ((code & 1) << 7)
        if bin(code ^ turned).count("1") <= 2:
            table[code] = number
            number += 1
    return table


@cache
def _gabor_bank() -> NDArray[np.float32]:
    """Spectra of 5 scales (half an octave apart, from 4 pixels) and 8 orientations: bells round one frequency, one
    octave wide, so that the answers are analytic; 40 64 64."""
    y, x = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
    bank = []
    for scale in range(5):
        frequency = 0.25 / 2 ** (scale / 2)
        for turn in range(8):
            angle = turn * math.pi / 8
            u, v = x - frequency * math.cos(angle), y - frequency * math.sin(angle)
            bank.append(np.exp(-(u**2 + v**2) / (2 * (0.28 * frequency) ** 2)))
    return np.stack(bank).astype(np.float32)
