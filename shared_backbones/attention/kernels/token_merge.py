"""Token merging in three launches (ToMe, Bolya et al. 2023, arXiv:2210.09461, section 3): match, torch's topk, merge.

The match normalises keys and keeps a running best per token: neither unit vectors nor the score matrix are written.
The merge is one launch for all tokens, those that stay as they are included.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitapps.shared_backbones.attention.kernels.tiles import channels_together, load_tile, outer, split_head

CARD = {
    "id": "TokenMergeKernels",
    "name": "token_merge_kernels",
    "family": "attention",
    "paper": "Bolya et al. 2023, arXiv:2210.09461 (S048)",
    "equation": "section 3, bipartite soft matching",
    "deviations": "forward only; run in Triton's interpreter only so far",
    "slots": [],
    "cost": "O(N^2 d / 4 + N r C) time, O(N C) memory",
    "status": "paper",
}
BLOCK = 64
CHANNELS = 64


def best_partner(keys: Tensor) -> tuple[Tensor, Tensor]:
    """keys B n d: for every odd token the cosine with, and the number (among the even ones) of, its most similar even
    token; the first of equals. B n//2 fp32 and int64."""
    keys = channels_together(keys)
    batch, count, dim = keys.shape
    odd = count // 2
    best = torch.empty(batch, odd, dtype=torch.float32, device=keys.device)
    partner = torch.empty(batch, odd, dtype=torch.int64, device=keys.device)
    numbers = (odd, count - odd, dim)
    meta = (*split_head(dim), BLOCK)
    _match[(triton.cdiv(odd, BLOCK), batch)](keys, (best, partner), keys.stride()[:2], numbers, META=meta)
    return best, partner


def merge_tokens(
    x: Tensor, size: Tensor, kept: Tensor, gone: Tensor, partner: Tensor, count_b: int
) -> tuple[Tensor, Tensor]:
    """Means weighted by size: x B N C, size B N 1, token numbers `kept` B N-r and `gone` B r, `partner` B r (which of
    the last `count_b` kept tokens takes each) -> B N-r C, B N-r 1; a token that takes none keeps its bits."""
    x, size, kept, gone, partner = (item.contiguous() for item in (x, size, kept, gone, partner))
    batch, left = kept.shape
    out = torch.empty(batch, left, x.shape[2], dtype=x.dtype, device=x.device)
    new_size = torch.empty(batch, left, 1, dtype=size.dtype, device=x.device)
    numbers = (x.shape[1], left, gone.shape[1], left - count_b, x.shape[2])
    grid = (triton.cdiv(left, 16), triton.cdiv(x.shape[2], CHANNELS), batch)
    _merge[grid]((x, size), (kept, gone, partner), (out, new_size), numbers, META=(16, 16, CHANNELS))
    return out, new_size


@triton.jit
def _match(keys, results, strides, numbers, META: tl.constexpr):
    """The best even partner of one block of odd tokens."""
    D0: tl.constexpr = META[0]
    D1: tl.constexpr = META[1]
    BLOCK: tl.constexpr = META[2]
    base = keys + tl.program_id(1).to(tl.int64) * strides[0]
    a = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = a < numbers[0]
    a0 = load_tile(base, 2 * a + 1, strides[1], real, 0, numbers[2], D0).to(tl.float32)
    length = tl.sum(a0 * a0, 1)
    a1 = a0
    if D1 > 0:
        a1 = load_tile(base, 2 * a + 1, strides[1], real, D0, numbers[2], D1).to(tl.float32)
        length += tl.sum(a1 * a1, 1)
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    partner = tl.zeros([BLOCK], tl.int64)
    for start in range(0, numbers[1], BLOCK):
        b = start + tl.arange(0, BLOCK)
        there = b < numbers[1]
        b0 = load_tile(base, 2 * b, strides[1], there, 0, numbers[2], D0).to(tl.float32)
        width = tl.sum(b0 * b0, 1)
        b1 = b0
        if D1 > 0:
            b1 = load_tile(base, 2 * b, strides[1], there, D0, numbers[2], D1).to(tl.float32)
            width += tl.sum(b1 * b1, 1)
        scores = outer(a0, a1, b0, b1, D1) / tl.maximum(tl.sqrt(width), 1e-12)[None, :]
        scores = tl.where(there[None, :], scores, float("-inf"))
        higher, where = tl.max(scores, 1, return_indices=True)
        partner = tl.where(higher > best, start + where, partner)
        best = tl.maximum(best, higher)
    place = tl.program_id(1).to(tl.int64) * numbers[0] + a
    tl.store(results[0] + place, best / tl.maximum(tl.sqrt(length), 1e-12), mask=real)
    tl.store(results[1] + place, partner, mask=real)


@triton.jit
def _merge(inputs, places, results, numbers, META: tl.constexpr):
    """One block of remaining tokens and channels: each with what it takes, found by comparing partners."""
    BLOCK: tl.constexpr = META[0]
    GONE: tl.constexpr = META[1]
    CHANNELS: tl.constexpr = META[2]
    count, left, removed, first_b, dim = numbers
    batch = tl.program_id(2).to(tl.int64)
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = token < left
    x = inputs[0] + batch * count * dim
    sizes = inputs[1] + batch * count
    own = tl.load(places[0] + batch * left + token, mask=real, other=0)
    channel = tl.program_id(1) * CHANNELS
    value = load_tile(x, own, dim, real, channel, dim, CHANNELS)
    size = tl.load(sizes + own, mask=real, other=1.0).to(tl.float32)
    total = tl.zeros([BLOCK, CHANNELS], tl.float32)
    added = tl.zeros([BLOCK], tl.float32)
    for start in range(0, removed, GONE):
        number = start + tl.arange(0, GONE)
        some = number < removed
        gone = tl.load(places[1] + batch * removed + number, mask=some, other=0)
        taker = first_b + tl.load(places[2] + batch * removed + number, mask=some, other=0)
        weight = tl.load(sizes + gone, mask=some, other=0.0).to(tl.float32)
        belongs = tl.where((token[:, None] == taker[None, :]) & some[None, :], weight[None, :], 0.0)
        moved = load_tile(x, gone, dim, some, channel, dim, CHANNELS).to(tl.float32)
        total = tl.dot(belongs, moved, total, input_precision="ieee")
        added += tl.sum(belongs, 1)
    mixed = (value.to(tl.float32) * size[:, None] + total) / (size + added)[:, None]
    mixed = tl.where((added > 0)[:, None], mixed, value.to(tl.float32))
    channels = channel + tl.arange(0, CHANNELS)
    where = results[0] + (batch * left + token[:, None]) * dim + channels[None, :]
    tl.store(where, mixed.to(results[0].dtype.element_ty), mask=real[:, None] & (channels < dim)[None, :])
    new_size = (size + added).to(results[1].dtype.element_ty)
    tl.store(results[1] + batch * left + token, new_size, mask=real & (channel == 0))
