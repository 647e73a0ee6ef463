"""Urban trees in NAIP imagery: `NAME.tif` (red, green, blue, near infrared, 0.6 m) beside `NAME.csv` (x y of trees).

Ventura et al. 2022, arXiv:2208.10607. The set marks a tree by a point. A crown box is grown from it: vegetation is
where the NDVI exceeds Otsu's threshold, and a watershed of the NDVI from the points shares it out among the trees.
The boxes are a guess and fit for training only. A picture without a CSV file has no trees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.neon_trees import Tile
from vitapps.errors import UnreadableInputError
from vitapps.require import require

SITE = "naip"
REACH = 6.0  # metres from the point to the farthest pixel of its crown
SMALLEST = 1.5  # metres; no crown is drawn smaller
LEAST_NDVI = 0.08  # Otsu's threshold of a picture without plants is meaningless


def read_naip(folder: Path, gsd: float = 0.15) -> list[Tile]:
    """Every picture below `folder` enlarged to `gsd` metres a pixel, with a box for every tree.

    Raises UnreadableInputError for a folder without pictures, a broken one, or one of fewer than four bands.
    """
    found = sorted(folder.rglob("*.tif"))
    if not found:
        raise UnreadableInputError(f"{folder}: no picture (NAME.tif beside NAME.csv)", hint="check --also")
    return [_read(path, gsd) for path in found]


def crown_boxes(bands: NDArray[np.uint8], points: NDArray[np.float64], gsd: float) -> NDArray[np.float32]:
    """Boxes `n 4` (pixels, pixel-corner origin) of the trees at `points` n 2 (x y) of `bands` 4 H W (R G B NIR)."""
    from scipy import ndimage
    from skimage import filters, segmentation

    if not len(points):
        return np.zeros((0, 4), np.float32)
    red, near = bands[0].astype(np.float64), bands[3].astype(np.float64)
    ndvi = ndimage.gaussian_filter((near - red) / np.maximum(near + red, 1), 0.5)
    height, width = ndvi.shape
    x, y = (np.clip(points[:, axis].astype(int), 0, limit - 1) for axis, limit in ((0, width), (1, height)))
    seeds = np.zeros(ndvi.shape, np.int32)
    seeds[y, x] = np.arange(1, len(points) + 1)
    near_points = ndimage.distance_transform_edt(seeds == 0) * gsd
    plants = (ndvi > max(filters.threshold_otsu(ndvi), LEAST_NDVI)) | (seeds > 0)
    basins = segmentation.watershed(near_points, seeds, mask=plants & (near_points <= REACH))
    boxes = np.stack([x, y, x + 1, y + 1], axis=1).astype(np.float32)
    for number, place in enumerate(ndimage.find_objects(basins, len(points))):
        if place is not None:
            boxes[number] = place[1].start, place[0].start, place[1].stop, place[0].stop
    return _at_least(boxes, SMALLEST / gsd)


def _at_least(boxes: NDArray[np.float32], side: float) -> NDArray[np.float32]:
    """Boxes widened about their centres to sides of at least `side` pixels."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], side) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def _read(path: Path, gsd: float) -> Tile:
    import cv2

    rasterio = require("rasterio", extra="rs")
    try:
        with rasterio.open(path) as source:
            if source.count < 4:
                raise UnreadableInputError(f"{path}: {source.count} band(s), 4 expected", hint="give R, G, B, NIR")
            bands, own = source.read((1, 2, 3, 4)), float(abs(source.transform.a))
    except rasterio.errors.RasterioIOError as error:
        raise UnreadableInputError(f"{path}: not a readable raster ({error})", hint="fetch it again") from error
    boxes = crown_boxes(bands, _points(path.with_suffix(".csv")), own)
    factor = own / gsd
    large = cv2.resize(bands[:3].transpose(1, 2, 0), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    image = np.ascontiguousarray(large.transpose(2, 0, 1))  # H W 3 -> 3 H W
    return Tile(name=path.stem, site=SITE, image=image, boxes=boxes * np.float32(factor), gsd=gsd)


def _points(path: Path) -> NDArray[np.float64]:
    """x y of a CSV file with a header; n 2."""
    if not path.exists():
        return np.zeros((0, 2))
    try:
        return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)[:, :2].reshape(-1, 2)
    except (ValueError, IndexError) as error:
        raise UnreadableInputError(f"{path}: not a table of x,y ({error})", hint="fetch it again") from error
