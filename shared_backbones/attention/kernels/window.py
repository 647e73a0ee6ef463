"""Attention in shifted windows, 2-D and 3-D (Swin, Liu et al. 2021, section 3.2; Swin UNETR, Hatamizadeh et al. 2022):
partition and shift are addresses, the bias is gathered from the (2w - 1)^k table, nothing is rolled, padded or copied.

A program takes a block of queries of one rectangle of `rectangles.py` (a window, or the part of a wrapped window that
sees itself), so that Swin's shift mask has nothing left to mask. Tokens of a rectangle are numbered 0 to L - 1 in
row-major order; token number and table row of each follow from its coordinates. Backward as in FlashAttention-2 (Dao
2023, arXiv:2307.08691, algorithm 2); the gradient of the table is summed with atomic additions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitapps.shared_backbones.attention.kernels.tiles import (
    channels_together,
    empty_rows,
    load_tile,
    outer,
    rescale,
    split_head,
    store_tile,
    strides,
)
from vitapps.shared_backbones.attention.options import Window
from vitapps.shared_backbones.attention.rectangles import segments

CARD = {
    "id": "WindowKernel",
    "name": "window_kernel",
    "family": "attention",
    "paper": "Liu et al. 2021, arXiv:2103.14030; Hatamizadeh et al. 2022, arXiv:2201.01266; Dao 2023, arXiv:2307.08691",
    "equation": "Swin section 3.2 and eq. 4; FlashAttention-2 algorithms 1 and 2",
    "deviations": "windows at the edge are smaller instead of padded; run in Triton's interpreter only so far",
    "slots": [],
    "cost": "O(N L d) time for windows of L tokens, O(N d) memory",
    "status": "paper",
}


def window_kernel(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float | None) -> Tensor:
    """Attention inside `window` for q, k, v B h N d; differentiable in q, k, v and the table."""
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    q, k, v = (channels_together(x) for x in (q, k, v))
    table = None if window.table is None else window.table.t().contiguous()  # T h -> h T
    geometry = (window.grid, window.size, window.shift)
    out: Tensor = _WindowAttention.apply(q, k, v, table, geometry, factor)
    return out


def block_size(tokens: int) -> int:
    """Queries a program, and keys a step: 64, less where a window is smaller."""
    return min(64, max(16, 1 << (tokens - 1).bit_length()))


class _WindowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        q, k, v, table, geometry, scale = args
        out, lse = torch.empty_like(q), empty_rows(q)
        numbers, meta, grid = _sizes(q, table, geometry)
        _forward[grid]((q, k, v), table, (out, lse), strides(q, k, v, out), numbers, scale, META=meta)
        ctx.save_for_backward(q, k, v, table, out, lse)
        ctx.geometry, ctx.scale = geometry, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        q, k, v, table, out, lse = ctx.saved_tensors
        grad = channels_together(gradients[0])
        delta = (out.float() * grad.float()).sum(-1)  # B h N d -> B h N
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        dtable = None if table is None else torch.zeros(table.shape, dtype=torch.float32, device=q.device)
        numbers, meta, grid = _sizes(q, table, ctx.geometry)
        inputs = (q, k, v, grad, lse, delta)
        _backward_queries[grid](inputs, table, (dq, dtable), strides(q, k, v, grad, dq), numbers, ctx.scale, META=meta)
        _backward_keys[grid](inputs, table, (dk, dv), strides(q, k, v, grad, dk, dv), numbers, ctx.scale, META=meta)
        return dq, dk, dv, None if dtable is None else dtable.to(table.dtype), None, None


def _sizes(
    q: Tensor, table: Tensor | None, geometry: tuple[tuple[int, ...], ...]
) -> tuple[tuple[int, ...], tuple[int | bool, ...], tuple[int, int]]:
    """The numbers that `_rectangle` reads, the constants (D0, D1, BLOCK, with a table), and the launch grid.

    One and two axes become three by leading axes of length one.
    """
    missing = 3 - len(geometry[0])
    grid, size, shift = ((fill,) * missing + axes for fill, axes in zip((1, 1, 0), geometry, strict=True))
    pieces = [len(segments(*axis)) for axis in zip(grid, size, shift, strict=True)]
    offset = tuple(step - width if step else 0 for step, width in zip(shift, size, strict=True))
    block = block_size(math.prod(size))
    blocks = triton.cdiv(math.prod(size), block)
    numbers = (q.shape[1], q.shape[2], q.shape[3], *grid, *size, *offset, pieces[1], pieces[2], blocks)
    programs = math.prod(pieces) * blocks, q.shape[0] * q.shape[1]
    return numbers, (*split_head(q.shape[-1]), block, table is not None), programs


@triton.jit
def _segment(number, length, size, offset):
    """Start and length of a piece of an axis; `offset` is shift - size, or 0 without a shift."""
    begin = number * size + offset
    start = tl.maximum(begin, 0)
    return start, tl.minimum(begin + size, length) - start


@triton.jit
def _rectangle(program, numbers):
    """Where the rectangle of a program starts (three axes), how long it is, and the first query of the program."""
    blocks = numbers[14]
    piece = program // blocks
    z, y, x = piece // (numbers[12] * numbers[13]), piece // numbers[13] % numbers[12], piece % numbers[13]
    z0, depth = _segment(z, numbers[3], numbers[6], numbers[9])
    y0, height = _segment(y, numbers[4], numbers[7], numbers[10])
    x0, width = _segment(x, numbers[5], numbers[8], numbers[11])
    return z0, y0, x0, depth, height, width, program % blocks


@triton.jit
def _place(local, z0, y0, x0, height, width, numbers):
    """Number and table code of the tokens `local` of a rectangle; a pair's row is code(q) - code(k) + centre."""
    z, y, x = local // (height * width), local // width % height, local % width
    token = ((z0 + z) * numbers[4] + y0 + y) * numbers[5] + x0 + x
    code = (z * (2 * numbers[7] - 1) + y) * (2 * numbers[8] - 1) + x
    return token, code


