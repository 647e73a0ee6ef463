"""A text detector and a layout head without networks: what they must answer is known."""

from __future__ import annotations

import numpy as np

from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.layout_network import KINDS, LayoutNetwork

FEATURES = 176
SIZE = 4 + 6  # where the size of its type stands in an element


def brightness(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """A detector that finds nothing; every feature is the mean grey of its cell."""
    number, _, high, wide = images.shape
    cells = images.reshape(number, high // 8, 8, wide // 8, 8).mean(axis=(2, 4))
    nothing = np.zeros((number, 8, high // 16, wide // 16), np.float32)
    return nothing, nothing, nothing, np.repeat(cells[:, None], FEATURES, axis=1)


DETECTOR = LineDetector(network=brightness)


def by_height(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """A head: large type is a title, all else text; elements of one size within 30 x-heights are one block."""
    size, middle = rows[0, :, SIZE], rows[0, :, [1, 3]].mean(axis=0)
    kinds = np.array([[4.0 * (kind == ("title" if value > 0.3 else "text")) for kind in KINDS] for value in size])
    near = (np.abs(middle[:, None] - middle[None]) < 30) & (np.abs(size[:, None] - size[None]) < 0.3)
    links = np.where(near, 5.0, -5.0).astype(np.float32)
    return kinds[None].astype(np.float32), links[None]


HEAD = LayoutNetwork(network=by_height, detector=DETECTOR)
