"""Attention with decomposed relative position (MViTv2, Li et al. 2022, eq. 4; ViTDet, SAM): the bias of a query is read
as two strips, one entry per row and one per column of the key grid, and never exists for all pairs.

Keys are visited in tiles of ROWS x COLS patches of their grid, COLS a power of two, so that the column of a key inside
its tile is the same in every tile: the column strip is loaded once for a whole walk down the rows. Forward keeps the
log-sum-exp; backward is one pass over keys for dq and the strips' gradients, one over queries for dk and dv (Dao 2023,
arXiv:2307.08691, algorithm 2).
"""

from __future__ import annotations

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
from vitapps.shared_backbones.attention.options import RelPos

CARD = {
    "id": "RelPosKernel",
    "name": "rel_pos_kernel",
    "family": "attention",
    "paper": "Li et al. 2022, arXiv:2112.01526; Li et al. 2022, arXiv:2203.16527; Dao 2023, arXiv:2307.08691",
    "equation": "MViTv2 eq. 4; FlashAttention-2 algorithms 1 and 2",
    "deviations": "two axes; key sizes may be added; run in Triton's interpreter only so far",
    "slots": [],
    "cost": "O(N^2 d) time, O(N (d + H + W)) memory",
    "status": "paper",
}
BLOCK = 64  # queries a program, and keys a tile


def rel_pos_kernel(
    q: Tensor, k: Tensor, v: Tensor, rel_pos: RelPos, log_size: Tensor | None, scale: float | None
) -> Tensor:
    """softmax(q k^T scale + rows + columns + log_size) v for q B h N d and the keys of a two-axis grid; differentiable
    in q, k, v and both strips. `log_size` B 1 1 M or None."""
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    rows, columns = (strip.contiguous() for strip in rel_pos.strips)  # B h N H, B h N W
    sizes = None if log_size is None else log_size.flatten(1).float().contiguous()  # B 1 1 M -> B M
    q, k, v = (channels_together(x) for x in (q, k, v))
    out: Tensor = _RelPosAttention.apply(q, k, v, rows, columns, sizes, factor)
    return out