@triton.jit
def _table_place(code_q, code_k, numbers):
    """Row of the table of every pair of a tile."""
    centre = ((numbers[6] - 1) * (2 * numbers[7] - 1) + numbers[7] - 1) * (2 * numbers[8] - 1) + numbers[8] - 1
    return code_q[:, None] - code_k[None, :] + centre


@triton.jit
def _table_rows(numbers):
    """Rows of the table."""
    return (2 * numbers[6] - 1) * (2 * numbers[7] - 1) * (2 * numbers[8] - 1)


@triton.jit
def _forward(qkv, table, results, strides, numbers, scale, META: tl.constexpr):
    """One block of queries of one rectangle and head."""
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK: tl.constexpr = META[2]
    heads, count, dim = numbers[0], numbers[1], numbers[2]
    z0, y0, x0, depth, height, width, block = _rectangle(tl.program_id(0), numbers)
    inside = depth * height * width
    if block * BLOCK >= inside:
        return
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = qkv[0] + batch * strides[0] + head * strides[1]
    k = qkv[1] + batch * strides[3] + head * strides[4]
    v = qkv[2] + batch * strides[6] + head * strides[7]
    local = block * BLOCK + tl.arange(0, BLOCK)
    real = local < inside
    query, code_q = _place(local, z0, y0, x0, height, width, numbers)
    q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
    q1 = q0
    acc0 = tl.zeros([BLOCK, D0], tl.float32)
    acc1 = tl.zeros([BLOCK, 16], tl.float32)
    if D1 > 0:
        q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
        acc1 = tl.zeros([BLOCK, D1], tl.float32)
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    norm = tl.zeros([BLOCK], tl.float32)
    for start in range(0, inside, BLOCK):
        local_k = start + tl.arange(0, BLOCK)
        there = local_k < inside
        key, code_k = _place(local_k, z0, y0, x0, height, width, numbers)
        k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
        k1 = k0
        if D1 > 0:
            k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
        scores = outer(q0, q1, k0, k1, D1) * scale
        if META[3]:
            place = head * _table_rows(numbers) + _table_place(code_q, code_k, numbers)
            scores += tl.load(table + place, mask=real[:, None] & there[None, :], other=0.0).to(tl.float32)
        scores = tl.where(there[None, :], scores * 1.4426950408889634, float("-inf"))
        weights, factor, top, norm = rescale(top, norm, scores)
        v0 = load_tile(v, key, strides[8], there, 0, dim, D0)
        acc0 = tl.dot(weights.to(v0.dtype), v0, acc0 * factor[:, None], input_precision="ieee")
        if D1 > 0:
            v1 = load_tile(v, key, strides[8], there, D0, dim, D1)
            acc1 = tl.dot(weights.to(v1.dtype), v1, acc1 * factor[:, None], input_precision="ieee")
    out = results[0] + batch * strides[9] + head * strides[10]
    store_tile(out, query, strides[11], real, acc0 / norm[:, None], 0, dim)
    if D1 > 0:
        store_tile(out, query, strides[11], real, acc1 / norm[:, None], D0, dim)
    tl.store(results[1] + plane * count + query, top + tl.log2(norm), mask=real)


