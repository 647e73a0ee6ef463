"""The front: the cells of the output that some windows have touched and others still will."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.blend import Blend, axis_weights, blend_into, outer
from vitapps.pipelines.windows.plan import Box, Index, WindowPlan

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spot:
    """What one window shares with one cell along an axis: `inside` the cell, `part` of the window."""

    cell: int
    inside: slice
    part: slice
    whole: bool


@dataclass(slots=True)
class _Cell:
    mean: Array  # K *cell
    sums: NDArray[np.float32]  # *cell, the weights seen so far


class Front:
    """Weighted means of the unfinished cells. A cell is opened by the first window over it and handed out by the last."""

    def __init__(self, plan: WindowPlan, blend: Blend) -> None:
        self._cells: dict[Index, _Cell] = {}
        self._weights = [axis_weights(size, blend) for size in plan.window]
        self._edges = [
            _edges(starts, w, n, core=blend == "core")
            for starts, w, n in zip(plan.starts, plan.window, plan.shape, strict=True)
        ]
        self._spots = [
            [_spots(i, start, w, edges, core=blend == "core") for i, start in enumerate(starts)]
            for starts, w, edges in zip(plan.starts, plan.window, self._edges, strict=True)
        ]
        self._lent: set[int] = set()
        self._free: dict[tuple[int, str], list[Array]] = {}

    def box(self, index: Index) -> Box:
        """Where cell `index` lies in the padded array."""
        return tuple(slice(edges[i], edges[i + 1]) for edges, i in zip(self._edges, index, strict=True))

    def add(self, index: Index, answer: Array) -> Array:
        """Blend in the K *window answer of window `index`; returns the K *cell means of the cell that is now final."""
        for spots in itertools.product(*(axis[i] for axis, i in zip(self._spots, index, strict=True))):
            cell = tuple(spot.cell for spot in spots)
            block = answer[(slice(None), *(spot.part for spot in spots))]
            whole = all(spot.whole for spot in spots)
            if cell == index and whole and cell not in self._cells:
                return block  # no other window touches this cell, and it is the last that this one does
            weights = outer([axis[spot.part] for axis, spot in zip(self._weights, spots, strict=True)])
            self._touch(cell, tuple(spot.inside for spot in spots), block, weights, whole=whole)
        return self._cells.pop(index).mean

    def release(self, mean: Array) -> None:
        """`mean`, handed out by `add`, is not needed any more: its memory may serve another cell.

        Fresh memory costs a page fault every 4 KiB, which is as much as the blending.
        """
        flat = mean.base
        if flat is not None and id(flat) in self._lent:  # not a view of an answer
            self._lent.remove(id(flat))
            self._free.setdefault((flat.size, flat.dtype.str), []).append(flat)

    def _touch(self, index: Index, inside: Box, block: Array, weights: NDArray[np.float32], *, whole: bool) -> None:
        cell = self._cells.get(index)
        if cell is None:
            sizes = [part.stop - part.start for part in self.box(index)]
            mean = self._memory((len(block), *sizes), np.result_type(block.dtype, np.float32))
            if whole:
                mean[...] = block
                self._cells[index] = _Cell(mean, weights)
                return
            mean.fill(-0.0)  # -0.0 - (-0.0 - v) is v for every v, a zero of either sign included
            cell = self._cells[index] = _Cell(mean, np.zeros(mean.shape[1:], np.float32))
        sums = cell.sums[inside]
        sums += weights
        blend_into(cell.mean[(slice(None), *inside)], block, weights / sums)

    def _memory(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
        kept = self._free.get((math.prod(shape), kind.str))
        flat = kept.pop() if kept else np.empty(math.prod(shape), kind)
        self._lent.add(id(flat))
        return flat.reshape(shape)


def _edges(starts: tuple[int, ...], window: int, size: int, *, core: bool) -> tuple[int, ...]:
    """Borders of the cells: the first elements of the windows, or with `core` the middles of their overlaps."""
    if core:
        return (0, *((before + window + after) // 2 for before, after in itertools.pairwise(starts)), size)
    return (*starts, size)


def _spots(index: int, start: int, window: int, edges: tuple[int, ...], *, core: bool) -> list[_Spot]:
    """The cells under one window along one axis, the last first, so that the window's own cell is its last."""
    found = []
    for cell, (first, stop) in enumerate(itertools.pairwise(edges)):
        low, high = max(first, start), min(stop, start + window)
        if cell == index or (not core and low < high):
            inside, part = slice(low - first, high - first), slice(low - start, high - start)
            found.append(_Spot(cell=cell, inside=inside, part=part, whole=high - low == stop - first))
    return found[::-1]
