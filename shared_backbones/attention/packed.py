"""Attention inside the images of a packed sequence (block-diagonal; NaViT, Dehghani et al. 2023, section 2.2).

On a GPU in half precision torch's variable-length kernel does it in one launch; elsewhere one fused call per image,
which computes nothing between images either.
"""

from __future__ import annotations

import inspect
import itertools
from functools import cache
from typing import Any

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.by_products import by_products
from vitapps.shared_backbones.attention.dense import Terms, dense_attend
from vitapps.shared_backbones.attention.options import Need


@cache
def varlen_kernel() -> Any:
    """torch's `varlen_attn` (torch 2.10 or later), or None."""
    try:
        from torch.nn.attention import varlen
    except ImportError:
        return None
    return getattr(varlen, "varlen_attn", None)


def fits_varlen(q: Tensor, terms: Terms, scale: float | None) -> bool:
    """Whether the kernel can take this call: one packed sequence on a GPU, half precision, no bias."""
    kernel = varlen_kernel()
    if kernel is None or q.device.type != "cuda" or q.dtype not in (torch.float16, torch.bfloat16):
        return False
    plain = terms.log_size is None and q.shape[0] == 1
    return plain and (scale is None or "scale" in inspect.signature(kernel).parameters)


def varlen_attend(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, scale: float | None) -> Tensor:
    """1 h N d through `varlen_attn`, which wants N h d."""
    longest = int(cu_seqlens.diff().max())
    flat = [x[0].transpose(0, 1) for x in (q, k, v)]  # 1 h N d -> N h d
    ends = cu_seqlens.to(torch.int32)
    options = {} if scale is None else {"scale": scale}
    out: Tensor = varlen_kernel()(*flat, ends, ends, longest, longest, **options)
    return out.transpose(0, 1).unsqueeze(0)  # N h d -> 1 h N d


def packed_attend(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, terms: Terms, scale: float | None) -> Tensor:
    """B h N d -> B h N d: image i holds the tokens cu_seqlens[i] to cu_seqlens[i + 1]."""
    parts = [
        dense_attend(q[:, :, start:stop], k[:, :, start:stop], v[:, :, start:stop], _inside(terms, start, stop), scale)
        for start, stop in spans(cu_seqlens)
    ]
    return torch.cat(parts, dim=2)


def packed_products(
    q: Tensor, k: Tensor, cu_seqlens: Tensor, terms: Terms, scale: float | None, need: set[Need]
) -> dict[Need, Tensor]:
    """ "class_row" (from the first token of each image to its own tokens), "column_sum", "entropy", B h N each."""
    parts = [
        by_products(q[:, :, start:stop], k[:, :, start:stop], _inside(terms, start, stop), scale, need)
        for start, stop in spans(cu_seqlens)
    ]
    return {name: torch.cat([part[name] for part in parts], dim=2) for name in parts[0]}


def spans(cu_seqlens: Tensor) -> list[tuple[int, int]]:
    """First and last token (exclusive) of every image that has tokens."""
    ends = cu_seqlens.tolist()
    return [(start, stop) for start, stop in itertools.pairwise(ends) if stop > start]


def _inside(terms: Terms, start: int, stop: int) -> Terms:
    return terms if terms.log_size is None else Terms(log_size=terms.log_size[..., start:stop])
