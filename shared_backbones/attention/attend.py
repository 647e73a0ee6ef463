"""attend(): the one attention of this package.

The fused path is torch's scaled_dot_product_attention; the explicit path exists only for the full map, which no fused
kernel hands out. `reference.py` is the definition both are tested against.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.attention.rotate import Rotation, rotate

Need = Literal["key_mean", "class_row", "map"]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    key_size: Tensor | None = None,
    rope: Rotation | None = None,
    scale: float | None = None,
    need: Collection[Need] = (),
) -> tuple[Tensor, dict[Need, Tensor]]:
    """softmax(q k^T scale + bias + log key_size) v, and by-products on request.

    q B h N d, k and v B h M d. `bias` is added to the scores and broadcasts to B h N M. `key_size` B M or B M 1 (> 0):
    key j counts as that many equal keys (proportional attention, ToMe, Bolya et al. 2023, eq. 1). `rope` turns q and k
    (self-attention only: one table for both). `scale` defaults to d ** -0.5.

    Returns (B h N d, by-products): "key_mean" B M d, the keys before rotation averaged over heads (ToMe's metric);
    "class_row" B h M, the attention of query 0; "map" B h N M. Asking for "map" leaves the fused path.
    """
    products: dict[Need, Tensor] = {}
    if "key_mean" in need:
        products["key_mean"] = k.mean(dim=1)  # B h M d -> B M d
    if rope is not None:
        q, k = rotate(q, rope), rotate(k, rope)
    bias = _with_key_size(bias, key_size, q)
    if "map" in need or "class_row" in need:
        query = q if "map" in need else q[:, :, :1]
        row_bias = bias if "map" in need or bias is None else bias.expand(*bias.shape[:2], q.shape[2], -1)[:, :, :1]
        weights = _map(query, k, row_bias, scale)  # B h N M, or B h 1 M
        if "class_row" in need:
            products["class_row"] = weights[:, :, 0]  # -> B h M
        if "map" in need:
            products["map"] = weights
            return weights @ v, products  # -> B h N d
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale), products


def _with_key_size(bias: Tensor | None, key_size: Tensor | None, q: Tensor) -> Tensor | None:
    """Fold the key sizes into an additive bias of four dimensions in q's dtype."""
    if bias is not None:
        bias = bias.to(q.dtype).reshape((1,) * (4 - bias.ndim) + tuple(bias.shape))
    if key_size is None:
        return bias
    log_size = key_size.reshape(q.shape[0], 1, 1, -1).log().to(q.dtype)  # B M 1 -> B 1 1 M
    return log_size if bias is None else bias + log_size


def _map(q: Tensor, k: Tensor, bias: Tensor | None, scale: float | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)  # B h N M
    return (scores if bias is None else scores + bias).softmax(dim=-1)
