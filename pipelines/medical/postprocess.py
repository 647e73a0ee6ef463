"""Cleaning class scores on the network grid: one connected foreground without holes, no specks of a structure.

Scores are changed, not labels, so that the interpolation to the scan's grid still sees smooth borders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.medical.upsample import foreground_of
from vitapps.pipelines.windows.band import share_unit
from vitapps.pipelines.windows.stitch import largest

CLOSING, OPENING, SLACK = 3.0, 2.0, 0.5  # mm, of the brain mask
SPECK = 0.05  # a component smaller than this share of the structure's largest one is a speck


def keep_main_component(scores: NDArray[Any]) -> None:
    """Leave the largest connected foreground of K D H W, holes filled with the best structure. In place."""
    from scipy import ndimage

    foreground = foreground_of(scores)
    if not foreground.any():
        return
    main = main_component(foreground)
    others = foreground & ~main
    if others.any():
        away = ndimage.binary_dilation(others, iterations=2) & ~main
        scores[1:, away] = 0
        scores[0, away] = share_unit(scores)
    holes = ndimage.binary_fill_holes(main) & ~main
    scores[0, holes] = 0


def rounded_mask(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.bool_]:
    """The whole brain from what was labelled, X Y Z with `spacing` in mm.

    What hangs on by a bridge below 2 OPENING is cut off first: muscle and sinus lie beyond a dark gap that the closing
    would fill. Then holes and sulci up to 2 CLOSING wide are filled, new bridges are cut, and the largest part is left.
    """
    from scipy import ndimage

    boxes: Any = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return mask
    box = boxes[0]
    width = [math.ceil(CLOSING / step) + 1 for step in spacing]  # closing at the edge of the array would erode
    wide = np.pad(mask[box], [(n, n) for n in width])
    wide = _near_core(wide, _without_specks(_depth(wide, spacing) > OPENING), spacing)
    wide |= _depth(ndimage.binary_fill_holes(_depth(~wide, spacing) <= CLOSING), spacing) > CLOSING
    wide = _near_core(wide, main_component(_depth(wide, spacing) > OPENING), spacing)
    out = np.zeros_like(mask)
    out[box] = wide[tuple(slice(n, -n) for n in width)]
    return out


def _near_core(mask: NDArray[np.bool_], core: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.bool_]:
    """What an opening leaves of `mask` whose eroded part is `core`, with SLACK; all of it without a core."""
    if not core.any():
        return mask
    near: NDArray[np.bool_] = mask & (_depth(~core, spacing) <= OPENING + SLACK)
    return near


def _depth(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Distance in mm of each voxel to the nearest one outside of the mask."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(mask, sampling=tuple(spacing)), np.float32)


def drop_specks(scores: NDArray[Any]) -> None:
    """Remove small components of every structure; their voxels fall to the next best class. In place, K D H W."""
    from scipy import ndimage

    labels = largest(scores)  # D H W
    boxes: list[Any] = ndimage.find_objects(labels)  # None for a class that does not occur
    for index, box in enumerate(boxes, start=1):
        if box is None:
            continue
        own = labels[box] == index
        scores[index][box][own & ~_without_specks(own)] = 0


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of at least SPECK of the largest one's size."""
    parts, sizes = _parts(mask)
    large: NDArray[np.bool_] = (sizes >= max(1.0, SPECK * sizes.max()))[parts]
    return large


def main_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask of any shape."""
    parts, sizes = _parts(mask)
    found: NDArray[np.bool_] = (np.arange(len(sizes)) == sizes.argmax())[parts] & mask
    return found


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Connected parts numbered from 1, 0 outside; the size of each number, that of the outside counted as 0."""
    from scipy import ndimage

    labelled, _ = ndimage.label(mask)
    parts = np.asarray(labelled, np.int32)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts, sizes