@triton.jit
def _weights(scores, table, place, pairs, lse, WITH: tl.constexpr):
    """Attention weights of a tile from its scaled products, its places in the table and its queries' log-sum-exp."""
    if WITH:
        scores += tl.load(table + place, mask=pairs, other=0.0).to(tl.float32)
    return tl.where(pairs, tl.exp2(scores * 1.4426950408889634 - lse[:, None]), 0.0)


@triton.jit
def _backward_queries(inputs, table, results, strides, numbers, scale, META: tl.constexpr):
    """dq of one block of queries of one rectangle and head, and its share of the gradient of the table."""
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK: tl.constexpr = META[2]
    heads, count, dim = numbers[0], numbers[1], numbers[2]
    z0, y0, x0, depth, height, width, block = _rectangle(tl.program_id(0), numbers)
    inside = depth * height * width
    if block * BLOCK >= inside:
        return
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = inputs[0] + batch * strides[0] + head * strides[1]
    k = inputs[1] + batch * strides[3] + head * strides[4]
    v = inputs[2] + batch * strides[6] + head * strides[7]
    grad = inputs[3] + batch * strides[9] + head * strides[10]
    local = block * BLOCK + tl.arange(0, BLOCK)
    real = local < inside
    query, code_q = _place(local, z0, y0, x0, height, width, numbers)
    q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
    g0 = load_tile(grad, query, strides[11], real, 0, dim, D0)
    q1, g1 = q0, g0
    dq0 = tl.zeros([BLOCK, D0], tl.float32)
    dq1 = tl.zeros([BLOCK, 16], tl.float32)
    if D1 > 0:
        q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
        g1 = load_tile(grad, query, strides[11], real, D0, dim, D1)
        dq1 = tl.zeros([BLOCK, D1], tl.float32)
    lse = tl.load(inputs[4] + plane * count + query, mask=real, other=0.0)
    delta = tl.load(inputs[5] + plane * count + query, mask=real, other=0.0)
    for start in range(0, inside, BLOCK):
        local_k = start + tl.arange(0, BLOCK)
        there = local_k < inside
        key, code_k = _place(local_k, z0, y0, x0, height, width, numbers)
        k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
        v0 = load_tile(v, key, strides[8], there, 0, dim, D0)
        k1, v1 = k0, v0
        if D1 > 0:
            k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
            v1 = load_tile(v, key, strides[8], there, D0, dim, D1)
        pairs = real[:, None] & there[None, :]
        place = head * _table_rows(numbers) + _table_place(code_q, code_k, numbers)
        weights = _weights(outer(q0, q1, k0, k1, D1) * scale, table, place, pairs, lse, META[3])
        dscores = weights * (outer(g0, g1, v0, v1, D1) - delta[:, None])
        dq0 = tl.dot(dscores.to(k0.dtype), k0, dq0, input_precision="ieee")
        if D1 > 0:
            dq1 = tl.dot(dscores.to(k1.dtype), k1, dq1, input_precision="ieee")
        if META[3]:
            tl.atomic_add(results[1] + place, dscores, mask=pairs, sem="relaxed")
    dq = results[0] + batch * strides[12] + head * strides[13]
    store_tile(dq, query, strides[14], real, dq0 * scale, 0, dim)
    if D1 > 0:
        store_tile(dq, query, strides[14], real, dq1 * scale, D0, dim)


