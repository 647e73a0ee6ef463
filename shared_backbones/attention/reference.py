"""Attention by its definition in double precision: what every fused path is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.rotate import Rotation, rotate


def reference_attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    key_size: Tensor | None = None,
    rope: Rotation | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T scale + bias + log size) v (Vaswani et al. 2017, eq. 1; ToMe, Bolya et al. 2023, eq. 1).

    Arguments as `attend`. Returns (B h N d, the map B h N N), both float64; differentiable.
    """
    q, k, v = q.double(), k.double(), v.double()
    if rope is not None:
        table = Rotation(rope.cos.double(), rope.sin.double())
        q, k = rotate(q, table), rotate(k, table)
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias.double()
    if key_size is not None:
        scores = scores + key_size.double().reshape(k.shape[0], 1, 1, -1).log()  # B N 1 -> B 1 1 N
    weights = scores.softmax(dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v), weights
