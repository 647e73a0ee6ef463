"""Going through a raster once: blocks of windows, read ahead by a thread, resampled to the pixel size of the model.

Coordinates here are model pixels: raster pixels times the `Scale`. Every block is a rectangle of whole windows; blocks
overlap like windows do, and their `core` rectangles tile the scanned area without overlap.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.raster import Raster, Window, environment
from vitapps.pipelines.rs.gsd import Scale
from vitapps.pipelines.rs.merge import owned_spans, window_starts
from vitapps.pipelines.windows.prefetch import ahead

if TYPE_CHECKING:
    from PIL.Image import Image

_BLOCK_SIDE = 2048  # model pixels
_BLOCK_PIXELS = 1 << 24  # raster pixels of one read
_AHEAD = 2  # blocks read before they are wanted


@dataclass(frozen=True, slots=True)
class Block:
    """`rect` x0 y0 x1 y1 that is read, `core` the part counted as its own, `origins` n 2 of its windows (x y), `owned`
    n 4 what each window owns; all in model pixels of the whole raster."""

    rect: Window
    core: Window
    origins: NDArray[np.int64]
    owned: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Picture:
    """What was read of a block: `rgb` 3 h w and `valid` h w (False: nodata, or padding to a full window)."""

    block: Block
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]


class BlockPlan:
    """Blocks of windows over `area` (model pixels), from the top row down; made when asked for, because a large
    mosaic has millions of windows.

    `full_rows` makes blocks as wide as they may be, for rasters stored in strips.
    """

    def __init__(self, area: Window, window: int, overlap: float, scale: Scale, *, full_rows: bool = False) -> None:
        self.area, self.window = area, window
        wide, deep = area[2] - area[0], area[3] - area[1]
        self.lefts, self.tops = window_starts(wide, window, overlap), window_starts(deep, window, overlap)
        self.spans_x, self.spans_y = owned_spans(self.lefts, window, wide), owned_spans(self.tops, window, deep)
        pixels = _BLOCK_PIXELS * scale.x * scale.y  # the limit of one read, in model pixels
        side = min(_BLOCK_SIDE, int(math.sqrt(pixels)))
        down = 1 if full_rows else _windows_in(side, self.tops, window)
        across = _windows_in(int(pixels / window) if full_rows else side, self.lefts, window)
        self._rows, self._columns = _groups(len(self.tops), down), _groups(len(self.lefts), across)

    def __len__(self) -> int:
        return len(self._rows) * len(self._columns)

    def __iter__(self) -> Iterator[Block]:
        for rows in self._rows:
            for columns in self._columns:
                yield self._block(rows, columns)

    def _block(self, rows: slice, columns: slice) -> Block:
        left, top = self.area[:2]
        y, x = np.meshgrid(self.tops[rows], self.lefts[columns], indexing="ij")
        origins = np.stack([x.ravel() + left, y.ravel() + top], axis=1)  # n 2
        spans_x, spans_y = self.spans_x[columns] + left, self.spans_y[rows] + top
        owned = np.concatenate([np.tile(spans_x, (len(spans_y), 1)), np.repeat(spans_y, len(spans_x), axis=0)], axis=1)
        owned = owned[:, [0, 2, 1, 3]]  # n 4: x0 x1 y0 y1 -> x0 y0 x1 y1
        (x0, y0), (x1, y1) = origins.min(axis=0), origins.max(axis=0) + self.window
        core = np.rint([*owned[:, :2].min(axis=0), *owned[:, 2:].max(axis=0)]).astype(int).tolist()
        return Block(
            (int(x0), int(y0), int(x1), int(y1)), _cut((core[0], core[1], core[2], core[3]), self.area), origins, owned
        )


def read_block(raster: Raster, block: Block, scale: Scale) -> Picture:
    """Read the rectangle of a block, nodata filled with the mean colour, resampled and padded to its full size."""
    x0, y0, x1, y1 = block.rect
    deep, wide = y1 - y0, x1 - x0
    inside = _cut(block.rect, (0, 0, scale.width, scale.height))
    rgb, valid = _read_scaled(raster, inside, scale)
    if rgb.shape[1:] == (deep, wide):
        return Picture(block, rgb, valid)
    mean = rgb.mean(axis=(1, 2)) if rgb.size else np.zeros(3)
    padded = np.empty((3, deep, wide), np.uint8)
    padded[:] = np.rint(mean)[:, None, None]
    padded[:, : rgb.shape[1], : rgb.shape[2]] = rgb
    known = np.zeros((deep, wide), bool)
    known[: rgb.shape[1], : rgb.shape[2]] = valid
    return Picture(block, padded, known)


def read_ahead(raster: Raster, blocks: Iterable[Block], scale: Scale) -> Generator[Picture, None, None]:
    """Pictures in the order of `blocks`; a thread reads up to two ahead. Close it before the raster is closed."""
    return ahead((read_block(raster, block, scale) for block in blocks), _AHEAD, environment)


def _windows_in(side: int, starts: Sequence[int], window: int) -> int:
    """How many windows in a row fit into `side` pixels; at least one."""
    step = starts[1] - starts[0] if len(starts) > 1 else window
    return max(1, (side - window) // max(1, step) + 1)


def _groups(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _cut(rect: Window, limit: Window) -> Window:
    return max(rect[0], limit[0]), max(rect[1], limit[1]), min(rect[2], limit[2]), min(rect[3], limit[3])


def _read_scaled(raster: Raster, rect: Window, scale: Scale) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The raster over `rect` (model pixels) as 3 h w and its mask h w.

    Samples lie on one grid for the whole raster and see past the edge of the rectangle, so neighbouring reads agree.
    """
    if scale.x == 1 and scale.y == 1:
        return _fill(*raster.read(rect))
    reach_x, reach_y = math.ceil(max(1, 1 / scale.x)) + 1, math.ceil(max(1, 1 / scale.y)) + 1  # of the triangle filter
    source = _cut(
        (
            math.floor(rect[0] / scale.x) - reach_x,
            math.floor(rect[1] / scale.y) - reach_y,
            math.ceil(rect[2] / scale.x) + reach_x,
            math.ceil(rect[3] / scale.y) + reach_y,
        ),
        (0, 0, raster.meta.width, raster.meta.height),
    )
    rgb, valid = _fill(*raster.read(source))
    box = (
        max(0.0, rect[0] / scale.x - source[0]),
        max(0.0, rect[1] / scale.y - source[1]),
        min(float(rgb.shape[2]), rect[2] / scale.x - source[0]),
        min(float(rgb.shape[1]), rect[3] / scale.y - source[1]),
    )
    size = rect[2] - rect[0], rect[3] - rect[1]
    small = np.ascontiguousarray(resize(np.ascontiguousarray(rgb.transpose(1, 2, 0)), size, box).transpose(2, 0, 1))
    if valid.all():
        return small, np.ones((size[1], size[0]), bool)
    return small, resize(valid.astype(np.uint8) * 255, size, box) > 127


def _fill(rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Put the mean of the valid pixels where there are none; 3 h w."""
    if valid.all():
        return rgb, valid
    rgb = rgb if rgb.flags.writeable else rgb.copy()
    for band in rgb:
        band[~valid] = round(float(band[valid].mean())) if valid.any() else 0
    return rgb, valid


def resize(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """The part `box` (x0 y0 x1 y1) of `pixels` H W [C] at `size` (x y).

    Triangle filter, widened when reducing: what the model saw in training when its tiles were zoomed.
    """
    from PIL import Image as images

    picture: Image = images.fromarray(pixels)
    return np.asarray(picture.resize(size, images.Resampling.BILINEAR, box=box))
