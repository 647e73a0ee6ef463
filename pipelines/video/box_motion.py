"""How a box moves: a Kalman filter of constant velocity on centre and sides, noise in proportion to the box's height.

Wojke et al. 2017 ("Simple Online and Realtime Tracking with a Deep Association Metric", section 2.1) with sides in
place of aspect and height (BoT-SORT, arXiv:2206.14651, eq. 1-4). After a gap the filter is led again along the straight
line between the two observations (OC-SORT, arXiv:2203.14360, section 4.1), which takes back the drift of blind steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PLACE, _SPEED = 1 / 20, 1 / 160  # deviations of place and speed, in heights
_STEP = np.eye(8) + np.eye(8, k=4)
_SEEN = np.eye(4, 8)


class BoxMotion:
    """`predict` a frame on, `update` with a box; boxes are x0 y0 x1 y1 in pixels."""

    def __init__(self, box: Floats) -> None:
        self._seen, self._blind = box, 0
        self._state = np.concatenate([_to_centre(box), np.zeros(4)])
        size = self._sides()
        self._spread = np.diag(np.concatenate([2 * _PLACE * size, 10 * _SPEED * size]) ** 2)
        self._kept = (self._state, self._spread)

    def predict(self) -> Floats:
        """The box of the next frame, x0 y0 x1 y1."""
        size = self._sides()
        noise = np.diag(np.concatenate([_PLACE * size, _SPEED * size]) ** 2)
        self._state = _STEP @ self._state
        self._state[2:4] = np.maximum(self._state[2:4], 1.0)
        self._spread = _STEP @ self._spread @ _STEP.T + noise
        self._blind += 1
        return self.box

    def update(self, box: Floats, *, trust: float = 1.0) -> None:
        """Take an observation of the present frame; `trust` 0..1 is the detector's score (weak boxes count less)."""
        if self._blind > 1:
            self._lead_again(box)
        self._correct(box, trust)
        self._seen, self._blind = box, 0
        self._kept = (self._state, self._spread)

    @property
    def box(self) -> Floats:
        centre, sides = self._state[:2], self._state[2:4]
        return np.concatenate([centre - sides / 2, centre + sides / 2])

    def _lead_again(self, box: Floats) -> None:
        """From the last observation through evenly spaced boxes up to the frame before this one."""
        gap, before = self._blind, self._seen
        self._state, self._spread = self._kept
        for step in range(1, gap):
            self.predict()
            self._correct(before + (box - before) * step / gap, 1.0)
        self.predict()

    def _correct(self, box: Floats, trust: float) -> None:
        noise = np.diag((_PLACE * self._sides() * (2.0 - trust)) ** 2)
        gain = self._spread @ _SEEN.T @ np.linalg.inv(_SEEN @ self._spread @ _SEEN.T + noise)
        self._state = self._state + gain @ (_to_centre(box) - _SEEN @ self._state)
        self._spread = (np.eye(8) - gain @ _SEEN) @ self._spread

    def _sides(self) -> Floats:
        """The scale of the noise of x, y, w, h."""
        return np.full(4, max(1.0, float(self._state[3])))


def _to_centre(box: Floats) -> Floats:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
