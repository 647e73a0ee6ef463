"""A tracker without training: a correlation filter on gradients and colours, over a few sizes, from one box on."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.cell_features import CELL, Colours, gradients
from vitapps.pipelines.video.correlation import CorrelationFilter
from vitapps.pipelines.video.window import Look, crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_CHANGE = 0.985  # another size has to be better by this much


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """`reach`: side of the window in roots of the target's area; `side`: least and most pixels that it is drawn with;
    `sizes`: how many scales are tried, `step` apart."""

    reach: float = 4.0
    side: tuple[int, int] = (120, 176)
    sizes: int = 3
    step: float = 1.02


class FilterTracker:
    """`locate` says where the target is, `move` takes a place, `learn` a look; boxes are x0 y0 x1 y1 in pixels."""

    def __init__(self, frame: Picture | Look, box: Floats, config: FilterConfig | None = None) -> None:
        self.config = config or FilterConfig()
        self.middle, self.size = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 4.0)
        extent = self.config.reach * np.sqrt(self.size.prod())
        side = float(np.clip(extent, *self.config.side))
        self.cells = round(side / CELL)
        self.scale = self.cells * CELL / extent  # window pixels a frame pixel, at the present size
        window = self._window(frame, self.middle, 1.0)
        inside = self._inside(window.shape[:2])
        self.colours = Colours(window, inside)
        self.hann = np.outer(np.hanning(self.cells + 2)[1:-1], np.hanning(self.cells + 2)[1:-1]).astype(np.float32)
        target = self.size * self.scale / CELL
        self.filter = CorrelationFilter((self.cells, self.cells), (float(target[1]), float(target[0])))
        self.filter.fit(self._features(window))

    def locate(
        self, frame: Picture | Look, start: Floats, sizes: int | None = None, *, pace: int = 1
    ) -> tuple[Floats, float, float]:
        """(centre, growth, score): the best place and size near `start`; nothing is learnt. `sizes`: how many
        are tried, else those of the configuration, `pace` of its steps apart."""
        best = (start, 1.0, -1.0)
        count = sizes or self.config.sizes
        for place in range(count):
            growth = self.config.step ** (pace * (place - (count - 1) / 2))
            answer = self.filter.response(self._features(self._window(frame, start, growth)))
            row, column, value = peak(answer)
            value *= 1.0 if growth == 1 else _CHANGE
            if value > best[2]:
                shift = np.array([column, row]) * CELL / self.scale * growth
                best = (start + shift, growth, value)
        return best

    def move(self, middle: Floats, size: Floats, frame_shape: tuple[int, ...]) -> None:
        """Take a new place; the window follows the root of the area."""
        limit = np.array([frame_shape[1], frame_shape[0]], np.float64)
        size = np.clip(size, 4.0, 2 * limit)
        self.scale *= float(np.sqrt(self.size.prod() / size.prod()))
        self.middle, self.size = np.clip(middle, 0, limit), size

    def learn(self, frame: Picture | Look) -> None:
        self.filter.fit(self._features(self._window(frame, self.middle, 1.0)))

    def copy(self) -> FilterTracker:
        """One that goes on by itself from here."""
        found = copy.copy(self)
        found.filter = copy.copy(self.filter)  # which never changes its arrays in place
        return found

    @property
    def box(self) -> Floats:
        return np.concatenate([self.middle - self.size / 2, self.middle + self.size / 2])

    def _window(self, frame: Picture | Look, middle: Floats, growth: float) -> Picture:
        return crop(frame, middle, self.cells * CELL / self.scale * growth, self.cells * CELL)

    def _inside(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        half = self.size * self.scale / 2
        y, x = np.arange(shape[0])[:, None] + 0.5 - shape[0] / 2, np.arange(shape[1])[None] + 0.5 - shape[1] / 2
        return np.asarray((np.abs(x) < half[0]) & (np.abs(y) < half[1]))

    def _features(self, window: Picture) -> NDArray[np.float32]:
        parts = [_even(part * self.hann) for part in (gradients(window), self.colours.of(window))]
        return np.concatenate(parts)


def _even(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """K h w with a mean square of 1, so that each kind of feature counts by its number of channels."""
    return np.asarray(features / np.sqrt((features**2).mean() + 1e-9), np.float32)


def peak(answer: NDArray[np.float32]) -> tuple[float, float, float]:
    """(row, column, value) of the highest point, from the middle of the map, refined by parabolas."""
    row, column = np.unravel_index(int(answer.argmax()), answer.shape)
    value = float(answer[row, column])
    offset = []
    for line, at in ((answer[:, column], int(row)), (answer[row], int(column))):
        before, after = float(line[at - 1]), float(line[(at + 1) % len(line)])
        bend = before - 2 * value + after
        offset.append(at + (0.5 * (before - after) / bend if bend < 0 else 0.0))
    return offset[0] - answer.shape[0] // 2, offset[1] - answer.shape[1] // 2, value
