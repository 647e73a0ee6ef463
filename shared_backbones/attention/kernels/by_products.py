"""By-products of attention from the log-sum-exp, in a second pass (after FlashAttention-2, Dao 2023, arXiv:2307.08691,
section 3.1: weights are exp(score - lse)): column sums, head-mean map, row entropies. No map of a head is written.

The first launch reduces each query's scores to its log-sum-exp and entropy, the others read the scores once more.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitapps.shared_backbones.attention.kernels.tiles import (
    channels_together,
    empty_rows,
    load_tile,
    outer,
    split_head,
    strides,
)
from vitapps.shared_backbones.attention.options import Need

CARD = {
    "id": "ByProductKernels",
    "name": "by_product_kernels",
    "family": "attention",
    "paper": "Dao 2023, arXiv:2307.08691; EViT, Liang et al. 2022, arXiv:2202.07800 (S189)",
    "equation": "FlashAttention-2 section 3.1; entropy = lse - mean score",
    "deviations": "forward only; key sizes are the only bias; run in Triton's interpreter only so far",
    "slots": [],
    "cost": "O(N M d) a by-product, O(N + M) memory (head_mean: its own N M)",
    "status": "paper",
}
BLOCK = 64


def product_kernels(
    q: Tensor, k: Tensor, log_size: Tensor | None, scale: float | None, need: set[Need]
) -> dict[Need, Tensor]:
    """ "column_sum" B h M, "head_mean" B N M, "entropy" B h N of q B h N d and k B h M d; `log_size` B 1 1 M."""
    q, k = channels_together(q), channels_together(k)
    batch, heads, queries, dim = q.shape
    keys = k.shape[2]
    sizes = None if log_size is None else log_size.flatten(1).float().contiguous()  # B 1 1 M -> B M
    numbers = (heads, queries, keys, dim)
    meta = (*split_head(dim), BLOCK, sizes is not None)
    factor = dim**-0.5 if scale is None else scale
    shared = (sizes, strides(q, k), numbers, factor)
    lse, entropy = empty_rows(q), empty_rows(q)
    found: dict[Need, Tensor] = {}
    _statistics[(triton.cdiv(queries, BLOCK), batch * heads)]((q, k), (lse, entropy), *shared, META=meta)
    if "entropy" in need:
        found["entropy"] = entropy.to(q.dtype)
    if "column_sum" in need:
        columns = torch.empty(batch, heads, keys, dtype=torch.float32, device=q.device)
        _columns[(triton.cdiv(keys, BLOCK), batch * heads)]((q, k), (lse, columns), *shared, META=meta)
        found["column_sum"] = columns.to(q.dtype)
    if "head_mean" in need:
        mean = torch.empty(batch, queries, keys, dtype=q.dtype, device=q.device)
        grid = (triton.cdiv(queries, BLOCK), triton.cdiv(keys, BLOCK), batch)
        _head_mean[grid]((q, k), (lse, mean), *shared, META=meta)
        found["head_mean"] = mean
    return found


LN2 = tl.constexpr(math.log(2))
LOG2E = tl.constexpr(1 / math.log(2))


@triton.jit
def _scores(qk, sizes, strides, numbers, scale, place, META: tl.constexpr):
    """Base-2 scores of the tile `place` = (batch, head, query, key); -inf for keys beyond the last."""
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    batch, head, query, key = place
    real, there = query < numbers[1], key < numbers[2]
    q = qk[0] + batch * strides[0] + head * strides[1]
    k = qk[1] + batch * strides[3] + head * strides[4]
    q0 = load_tile(q, query, strides[2], real, 0, numbers[3], D0)
    k0 = load_tile(k, key, strides[5], there, 0, numbers[3], D0)
    q1, k1 = q0, k0
    if D1 > 0:
        q1 = load_tile(q, query, strides[2], real, D0, numbers[3], D1)
        k1 = load_tile(k, key, strides[5], there, D0, numbers[3], D1)
    scores = outer(q0, q1, k0, k1, D1) * scale
    if META[3]:
        scores += tl.load(sizes + batch * numbers[2] + key, mask=there, other=0.0)[None, :]
    return tl.where(there[None, :], scores * LOG2E, float("-inf"))


@triton.jit
def _statistics(qk, results, sizes, strides, numbers, scale, META: tl.constexpr):
    """Log-sum-exp in base 2 and entropy in nats of one block of queries of one head."""
    BLOCK: tl.constexpr = META[2]
    plane = tl.program_id(1).to(tl.int64)
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    norm = tl.zeros([BLOCK], tl.float32)
    mean = tl.zeros([BLOCK], tl.float32)  # of the scores, times norm
    for start in range(0, numbers[2], BLOCK):
        key = start + tl.arange(0, BLOCK)
        place = (plane // numbers[0], plane % numbers[0], query, key)
        scores = _scores(qk, sizes, strides, numbers, scale, place, META)
        higher = tl.maximum(top, tl.max(scores, 1))
        weights = tl.exp2(scores - higher[:, None])
        factor = tl.exp2(top - higher)
        norm = norm * factor + tl.sum(weights, 1)
        mean = mean * factor + tl.sum(weights * tl.where((key < numbers[2])[None, :], scores, 0.0), 1)
        top = higher
    lse = top + tl.log2(norm)
    row = plane * numbers[1] + query
    tl.store(results[0] + row, lse, mask=query < numbers[1])
    tl.store(results[1] + row, (lse - mean / norm) * LN2, mask=query < numbers[1])


@triton.jit
def _columns(qk, results, sizes, strides, numbers, scale, META: tl.constexpr):
    """What one block of keys of one head receives from all queries."""
    BLOCK: tl.constexpr = META[2]
    plane = tl.program_id(1).to(tl.int64)
    key = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, numbers[1], BLOCK):
        query = start + tl.arange(0, BLOCK)
        place = (plane // numbers[0], plane % numbers[0], query, key)
        scores = _scores(qk, sizes, strides, numbers, scale, place, META)
        lse = tl.load(results[0] + plane * numbers[1] + query, mask=query < numbers[1], other=float("inf"))
        total += tl.sum(tl.exp2(scores - lse[:, None]), 0)  # queries beyond the last: exp2(-inf)
    tl.store(results[1] + plane * numbers[2] + key, total, mask=key < numbers[2])


@triton.jit
def _head_mean(qk, results, sizes, strides, numbers, scale, META: tl.constexpr):
    """The mean over heads of one tile of the map of one image."""
    BLOCK: tl.constexpr = META[2]
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    key = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    batch = tl.program_id(2).to(tl.int64)
    total = tl.zeros([BLOCK, BLOCK], tl.float32)
    for head in range(numbers[0]):
        scores = _scores(qk, sizes, strides, numbers, scale, (batch, head, query, key), META)
        row = (batch * numbers[0] + head) * numbers[1] + query
        lse = tl.load(results[0] + row, mask=query < numbers[1], other=float("inf"))
        total += tl.exp2(scores - lse[:, None])
    where = results[1] + (batch * numbers[1] + query[:, None]) * numbers[2] + key[None, :]
    pairs = (query < numbers[1])[:, None] & (key < numbers[2])[None, :]
    tl.store(where, (total / numbers[0]).to(results[1].dtype.element_ty), mask=pairs)
