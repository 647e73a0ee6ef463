"""Detection error trade-off as a picture: both error rates on normal-deviate axes (Martin et al. 1997, Eurospeech)."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from vitapps.pipelines.face.scores import Bools, Floats, auc, det_points

_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_LOW, _HIGH = 0.005, 0.9
_SIDE, _LEFT, _TOP = 560, 80, 30  # pixels
_COLOURS = ((200, 60, 30), (40, 90, 200), (40, 150, 60), (160, 60, 170))
_INK = (40, 40, 40)


def det_plot(curves: Mapping[str, tuple[Floats, Bools]], x_name: str, y_name: str) -> NDArray[np.uint8]:
    """H W 3: for each name a curve of false accepts (x) against false rejects (y) of scores and labels."""
    canvas = np.full((_SIDE + _TOP + 60, _SIDE + _LEFT + 30, 3), 255, np.uint8)
    for tick in _TICKS:
        x, y = (int(value) for value in _place(np.array([tick]), np.array([tick]))[0])
        cv2.line(canvas, (x, _TOP), (x, _TOP + _SIDE), (225, 225, 225), 1)
        cv2.line(canvas, (_LEFT, y), (_LEFT + _SIDE, y), (225, 225, 225), 1)
        _write(canvas, f"{tick:.0%}", (x - 14, _TOP + _SIDE + 20))
        _write(canvas, f"{tick:.0%}", (_LEFT - 42, y + 5))
    cv2.rectangle(canvas, (_LEFT, _TOP), (_LEFT + _SIDE, _TOP + _SIDE), _INK, 1)
    _write(canvas, f"{x_name} (across), {y_name} (up)", (_LEFT, _TOP + _SIDE + 45))
    for number, (name, (scores, positive)) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = _place(*det_points(scores, positive))
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
        _write(canvas, f"{name}: AUC {auc(scores, positive):.3f}", (_LEFT + 240, _TOP + 24 + 22 * number), colour)
    return canvas


def _place(accepts: Floats, rejects: Floats) -> NDArray[np.int32]:
    """Rates N -> pixels N 2; rates beyond the axes lie on them."""
    low, high = ndtri(_LOW), ndtri(_HIGH)
    x, y = ((ndtri(rates.clip(_LOW, _HIGH)) - low) / (high - low) * _SIDE for rates in (accepts, rejects))
    return np.stack([_LEFT + x, _TOP + _SIDE - y], axis=1).round().astype(np.int32)


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int] = _INK) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
