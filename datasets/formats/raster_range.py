"""Which stored values of a raster are black and white: percentiles over a spread-out sample of its valid pixels."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.raster import Raster, Window
from vitapps.errors import UnreadableInputError, UsageError

_LOGGER = logging.getLogger("vitapps.formats.raster")
_PERCENTILES = 1.0, 99.0
_GRID, _PATCH = 8, 96  # sampled patches across and down, pixels a side


def choose_range(raster: Raster, wanted: tuple[float, float] | None = None) -> tuple[float, float]:
    """The stored values that become 0 and 255, the same for all bands so that colours keep their ratio.

    `wanted` wins; 8-bit and palette rasters are taken as they are; others get percentiles 1 and 99 of patches spread
    over the raster (a full read would double the work on a 50 GB mosaic). Warns when there is nothing to stretch.
    """
    if wanted is not None:
        if not (np.isfinite(wanted).all() and wanted[0] < wanted[1]):
            raise UsageError(f"--range {wanted[0]:g},{wanted[1]:g}: empty", hint="give LOW,HIGH with LOW < HIGH")
        return wanted
    if raster.bands.palette is not None or raster.meta.dtype == "uint8":
        return 0.0, 255.0
    values = _sample(raster)
    if not len(values):
        raise UnreadableInputError(f"{raster.meta.path}: no valid pixel", hint="check its nodata value and its mask")
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    if low >= high:
        _LOGGER.warning("%s: all sampled values are %g, nothing can be seen in it", raster.meta.path, low)
        return low - 0.5, low + 0.5
    return low, high


def _sample(raster: Raster) -> NDArray[np.float64]:
    """Valid values of all chosen bands from patches on a grid; else from the first rows that have any."""
    found = [_valid_values(raster, window) for window in _patches(raster.meta.width, raster.meta.height)]
    if any(map(len, found)):
        return np.concatenate(found)
    for top in range(0, raster.meta.height, 512):
        values = _valid_values(raster, (0, top, raster.meta.width, min(top + 512, raster.meta.height)))
        if len(values):
            return values
    return np.zeros(0)


def _valid_values(raster: Raster, window: Window) -> NDArray[np.float64]:
    values, valid = raster.read_raw(window)
    return values[:, valid].ravel().astype(np.float64)  # C h w -> n


def _patches(width: int, height: int) -> list[Window]:
    if width * height <= (_GRID * _PATCH) ** 2:
        return [(0, 0, width, height)]
    lefts = np.unique(np.linspace(0, max(0, width - _PATCH), _GRID).astype(int))
    tops = np.unique(np.linspace(0, max(0, height - _PATCH), _GRID).astype(int))
    return [(int(x), int(y), min(int(x) + _PATCH, width), min(int(y) + _PATCH, height)) for y in tops for x in lefts]
