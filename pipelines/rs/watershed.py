"""The classical crown finder: excess green, Otsu, watershed of the distance map.

Excess green is Woebbecke et al. 1995 (2g - r - b), the threshold Otsu 1979; crowns are the basins of the smoothed
distance to the nearest background pixel, flooded from its peaks. The defaults are the best of a search over all NEON
tiles, so that the comparison favours it. A trained model has to beat it, and `confirm.py` uses it as a second opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.boxes import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class WatershedConfig:
    """Metres: `blur` deviation of the Gaussian before the threshold, `smooth` that on the distance map, `apart` least
    distance of two peaks, `smallest` and `largest` side of a crown."""

    blur: float = 0.4
    smooth: float = 0.3
    apart: float = 1.2
    smallest: float = 1.2
    largest: float = 15.0


def watershed_boxes(
    image: NDArray[np.uint8], gsd: float, config: WatershedConfig | None = None
) -> tuple[Floats, Floats]:
    """Crown boxes `n 4` (pixels) and scores `n` of an RGB tile `3 H W`, `gsd` metres a pixel.

    A score is the share of the box that its crown fills, so that round crowns come first.
    """
    from scipy import ndimage
    from skimage import feature, filters, segmentation

    config = config or WatershedConfig()
    green = ndimage.gaussian_filter(excess_green(image), config.blur / gsd)
    if green.min() == green.max():
        return np.zeros((0, 4)), np.zeros(0)
    crowns = green > filters.threshold_otsu(green)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(crowns), config.smooth / gsd)
    apart = max(1, round(config.apart / gsd))
    peaks = feature.peak_local_max(distance, min_distance=apart, labels=crowns.astype(int))
    seeds = np.zeros(distance.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return _boxes(segmentation.watershed(-distance, seeds, mask=crowns), gsd, config)


def excess_green(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """2g - r - b, -510..510; 3 H W -> H W."""
    red, green, blue = image.astype(np.float64)
    return np.asarray(2 * green - red - blue)


def _boxes(basins: NDArray[np.int32], gsd: float, config: WatershedConfig) -> tuple[Floats, Floats]:
    from scipy import ndimage

    rows, scores = [], []
    for number, place in enumerate(ndimage.find_objects(basins), start=1):
        y, x = place
        sides = np.array([x.stop - x.start, y.stop - y.start])
        if sides.min() * gsd >= config.smallest and sides.max() * gsd <= config.largest:
            rows.append((x.start, y.start, x.stop, y.stop))
            scores.append((basins[place] == number).mean())
    return np.asarray(rows, np.float64).reshape(-1, 4), np.asarray(scores, np.float64)
