"""What explaining and pruning want to know of the attention weights, in a second pass beside the fused one.

The output of `attend` is the same, bit for bit, whether they are asked for or not. Weights exist for a chunk of query
rows at a time.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.dense import Terms, chunk_rows, chunks
from vitapps.shared_backbones.attention.options import Need


def by_products(q: Tensor, k: Tensor, terms: Terms, scale: float | None, need: Collection[Need]) -> dict[Need, Tensor]:
    """From q B h N d and k B h M d, rotated: "class_row" B h M, "map" B h N M, "head_mean" B N M, "column_sum" B h M
    (what key j receives from all queries), "entropy" B h N (of each query's weights, in nats)."""
    found: dict[Need, Tensor] = {}
    if "class_row" in need:
        found["class_row"] = _weights(q, k, terms, scale, (0, 1))[:, :, 0]  # B h 1 M -> B h M
    if not set(need) - {"key_mean", "class_row"}:
        return found
    columns = torch.zeros((), dtype=torch.float32, device=q.device)
    parts: dict[Need, list[Tensor]] = {"map": [], "head_mean": [], "entropy": []}
    # a graph has no chunks: their size would fix its batch
    step = q.shape[2] if torch.compiler.is_compiling() else chunk_rows(q, k.shape[2])
    for span in chunks(q.shape[2], step):
        weights = _weights(q, k, terms, scale, span)  # B h n M
        if "column_sum" in need:
            columns = columns + weights.sum(dim=2, dtype=torch.float32)  # -> B h M
        if "map" in need:
            parts["map"].append(weights)
        if "head_mean" in need:
            parts["head_mean"].append(weights.mean(dim=1))  # -> B n M
        if "entropy" in need:
            parts["entropy"].append(torch.special.entr(weights).sum(dim=-1))  # -> B h n
    if "column_sum" in need:
        found["column_sum"] = columns.to(q.dtype)
    joined = {"map": 2, "head_mean": 1, "entropy": 2}  # by-product -> its axis of queries
    found |= {name: torch.cat(rows, dim=joined[name]) for name, rows in parts.items() if rows}
    return found


def _weights(q: Tensor, k: Tensor, terms: Terms, scale: float | None, span: tuple[int, int]) -> Tensor:
    """The attention weights of the queries `span`, B h n M."""
    scores = q[:, :, span[0] : span[1]] @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    bias = terms.rows(*span)
    return (scores if bias is None else scores + bias).softmax(dim=-1)
