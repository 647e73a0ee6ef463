"""What the kernels share: head dims as two parts, tiles of tokens, and how tensors are handed to a kernel.

A head of d channels is read as D0 + D1: D0 the largest power of two in d, D1 the rest up to a power of two of at least
16 (tensor cores multiply no less), 0 where nothing is left. 80 is 64 + 16 where a padded kernel computes 128.
Pointers, strides and sizes travel to the kernels in tuples, one a kind. Scores are kept in base 2 (times log2(e) =
1.4427, then exp2), as the hardware has it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitapps.errors import UsageError


def split_head(dim: int) -> tuple[int, int]:
    """(D0, D1) of a head of `dim` channels, 16 to 128; UsageError otherwise."""
    if not 16 <= dim <= 128:
        raise UsageError(f"the kernels take heads of 16 to 128 channels, not {dim}", hint="use attend() on torch")
    first = 1 << (dim.bit_length() - 1)
    rest = dim - first
    return first, 0 if rest == 0 else max(16, 1 << (rest - 1).bit_length())


def strides(*tensors: Tensor) -> tuple[int, ...]:
    """Strides of B, h and N of every B h N d tensor, in turn."""
    return tuple(stride for x in tensors for stride in x.stride()[:3])


def channels_together(x: Tensor) -> Tensor:
    """`x`, copied only where its channels do not lie together."""
    return x if x.stride(-1) == 1 else x.contiguous()


def empty_rows(x: Tensor) -> Tensor:
    """One fp32 number a query: B h N of a B h N d tensor."""
    return torch.empty(x.shape[:3], dtype=torch.float32, device=x.device)


@triton.jit
def load_tile(base, tokens, stride, ok, first, dim, WIDTH: tl.constexpr):
    """Channels first to first + WIDTH of `tokens`, zero where not `ok` or beyond `dim`."""
    channels = first + tl.arange(0, WIDTH)
    where = base + tokens[:, None].to(tl.int64) * stride + channels[None, :]
    return tl.load(where, mask=ok[:, None] & (channels[None, :] < dim), other=0.0)


@triton.jit
def store_tile(base, tokens, stride, ok, tile, first, dim):
    """The inverse of `load_tile`, in the type that lies there."""
    channels = first + tl.arange(0, tile.shape[1])
    where = base + tokens[:, None].to(tl.int64) * stride + channels[None, :]
    tl.store(where, tile.to(base.dtype.element_ty), mask=ok[:, None] & (channels[None, :] < dim))


@triton.jit
def outer(a0, a1, b0, b1, D1: tl.constexpr):
    """a b^T over both parts of the channels, fp32."""
    product = tl.dot(a0, tl.trans(b0), input_precision="ieee")
    if D1 > 0:
        product = tl.dot(a1, tl.trans(b1), product, input_precision="ieee")
    return product


@triton.jit
def rescale(top, norm, scores):
    """One step of the running softmax in base 2: (weights, factor of what was summed so far, top, norm)."""
    higher = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - higher[:, None])
    factor = tl.exp2(top - higher)
    return weights, factor, higher, norm * factor + tl.sum(weights, 1)
