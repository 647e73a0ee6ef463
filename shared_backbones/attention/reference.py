"""Attention by its definition in double precision: what every path of attend() is compared with.

Every option is one N x M tensor added to the scores, -inf where a pair does not see each other, computed from the
coordinates of both tokens and by nothing that `attend` uses.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.options import Need, Options, RelPos, Window
from vitapps.shared_backbones.attention.rotate import Rotation, rotate


def reference_attend(q: Tensor, k: Tensor, v: Tensor, **options: Unpack[Options]) -> tuple[Tensor, dict[Need, Tensor]]:
    """softmax(q k^T scale + bias + log size + ...) v (Vaswani et al. 2017, eq. 1; ToMe, Bolya et al. 2023, eq. 1).

    Arguments as `attend`, `need` aside: every by-product is returned, "map" among them. All float64, differentiable.
    """
    q, k, v = q.double(), k.double(), v.double()
    key_mean = k.mean(dim=1)
    rope, scale = options.get("rope"), options.get("scale")
    if rope is not None:
        table = Rotation(rope.cos.double(), rope.sin.double())
        q, k = rotate(q, table), rotate(k, table)
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    weights = (scores + _added(q, k, options)).softmax(dim=-1)
    products: dict[Need, Tensor] = {
        "key_mean": key_mean,
        "class_row": _class_row(weights, options.get("cu_seqlens")),
        "map": weights,
        "column_sum": weights.sum(dim=2),
        "head_mean": weights.mean(dim=1),
        "entropy": -torch.xlogy(weights, weights).sum(dim=-1),
    }
    return torch.einsum("bhqk,bhkd->bhqd", weights, v), products


def _added(q: Tensor, k: Tensor, options: Options) -> Tensor:
    """All that is added to the scores, broadcastable to B h N M."""
    total = torch.zeros(1, 1, q.shape[2], k.shape[2], dtype=torch.float64, device=q.device)
    if (bias := options.get("bias")) is not None:
        total = total + bias.double()
    if (key_size := options.get("key_size")) is not None:
        total = total + key_size.double().reshape(k.shape[0], 1, 1, -1).log()  # B M 1 -> B 1 1 M
    if (ends := options.get("cu_seqlens")) is not None:
        image = torch.bucketize(torch.arange(q.shape[2], device=q.device), ends[1:].to(q.device), right=True)  # N
        total = total.masked_fill(image[:, None] != image[None, :], -torch.inf)
    window = options.get("window")
    if window is not None:
        total = total + _window_bias(window, q)
    if (rel_pos := options.get("rel_pos")) is not None:
        total = total + _rel_pos_bias(rel_pos, window, k)
    return total


def _class_row(weights: Tensor, ends: Tensor | None) -> Tensor:
    if ends is None:
        return weights[:, :, 0]  # B h N M -> B h M
    firsts = sorted({start for start in ends[:-1].tolist() if start < weights.shape[2]})
    return weights[:, :, firsts].sum(dim=2)  # images do not see each other: the sum picks each key's own


def _coordinates(grid: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """The coordinate of every token on every axis, N each."""
    axes = torch.meshgrid(*(torch.arange(size, device=device) for size in grid), indexing="ij")
    return [axis.flatten() for axis in axes]


def _window_bias(window: Window, q: Tensor) -> Tensor:
    """Swin's roll, partition, mask and table, said of pairs of tokens: 1 h N N (1 1 N N without a table)."""
    apart = torch.zeros((), dtype=torch.bool, device=q.device)
    place = torch.zeros((), dtype=torch.long, device=q.device)
    for axis, coordinate in enumerate(_coordinates(window.grid, q.device)):
        size, shift = window.size[axis], window.shift[axis]
        padded = -(-window.grid[axis] // size) * size
        rolled = (coordinate - shift) % padded
        number, wrapped = rolled // size, coordinate < shift  # which window; carried around the edge
        apart = apart | (number[:, None] != number[None, :]) | (wrapped[:, None] != wrapped[None, :])
        distance = (rolled % size)[:, None] - (rolled % size)[None, :]
        place = place * (2 * size - 1) + distance + size - 1
    mask = torch.zeros(apart.shape, dtype=torch.float64, device=q.device).masked_fill(apart, -torch.inf)
    if window.table is None:
        return mask[None, None]
    return window.table.double()[place].permute(2, 0, 1)[None] + mask  # N N h -> 1 h N N


def _rel_pos_bias(rel_pos: RelPos, window: Window | None, k: Tensor) -> Tensor:
    """B h N M: for every axis the strip's entry at the key's coordinate (inside its window)."""
    grid = rel_pos.grid if window is None else window.grid
    total = torch.zeros((), dtype=torch.float64, device=k.device)
    for axis, coordinate in enumerate(_coordinates(grid, k.device)):
        if window is not None:
            coordinate = (coordinate - window.shift[axis]) % window.size[axis]
        total = total + rel_pos.strips[axis].double()[..., coordinate]  # B h N size -> B h N M
    return total
