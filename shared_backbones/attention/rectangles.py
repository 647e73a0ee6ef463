"""Shifted windows without roll, mask or padding: what sees each other in them is a rectangle of the unshifted grid.

A cyclic shift by s cuts every axis at s, s + w, s + 2w ...: the window that wraps around the edge holds the first s and
the last few coordinates, which the shift mask of Swin (Liu et al. 2021, section 3.2) keeps apart. Attending inside the
rectangles between the cuts is therefore the same as masking, with nothing computed for masked pairs. Rectangles of
one shape share one relative-position bias and go through one fused call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitapps.shared_backbones.attention.by_products import by_products
from vitapps.shared_backbones.attention.dense import CHUNK, Terms, dense_attend
from vitapps.shared_backbones.attention.options import Need, RelPos, Window


@dataclass(frozen=True, slots=True)
class Segment:
    """`length` coordinates of an axis from `start`; the first of them is coordinate `inside` of its window."""

    start: int
    length: int
    inside: int


@dataclass(frozen=True, slots=True)
class Rectangles:
    """All rectangles of one `shape`, at one place of their windows (`inside`): `index` R L, token numbers."""

    shape: tuple[int, ...]
    inside: tuple[int, ...]
    index: Tensor


def segments(length: int, size: int, shift: int) -> list[Segment]:
    """The pieces of an axis of `length` in windows of `size` that begin at `shift`."""
    found = [Segment(0, min(shift, length), size - shift)] if shift else []
    return found + [Segment(start, min(size, length - start), 0) for start in range(shift, length, size)]


def partition(
    grid: tuple[int, ...], size: tuple[int, ...], shift: tuple[int, ...], device: torch.device
) -> tuple[tuple[Rectangles, ...], Tensor]:
    """The rectangles, grouped by shape and place, and the position of every token in their concatenation (N)."""
    groups, order = _partition(grid, size, shift)
    rectangles = tuple(Rectangles(*key, torch.as_tensor(index, device=device)) for key, index in groups)
    return rectangles, torch.as_tensor(order, device=device)


# Caches hold numpy arrays: a tensor made under inference_mode or in an export could not be used outside of it.
@lru_cache(maxsize=64)
def _partition(
    grid: tuple[int, ...], size: tuple[int, ...], shift: tuple[int, ...]
) -> tuple[list[tuple[tuple[tuple[int, ...], tuple[int, ...]], NDArray[np.int64]]], NDArray[np.int64]]:
    axes = [segments(*axis) for axis in zip(grid, size, shift, strict=True)]
    numbers = np.arange(math.prod(grid), dtype=np.int64).reshape(grid)
    blocks: dict[tuple[tuple[int, ...], tuple[int, ...]], list[NDArray[np.int64]]] = {}
    for parts in itertools.product(*axes):
        block = numbers[tuple(slice(part.start, part.start + part.length) for part in parts)]
        key = (tuple(part.length for part in parts), tuple(part.inside for part in parts))
        blocks.setdefault(key, []).append(block.reshape(-1))  # *shape -> L
    groups = [(key, np.stack(same)) for key, same in blocks.items()]
    order = np.concatenate([index.reshape(-1) for _, index in groups])
    return groups, np.argsort(order, kind="stable")


def window_attend(q: Tensor, k: Tensor, v: Tensor, window: Window, terms: Terms, scale: float | None) -> Tensor:
    """B h N d of queries, keys and values -> B h N d; see `Window`."""

    def attend(own: Tensor, inside: Terms, index: Tensor) -> Tensor:
        return dense_attend(own, _take(k, index), _take(v, index), inside, scale)

    return _by_rectangle(q, window, terms, attend)


def window_products(
    q: Tensor, k: Tensor, window: Window, terms: Terms, scale: float | None, need: set[Need]
) -> dict[Need, Tensor]:
    """ "column_sum" and "entropy" inside windows, B h N each."""
    found: dict[Need, Tensor] = {}
    for name in need & {"column_sum", "entropy"}:

        def product(own: Tensor, inside: Terms, index: Tensor, name: Need = name) -> Tensor:
            return by_products(own, _take(k, index), inside, scale, (name,))[name].unsqueeze(-1)  # -> BR h L 1

        found[name] = _by_rectangle(q, window, terms, product).squeeze(-1)
    return found


def _by_rectangle(q: Tensor, window: Window, terms: Terms, fn: Callable[[Tensor, Terms, Tensor], Tensor]) -> Tensor:
    """`fn(queries BR h L d, terms, index R L) -> BR h L c` over all rectangles, back in the order of the grid."""
    groups, order = partition(window.grid, window.size, window.shift, q.device)
    results = []
    for group in groups:
        scores = q.shape[0] * q.shape[1] * group.index.shape[1] ** 2  # of one rectangle
        step = max(1, CHUNK // scores) if terms.rel_pos is not None or terms.log_size is not None else len(group.index)
        table = _table_bias(window, group.shape, q)
        for index in group.index.split(step):
            inside = _inside(terms, table, Rectangles(group.shape, group.inside, index), q.shape[0])
            out = fn(_take(q, index), inside, index).unflatten(0, (q.shape[0], -1))  # BR h L c -> B R h L c
            results.append(out.transpose(1, 2).flatten(2, 3))  # -> B h RL c
    return torch.cat(results, dim=2).index_select(2, order)  # -> B h N c


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Tokens of the rectangles: B h N c, R L -> BR h L c."""
    taken: Tensor = x.index_select(2, index.flatten()).unflatten(2, index.shape)  # -> B h R L c
    return taken.transpose(1, 2).flatten(0, 1)  # -> B R h L c -> BR h L c


def _table_bias(window: Window, shape: tuple[int, ...], q: Tensor) -> Tensor | None:
    """The bias of every pair inside a rectangle, from the table: 1 h L L."""
    if window.table is None:
        return None
    rows = torch.as_tensor(_table_rows(shape, window.size), device=q.device)  # LL
    table = window.table.to(q.dtype).t()  # T h -> h T
    bias: Tensor = table.index_select(1, rows).unflatten(1, (math.prod(shape), -1))  # -> h LL -> h L L
    return bias.unsqueeze(0)


@lru_cache(maxsize=256)
def _table_rows(shape: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.int64]:
    """The row of the table of windows of `size` that each pair of tokens of a rectangle has, query first: LL."""
    axes = np.meshgrid(*(np.arange(length, dtype=np.int64) for length in shape), indexing="ij")
    row = np.zeros((), dtype=np.int64)
    for axis, width in zip(axes, size, strict=True):
        distance = axis.reshape(-1, 1) - axis.reshape(1, -1)  # L L
        row = row * (2 * width - 1) + distance + width - 1
    return row.reshape(-1)


def _inside(terms: Terms, table: Tensor | None, group: Rectangles, batch: int) -> Terms:
    """The terms of the whole grid, seen from the rectangles `group`."""
    log_size, rel_pos = terms.log_size, terms.rel_pos
    if log_size is not None:
        log_size = _take(log_size.transpose(2, 3), group.index).transpose(2, 3)  # B 1 1 N -> B 1 N 1 -> BR 1 1 L
    if rel_pos is not None:
        strips = tuple(
            _take(strip, group.index)[..., first : first + length]  # B h N size -> BR h L length
            for strip, first, length in zip(rel_pos.strips, group.inside, group.shape, strict=True)
        )
        rel_pos = RelPos(grid=group.shape, strips=strips)
    return Terms(bias=table, log_size=log_size, rel_pos=rel_pos)
