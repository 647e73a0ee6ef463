"""MOSSE and KCF, written anew from their papers, for `video eval track`: neither changes the size of its box.

MOSSE: Bolme, Beveridge, Draper and Lui 2010 ("Visual Object Tracking using Adaptive Correlation Filters", equations 10
to 12). KCF: Henriques, Caseiro, Martins and Batista 2015 ("High-Speed Tracking with Kernelized Correlation Filters",
algorithm 1), Gaussian kernel on gradient histograms, constants of its table 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.cell_features import CELL, gradients
from vitapps.pipelines.video.window import crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Spectra = NDArray[np.complex128]
_SIDE = 96  # pixels a side of the window that both see
_MOSSE_REACH, _MOSSE_RATE, _MOSSE_VIEWS = 2.0, 0.125, 8  # of the box's longer side; eta of equation 12; equation 10
_KCF_REACH, _KCF_RATE, _RIDGE, _KERNEL = 2.5, 0.02, 1e-4, 0.5


def mosse(frame: Picture, box: Floats) -> Callable[[Picture], Floats]:
    """The first frame H W 3 and the box x0 y0 x1 y1 in it -> what gives the box of every further frame."""
    place, hann = _Place(box, _MOSSE_REACH), _hann(_SIDE)
    wanted = np.fft.fft2(_peak(_SIDE, 2.0))

    def seen(picture: Picture) -> Spectra:
        grey = np.log1p(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64))
        return np.fft.fft2(hann * (grey - grey.mean()) / (grey.std() + 1e-5))

    views = [seen(view) for view in _views(place.look(frame))]
    above = sum(wanted * view.conj() for view in views)
    below: Any = sum(view * view.conj() for view in views)

    def step(picture: Picture) -> Floats:
        nonlocal above, below
        place.move(np.fft.ifft2(above / (below + 1e-2) * seen(place.look(picture))).real)
        found = seen(place.look(picture))
        above = _MOSSE_RATE * wanted * found.conj() + (1 - _MOSSE_RATE) * above
        below = _MOSSE_RATE * found * found.conj() + (1 - _MOSSE_RATE) * below
        return place.box

    return step


def kcf(frame: Picture, box: Floats) -> Callable[[Picture], Floats]:
    """As `mosse`."""
    place, cells = _Place(box, _KCF_REACH), _SIDE // CELL
    hann, wanted = _hann(cells), np.fft.fft2(_peak(cells, 0.1 * cells / _KCF_REACH))

    def seen(picture: Picture) -> Spectra:
        return np.fft.fft2(hann * gradients(place.look(picture)))

    known = seen(frame)
    dual = wanted / (_gauss(known, known) + _RIDGE)

    def step(picture: Picture) -> Floats:
        nonlocal known, dual
        place.move(np.fft.ifft2(dual * _gauss(seen(picture), known)).real)
        found = seen(picture)
        dual = (1 - _KCF_RATE) * dual + _KCF_RATE * wanted / (_gauss(found, found) + _RIDGE)
        known = (1 - _KCF_RATE) * known + _KCF_RATE * found
        return place.box

    return step


class _Place:
    """Where the window is: `reach` longer sides of the box across."""

    def __init__(self, box: Floats, reach: float) -> None:
        self._middle, self._size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        self._extent = reach * float(self._size.max())

    @property
    def box(self) -> Floats:
        return np.concatenate([self._middle - self._size / 2, self._middle + self._size / 2])

    def look(self, frame: Picture) -> Picture:
        return crop(frame, self._middle, self._extent, _SIDE)

    def move(self, answer: Floats) -> None:
        """By the place of the highest of `answer` n n, whose zero is at its first corner; the middle stays inside."""
        side = len(answer)
        row, column = np.unravel_index(int(answer.argmax()), answer.shape)
        shift = np.array([column, row], np.float64)
        shift[shift > side / 2] -= side
        self._middle = self._middle + shift * self._extent / side


def _gauss(first: Spectra, second: Spectra) -> Spectra:
    """Spectrum of the Gaussian kernel of all shifts (equation 31), of spectra C n n."""
    size = first.size
    energy = ((np.abs(first) ** 2).sum() + (np.abs(second) ** 2).sum()) / first[0].size
    across = np.fft.ifft2((first * second.conj()).sum(axis=0)).real
    return np.fft.fft2(np.exp(-np.maximum(0, energy - 2 * across) / (size * _KERNEL**2)))


def _hann(side: int) -> Floats:
    window = np.hanning(side + 2)[1:-1]
    return np.outer(window, window)


def _peak(side: int, spread: float) -> Floats:
    """n n, 1 at the first corner, falling off around it."""
    steps = np.fft.fftfreq(side, 1 / side)
    return np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * spread**2))


def _views(look: Picture) -> list[Picture]:
    """The look itself and small turns and stretches of it."""
    rng, middle = np.random.default_rng(0), (_SIDE / 2, _SIDE / 2)
    turns = [(0.0, 1.0), *((rng.uniform(-8, 8), rng.uniform(0.95, 1.05)) for _ in range(_MOSSE_VIEWS - 1))]
    matrices = [cv2.getRotationMatrix2D(middle, angle, scale) for angle, scale in turns]
    return [
        np.asarray(cv2.warpAffine(look, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for matrix in matrices
    ]
