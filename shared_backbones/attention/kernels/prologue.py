"""Bias of the qkv projection, rotation of q and k, scale of q and the layout that attention wants, in one pass over
B N 3 h d (RoFormer, Su et al. 2021, eq. 34; axial and mixed 2-D angles, RoPE-ViT, Heo et al. 2024, S246).

One pass reads and writes every element once where separate ones do so four times. The backward pass turns the gradient
back by the same angles; it is elementwise and left to torch.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitapps.shared_backbones.attention.rotate import Rotation, rotate

CARD = {
    "id": "PrologueKernel",
    "name": "prologue_kernel",
    "family": "attention",
    "paper": "Su et al. 2021, arXiv:2104.09864; Heo et al. 2024, arXiv:2403.13298 (S246)",
    "equation": "RoFormer eq. 34",
    "deviations": "run in Triton's interpreter only so far",
    "slots": [],
    "cost": "one read and one write of q, k and v",
    "status": "paper",
}
BLOCK = 32


def qkv_prologue(
    qkv: Tensor, bias: Tensor | None, rope: Rotation | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """B N 3 h d as the projection without bias leaves it, bias 3 h d flat -> q (times `scale`), k, v, B h N d each and
    contiguous. Angles broadcast to B h N d: axial ones are N d, mixed ones h N d. Differentiable in qkv and bias."""
    cos, sin = (None, None) if rope is None else rope
    q, k, v = _Prologue.apply(qkv.contiguous(), bias, cos, sin, scale)
    return q, k, v


class _Prologue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        qkv, bias, cos, sin, scale = args
        batch, count, _, heads, dim = qkv.shape
        results = tuple(torch.empty(batch, heads, count, dim, dtype=qkv.dtype, device=qkv.device) for _ in range(3))
        tables, table_strides = None, (0, 0, 0)
        if cos is not None:
            spread = [table.expand(batch, heads, count, dim) for table in (cos, sin)]
            spread = [table if table.stride(-1) == 1 else table.contiguous() for table in spread]
            if spread[0].stride() != spread[1].stride():
                spread = [table.contiguous() for table in spread]
            tables, table_strides = tuple(spread), spread[0].stride()[:3]
        meta = (triton.next_power_of_2(dim), BLOCK, bias is not None, cos is not None)
        grid = (triton.cdiv(count, BLOCK), heads, batch)
        _prologue[grid](qkv, bias, tables, results, table_strides, (heads, count, dim), scale, META=meta)
        ctx.save_for_backward(cos, sin)
        ctx.scale, ctx.with_bias = scale, bias is not None
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cos, sin = ctx.saved_tensors
        dq, dk, dv = gradients
        if cos is not None:
            back = Rotation(cos, -sin)
            dq, dk = rotate(dq, back), rotate(dk, back)
        dqkv = torch.stack((dq * ctx.scale, dk, dv)).permute(1, 3, 0, 2, 4)  # 3 B h N d -> B N 3 h d
        dbias = dqkv.sum((0, 1)).flatten() if ctx.with_bias else None
        return dqkv, dbias, None, None, None


@triton.jit
def _prologue(qkv, bias, tables, results, strides, numbers, scale, META: tl.constexpr):
    """One block of tokens of one head: q, k and v in turn."""
    D: tl.constexpr = META[0]
    BLOCK: tl.constexpr = META[1]
    heads, count, dim = numbers
    head, batch = tl.program_id(1), tl.program_id(2).to(tl.int64)
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, D)
    other = channel ^ 1  # the other channel of the pair
    inside = (token < count)[:, None] & (channel < dim)[None, :]
    if META[3]:
        angle = batch * strides[0] + head * strides[1] + token[:, None] * strides[2] + channel[None, :]
        cos = tl.load(tables[0] + angle, mask=inside, other=0.0).to(tl.float32)
        sin = tl.load(tables[1] + angle, mask=inside, other=0.0).to(tl.float32)
        sin = tl.where((channel % 2 == 0)[None, :], -sin, sin)
    for part in tl.static_range(3):
        row = ((batch * count + token[:, None]) * 3 + part) * heads + head
        value = tl.load(qkv + row * dim + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        if META[2]:
            own = bias + (part * heads + head) * dim
            value += tl.load(own + channel, mask=channel < dim, other=0.0).to(tl.float32)[None, :]
        if META[3] and part < 2:
            turned = tl.load(qkv + row * dim + other[None, :], mask=inside, other=0.0).to(tl.float32)
            if META[2]:
                turned += tl.load(own + other, mask=channel < dim, other=0.0).to(tl.float32)[None, :]
            value = value * cos + turned * sin
        if part == 0:
            value *= scale
        where = ((batch * heads + head) * count + token[:, None]) * dim + channel[None, :]
        tl.store(results[part] + where, value.to(results[part].dtype.element_ty), mask=inside)
