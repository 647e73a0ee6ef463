"""The Kalman filters of the published trackers that `video eval mot` compares with (ours: `box_motion.py`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class AreaKalman:
    """SORT's filter (Bewley et al. 2016, section 3.2): centre, area and ratio of sides, the first three with speeds;
    `predict` and `update` take and give boxes x0 y0 x1 y1. Noise as in the authors' release."""

    _step = np.eye(7) + np.eye(7, k=4)
    _seen = np.eye(4, 7)
    _drift = np.diag([1, 1, 1, 1, 1e-2, 1e-2, 1e-4])
    _noise = np.diag([1.0, 1, 10, 10])

    def __init__(self, box: Floats) -> None:
        self.state = np.concatenate([_area_of(box), np.zeros(3)])
        self.spread = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])

    def predict(self) -> Floats:
        """The box of the next frame."""
        if self.state[2] + self.state[6] <= 0:
            self.state[6] = 0
        self.state = self._step @ self.state
        self.spread = self._step @ self.spread @ self._step.T + self._drift
        return self.box

    def update(self, box: Floats) -> None:
        self.state, self.spread = _corrected(self.state, self.spread, _area_of(box), self._seen, self._noise)

    @property
    def box(self) -> Floats:
        width = np.sqrt(max(self.state[2] * self.state[3], 1e-9))
        half = np.array([width, self.state[2] / width]) / 2
        return np.concatenate([self.state[:2] - half, self.state[:2] + half])


class HeightKalman:
    """DeepSORT's filter, which ByteTrack uses (Wojke et al. 2017, section 2.1): centre, ratio of sides and height, all
    with speeds, noise in proportion to the height."""

    _step = np.eye(8) + np.eye(8, k=4)
    _seen = np.eye(4, 8)

    def __init__(self, box: Floats) -> None:
        self.state = np.concatenate([_height_of(box), np.zeros(4)])
        tall = self.state[3]
        place, speed = tall / 20, tall / 160
        deviations = [2 * place, 2 * place, 1e-2, 2 * place, 10 * speed, 10 * speed, 1e-5, 10 * speed]
        self.spread = np.diag(np.square(deviations))

    def predict(self, *, seen: bool) -> Floats:
        """The box of the next frame; the height of one that was not `seen` in this frame does not change."""
        if not seen:
            self.state[7] = 0
        place, speed = self.state[3] / 20, self.state[3] / 160
        drift = np.diag(np.square([place, place, 1e-2, place, speed, speed, 1e-5, speed]))
        self.state = self._step @ self.state
        self.spread = self._step @ self.spread @ self._step.T + drift
        return self.box

    def update(self, box: Floats) -> None:
        place = self.state[3] / 20
        noise = np.diag(np.square([place, place, 1e-1, place]))
        self.state, self.spread = _corrected(self.state, self.spread, _height_of(box), self._seen, noise)

    @property
    def box(self) -> Floats:
        half = np.array([self.state[2] * self.state[3], self.state[3]]) / 2
        return np.concatenate([self.state[:2] - half, self.state[:2] + half])


def _corrected(state: Floats, spread: Floats, value: Floats, seen: Floats, noise: Floats) -> tuple[Floats, Floats]:
    gain = spread @ seen.T @ np.linalg.inv(seen @ spread @ seen.T + noise)
    return state + gain @ (value - seen @ state), (np.eye(len(state)) - gain @ seen) @ spread


def _area_of(box: Floats) -> Floats:
    """Centre, area, width / height."""
    sides = np.maximum(box[2:] - box[:2], 1e-6)
    return np.array([*(box[:2] + box[2:]) / 2, sides.prod(), sides[0] / sides[1]])


def _height_of(box: Floats) -> Floats:
    """Centre, width / height, height."""
    sides = np.maximum(box[2:] - box[:2], 1e-6)
    return np.array([*(box[:2] + box[2:]) / 2, sides[0] / sides[1], sides[1]])