@triton.jit
def _backward_keys(inputs, table, results, strides, numbers, scale, META: tl.constexpr):
    """dk and dv of one block of keys of one rectangle and head."""
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK: tl.constexpr = META[2]
    heads, count, dim = numbers[0], numbers[1], numbers[2]
    z0, y0, x0, depth, height, width, block = _rectangle(tl.program_id(0), numbers)
    inside = depth * height * width
    if block * BLOCK >= inside:
        return
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = inputs[0] + batch * strides[0] + head * strides[1]
    k = inputs[1] + batch * strides[3] + head * strides[4]
    v = inputs[2] + batch * strides[6] + head * strides[7]
    grad = inputs[3] + batch * strides[9] + head * strides[10]
    local = block * BLOCK + tl.arange(0, BLOCK)
    there = local < inside
    key, code_k = _place(local, z0, y0, x0, height, width, numbers)
    k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
    v0 = load_tile(v, key, strides[8], there, 0, dim, D0)
    k1, v1 = k0, v0
    dk0, dv0 = tl.zeros([BLOCK, D0], tl.float32), tl.zeros([BLOCK, D0], tl.float32)
    dk1, dv1 = tl.zeros([BLOCK, 16], tl.float32), tl.zeros([BLOCK, 16], tl.float32)
    if D1 > 0:
        k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
        v1 = load_tile(v, key, strides[8], there, D0, dim, D1)
        dk1, dv1 = tl.zeros([BLOCK, D1], tl.float32), tl.zeros([BLOCK, D1], tl.float32)
    for start in range(0, inside, BLOCK):
        local_q = start + tl.arange(0, BLOCK)
        real = local_q < inside
        query, code_q = _place(local_q, z0, y0, x0, height, width, numbers)
        q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
        g0 = load_tile(grad, query, strides[11], real, 0, dim, D0)
        q1, g1 = q0, g0
        if D1 > 0:
            q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
            g1 = load_tile(grad, query, strides[11], real, D0, dim, D1)
        lse = tl.load(inputs[4] + plane * count + query, mask=real, other=0.0)
        delta = tl.load(inputs[5] + plane * count + query, mask=real, other=0.0)
        pairs = real[:, None] & there[None, :]
        place = head * _table_rows(numbers) + _table_place(code_q, code_k, numbers)
        weights = _weights(outer(q0, q1, k0, k1, D1) * scale, table, place, pairs, lse, META[3])
        dscores = weights * (outer(g0, g1, v0, v1, D1) - delta[:, None])
        dv0 = tl.dot(tl.trans(weights).to(g0.dtype), g0, dv0, input_precision="ieee")
        dk0 = tl.dot(tl.trans(dscores).to(q0.dtype), q0, dk0, input_precision="ieee")
        if D1 > 0:
            dv1 = tl.dot(tl.trans(weights).to(g1.dtype), g1, dv1, input_precision="ieee")
            dk1 = tl.dot(tl.trans(dscores).to(q1.dtype), q1, dk1, input_precision="ieee")
    dk = results[0] + batch * strides[12] + head * strides[13]
    dv = results[1] + batch * strides[15] + head * strides[16]
    store_tile(dk, key, strides[14], there, dk0 * scale, 0, dim)
    store_tile(dv, key, strides[17], there, dv0, 0, dim)
    if D1 > 0:
        store_tile(dk, key, strides[14], there, dk1 * scale, D0, dim)
        store_tile(dv, key, strides[17], there, dv1, D0, dim)