def tile_columns(width: int) -> int:
    """Columns of a tile: 16, 32 or 64, whichever covers `width` with the fewest idle places, the widest of equals."""
    return min((64, 32, 16), key=lambda size: -(-width // size) * size)


class _RelPosAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        q, k, v, rows, columns, sizes, scale = args
        out, lse = torch.empty_like(q), empty_rows(q)
        numbers, meta = _sizes(q, rows, columns, sizes)
        _forward[_query_grid(q)](
            (q, k, v), (rows, columns), sizes, (out, lse), strides(q, k, v, out), numbers, scale, META=meta
        )
        ctx.save_for_backward(q, k, v, rows, columns, sizes, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        q, k, v, rows, columns, sizes, out, lse = ctx.saved_tensors
        grad = channels_together(gradients[0])
        delta = (out.float() * grad.float()).sum(-1)  # B h N d -> B h N
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        drows, dcolumns = (torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in (rows, columns))
        numbers, meta = _sizes(q, rows, columns, sizes)
        inputs = ((q, k, v, grad, lse, delta), (rows, columns), sizes)
        _backward_queries[_query_grid(q)](
            *inputs, (dq, drows, dcolumns), strides(q, k, v, grad, dq), numbers, ctx.scale, META=meta
        )
        tiles = triton.cdiv(rows.shape[-1], meta[3]) * triton.cdiv(columns.shape[-1], meta[4])
        _backward_keys[(tiles, q.shape[0] * q.shape[1])](
            *inputs, (dk, dv), strides(q, k, v, grad, dk, dv), numbers, ctx.scale, META=meta
        )
        return dq, dk, dv, drows.to(rows.dtype), dcolumns.to(columns.dtype), None, None


def _query_grid(q: Tensor) -> tuple[int, int]:
    return triton.cdiv(q.shape[2], BLOCK), q.shape[0] * q.shape[1]


def _sizes(
    q: Tensor, rows: Tensor, columns: Tensor, sizes: Tensor | None
) -> tuple[tuple[int, ...], tuple[int | bool, ...]]:
    """(heads, N, d, H, W) and the constants (D0, D1, BLOCK_Q, ROWS, COLS, with key sizes)."""
    height, width = rows.shape[-1], columns.shape[-1]
    wide = tile_columns(width)
    numbers = (q.shape[1], q.shape[2], q.shape[3], height, width)
    return numbers, (*split_head(q.shape[-1]), BLOCK, BLOCK // wide, wide, sizes is not None)


@triton.jit
def _forward(qkv, strips, sizes, results, strides, numbers, scale, META: tl.constexpr):
    """One block of queries of one head against all keys."""
    heads, count, dim, height, width = numbers
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK_Q: tl.constexpr = META[2]
    ROWS: tl.constexpr = META[3]
    COLS: tl.constexpr = META[4]
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = qkv[0] + batch * strides[0] + head * strides[1]
    k = qkv[1] + batch * strides[3] + head * strides[4]
    v = qkv[2] + batch * strides[6] + head * strides[7]
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    real = query < count
    q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
    q1 = q0
    acc0 = tl.zeros([BLOCK_Q, D0], tl.float32)
    acc1 = tl.zeros([BLOCK_Q, 16], tl.float32)
    if D1 > 0:
        q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
        acc1 = tl.zeros([BLOCK_Q, D1], tl.float32)
    top = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    norm = tl.zeros([BLOCK_Q], tl.float32)
    for x0 in range(0, width, COLS):
        columns = _column_bias(strips[1], plane * count + query, real, x0, width, ROWS, COLS)
        for y0 in range(0, height, ROWS):
            key, there = _tile_keys(y0, x0, height, width, ROWS, COLS)
            k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
            k1 = k0
            if D1 > 0:
                k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
            bias = columns + _row_bias(strips[0], plane * count + query, real, y0, height, ROWS, COLS)
            if META[5]:
                bias += tl.load(sizes + batch * height * width + key, mask=there, other=0.0)[None, :]
            scores = (outer(q0, q1, k0, k1, D1) * scale + bias) * 1.4426950408889634
            scores = tl.where(there[None, :], scores, float("-inf"))
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
def _tile_keys(y0, x0, height, width, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Token numbers of a tile of the key grid, and which of them exist."""
    local = tl.arange(0, ROWS * COLS)
    y, x = y0 + local // COLS, x0 + local % COLS
    return y * width + x, (y < height) & (x < width)


@triton.jit
def _column_bias(strip, row, real, x0, width, ROWS: tl.constexpr, COLS: tl.constexpr):
    """What the column strip adds to a tile: BLOCK_Q ROWS*COLS, the same for every y0."""
    x = x0 + tl.arange(0, ROWS * COLS) % COLS
    where = strip + row[:, None] * width + x[None, :]
    return tl.load(where, mask=real[:, None] & (x[None, :] < width), other=0.0).to(tl.float32)


@triton.jit
def _row_bias(strip, row, real, y0, height, ROWS: tl.constexpr, COLS: tl.constexpr):
    """What the row strip adds to a tile: BLOCK_Q ROWS*COLS, or BLOCK_Q 1 where a tile is one row."""
    if ROWS == 1:
        bias = tl.load(strip + row * height + y0, mask=real, other=0.0).to(tl.float32)[:, None]
    else:
        y = y0 + tl.arange(0, ROWS * COLS) // COLS
        where = strip + row[:, None] * height + y[None, :]
        bias = tl.load(where, mask=real[:, None] & (y[None, :] < height), other=0.0).to(tl.float32)
    return bias


@triton.jit
def _backward_queries(inputs, strips, sizes, results, strides, numbers, scale, META: tl.constexpr):
    """dq and both strips' gradients of one block of queries of one head; rows may span tiles, so theirs is added."""
    heads, count, dim, height, width = numbers
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK_Q: tl.constexpr = META[2]
    ROWS: tl.constexpr = META[3]
    COLS: tl.constexpr = META[4]
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = inputs[0] + batch * strides[0] + head * strides[1]
    k = inputs[1] + batch * strides[3] + head * strides[4]
    v = inputs[2] + batch * strides[6] + head * strides[7]
    grad = inputs[3] + batch * strides[9] + head * strides[10]
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    real = query < count
    row = plane * count + query
    q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
    g0 = load_tile(grad, query, strides[11], real, 0, dim, D0)
    q1, g1 = q0, g0
    dq0 = tl.zeros([BLOCK_Q, D0], tl.float32)
    dq1 = tl.zeros([BLOCK_Q, 16], tl.float32)
    if D1 > 0:
        q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
        g1 = load_tile(grad, query, strides[11], real, D0, dim, D1)
        dq1 = tl.zeros([BLOCK_Q, D1], tl.float32)
    lse = tl.load(inputs[4] + row, mask=real, other=0.0)
    delta = tl.load(inputs[5] + row, mask=real, other=0.0)
    for x0 in range(0, width, COLS):
        columns = _column_bias(strips[1], row, real, x0, width, ROWS, COLS)
        dcolumns = tl.zeros([BLOCK_Q, ROWS * COLS], tl.float32)
        for y0 in range(0, height, ROWS):
            key, there = _tile_keys(y0, x0, height, width, ROWS, COLS)
            k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
            v0 = load_tile(v, key, strides[8], there, 0, dim, D0)
            k1, v1 = k0, v0
            if D1 > 0:
                k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
                v1 = load_tile(v, key, strides[8], there, D0, dim, D1)
            bias = columns + _row_bias(strips[0], row, real, y0, height, ROWS, COLS)
            if META[5]:
                bias += tl.load(sizes + batch * height * width + key, mask=there, other=0.0)[None, :]
            scores = (outer(q0, q1, k0, k1, D1) * scale + bias) * 1.4426950408889634
            weights = tl.where(there[None, :] & real[:, None], tl.exp2(scores - lse[:, None]), 0.0)
            dscores = weights * (outer(g0, g1, v0, v1, D1) - delta[:, None])
            dq0 = tl.dot(dscores.to(k0.dtype), k0, dq0, input_precision="ieee")
            if D1 > 0:
                dq1 = tl.dot(dscores.to(k1.dtype), k1, dq1, input_precision="ieee")
            dcolumns += dscores
            y = y0 + tl.arange(0, ROWS)
            drows = tl.sum(tl.reshape(dscores, [BLOCK_Q, ROWS, COLS]), 2)  # BLOCK_Q ROWS
            where = results[1] + row[:, None] * height + y[None, :]
            tl.atomic_add(where, drows, mask=real[:, None] & (y[None, :] < height), sem="relaxed")
        x = x0 + tl.arange(0, COLS)
        summed = tl.sum(tl.reshape(dcolumns, [BLOCK_Q, ROWS, COLS]), 1)  # BLOCK_Q COLS
        tl.store(results[2] + row[:, None] * width + x[None, :], summed, mask=real[:, None] & (x[None, :] < width))
    dq = results[0] + batch * strides[12] + head * strides[13]
    store_tile(dq, query, strides[14], real, dq0 * scale, 0, dim)
    if D1 > 0:
        store_tile(dq, query, strides[14], real, dq1 * scale, D0, dim)


@triton.jit
def _backward_keys(inputs, strips, sizes, results, strides, numbers, scale, META: tl.constexpr):
    """dk and dv of one tile of keys of one head, over all queries."""
    heads, count, dim, height, width = numbers
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK_Q: tl.constexpr = META[2]
    ROWS: tl.constexpr = META[3]
    COLS: tl.constexpr = META[4]
    plane = tl.program_id(1).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q = inputs[0] + batch * strides[0] + head * strides[1]
    k = inputs[1] + batch * strides[3] + head * strides[4]
    v = inputs[2] + batch * strides[6] + head * strides[7]
    grad = inputs[3] + batch * strides[9] + head * strides[10]
    across = tl.cdiv(width, COLS)
    y0, x0 = tl.program_id(0) // across * ROWS, tl.program_id(0) % across * COLS
    key, there = _tile_keys(y0, x0, height, width, ROWS, COLS)
    k0 = load_tile(k, key, strides[5], there, 0, dim, D0)
    v0 = load_tile(v, key, strides[8], there, 0, dim, D0)
    k1, v1 = k0, v0
    dk0, dv0 = tl.zeros([ROWS * COLS, D0], tl.float32), tl.zeros([ROWS * COLS, D0], tl.float32)
    dk1, dv1 = tl.zeros([ROWS * COLS, 16], tl.float32), tl.zeros([ROWS * COLS, 16], tl.float32)
    if D1 > 0:
        k1 = load_tile(k, key, strides[5], there, D0, dim, D1)
        v1 = load_tile(v, key, strides[8], there, D0, dim, D1)
        dk1, dv1 = tl.zeros([ROWS * COLS, D1], tl.float32), tl.zeros([ROWS * COLS, D1], tl.float32)
    size = tl.zeros([ROWS * COLS], tl.float32)
    if META[5]:
        size = tl.load(sizes + batch * height * width + key, mask=there, other=0.0)
    for start in range(0, count, BLOCK_Q):
        query = start + tl.arange(0, BLOCK_Q)
        real = query < count
        row = plane * count + query
        q0 = load_tile(q, query, strides[2], real, 0, dim, D0)
        g0 = load_tile(grad, query, strides[11], real, 0, dim, D0)
        q1, g1 = q0, g0
        if D1 > 0:
            q1 = load_tile(q, query, strides[2], real, D0, dim, D1)
            g1 = load_tile(grad, query, strides[11], real, D0, dim, D1)
        lse = tl.load(inputs[4] + row, mask=real, other=0.0)
        delta = tl.load(inputs[5] + row, mask=real, other=0.0)
        bias = _column_bias(strips[1], row, real, x0, width, ROWS, COLS) + size[None, :]
        bias += _row_bias(strips[0], row, real, y0, height, ROWS, COLS)
        scores = (outer(q0, q1, k0, k1, D1) * scale + bias) * 1.4426950408889634
        weights = tl.where(there[None, :] & real[:, None], tl.exp2(scores - lse[:, None]), 0.0)
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
