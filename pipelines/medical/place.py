"""Where the brain lies: what a model with place channels is told about each voxel, and how that is found out.

The first pass runs without a place over the whole scan and gives the foreground; its largest component gives a centre
and a box. The second pass sees the box alone, with each voxel's distance from the centre in three more channels
(`models/volume_segmenter.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.medical.postprocess import main_component

PLACE_UNIT = 100.0  # mm a unit of the place channels, as in training
MARGIN = 12.0  # mm around the foreground of the first pass

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Region:
    """`box` of the image D H W that holds the foreground, and the foreground's `centre` in voxels of the image."""

    box: tuple[slice, slice, slice]
    centre: tuple[float, float, float]


def find_region(foreground: Floats, spacing: tuple[float, ...], window: tuple[int, ...]) -> Region | None:
    """The region of the largest component of `foreground` > 0.5 (shares, D H W); None where there is none.

    The box has at least the size of `window` where the image has; `spacing` in mm.
    """
    from scipy import ndimage

    main = main_component(foreground > 0.5)
    boxes: Any = ndimage.find_objects(main.astype(np.uint8))
    if not boxes:
        return None
    found = boxes[0]
    centre: Any = ndimage.center_of_mass(main[found])
    box = [
        _grown(part, round(MARGIN / step), wide, size)
        for part, step, wide, size in zip(found, spacing, window, foreground.shape, strict=True)
    ]
    middle = [part.start + float(value) for part, value in zip(found, centre, strict=True)]
    return Region((box[0], box[1], box[2]), (middle[0], middle[1], middle[2]))


def with_place(image: Floats, region: Region | None, spacing: tuple[float, ...]) -> Floats:
    """4 D H W: the image D H W of the region's box, and each voxel's distance from the centre along each axis in
    PLACE_UNIT; zeros without a region."""
    x = np.zeros((4, *image.shape), np.float32)
    x[0] = image
    if region is not None:
        for axis, (part, middle, step) in enumerate(zip(region.box, region.centre, spacing, strict=True)):
            away = (np.arange(part.start, part.stop, dtype=np.float32) - middle) * np.float32(step / PLACE_UNIT)
            x[1 + axis] = away.reshape([-1 if other == axis else 1 for other in range(3)])
    return x


def mirrored(x: Floats, axis: int, image_chans: int = 1) -> Floats:
    """Windows B C D H W seen in a mirror across spatial `axis`: the place along it changes its sign."""
    flipped = np.flip(x, axis + 2).copy()
    if x.shape[1] > image_chans:
        flipped[:, image_chans + axis] *= -1
    return flipped


def _grown(part: slice, margin: int, wide: int, size: int) -> slice:
    start, stop = part.start - margin, part.stop + margin
    missing = max(0, wide - (stop - start))
    start, stop = start - missing // 2, stop + missing - missing // 2
    if start < 0:
        start, stop = 0, stop - start
    if stop > size:
        start, stop = start - (stop - size), size
    return slice(max(0, start), min(stop, size))
