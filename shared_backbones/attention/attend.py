"""attend(): the one attention of this package. `reference.py` is the definition that every path is tested against."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.attention.by_products import by_products
from vitapps.shared_backbones.attention.dense import Terms, dense_attend, make_terms
from vitapps.shared_backbones.attention.dispatch import Route, choose, choose_products
from vitapps.shared_backbones.attention.options import Need, Options, RelPos, Window, check
from vitapps.shared_backbones.attention.packed import packed_attend, packed_products, varlen_attend
from vitapps.shared_backbones.attention.rectangles import window_attend, window_products
from vitapps.shared_backbones.attention.rotate import rotate

__all__ = ["Need", "Options", "RelPos", "Window", "attend", "explain"]


def attend(q: Tensor, k: Tensor, v: Tensor, **options: Unpack[Options]) -> tuple[Tensor, dict[Need, Tensor]]:
    """softmax(q k^T scale + bias + log key_size + relative position) v, and by-products on request.

    q B h N d, k and v B h M d. `bias` is added to the scores and broadcasts to B h N M. `key_size` B M or B M 1 (> 0):
    key j counts as that many equal keys (proportional attention, ToMe, Bolya et al. 2023, eq. 1). `rope` turns q and k
    (self-attention only: one table for both). `cu_seqlens` (images + 1), from 0 to N: tokens of several images in one
    sequence, each attending to its own image. `window`: attention inside shifted windows. `rel_pos`: decomposed
    relative position. `scale` defaults to d ** -0.5. `cu_seqlens` excludes bias, window and rel_pos; window excludes
    bias.

    Returns (B h N d, by-products): "key_mean" B M d, the keys before rotation averaged over heads (ToMe's metric);
    "class_row" B h M, the attention of query 0 (packed: of the first query of each image); "map" B h N M; "head_mean"
    B N M; "column_sum" B h M, what each key receives; "entropy" B h N of each query, in nats. The first output is the
    same whatever is asked for. Windows have neither class_row nor maps, packed images no maps. UsageError otherwise.
    """
    check(q, k, options)
    need = set(options.get("need", ()))
    products: dict[Need, Tensor] = {}
    if "key_mean" in need:
        products["key_mean"] = k.mean(dim=1)  # B h M d -> B M d
    rope, scale = options.get("rope"), options.get("scale")
    if rope is not None:
        q, k = rotate(q, rope), rotate(k, rope)
    terms = make_terms(q, options)
    out = _run(choose(q, k, terms, options), (q, k, v), terms, options)
    window, ends = options.get("window"), options.get("cu_seqlens")
    if not need - {"key_mean"}:
        return out, products
    if window is not None:
        return out, products | window_products(q, k, window, terms, scale, need)
    if ends is not None:
        return out, products | packed_products(q, k, ends, terms, scale, need)
    if choose_products(q, terms, need).path == "triton_products":
        from vitapps.shared_backbones.attention.kernels.by_products import product_kernels

        return out, products | product_kernels(q, k, terms.log_size, scale, need)
    return out, products | by_products(q, k, terms, scale, need)


def explain(q: Tensor, k: Tensor, **options: Unpack[Options]) -> Route:
    """The path that `attend` takes for these arguments, and why; nothing is computed."""
    check(q, k, options)
    return choose(q, k, make_terms(q, options), options)


def _run(route: Route, qkv: tuple[Tensor, Tensor, Tensor], terms: Terms, options: Options) -> Tensor:
    scale, window, ends = options.get("scale"), options.get("window"), options.get("cu_seqlens")
    if ends is not None:
        if route.path == "varlen":
            return varlen_attend(*qkv, ends, scale)
        return packed_attend(*qkv, ends, terms, scale)
    if window is not None:
        if route.path == "triton_window":
            from vitapps.shared_backbones.attention.kernels.window import window_kernel

            return window_kernel(*qkv, window, scale)
        return window_attend(*qkv, window, terms, scale)
    if route.path == "triton_rel_pos" and terms.rel_pos is not None:
        from vitapps.shared_backbones.attention.kernels.rel_pos import rel_pos_kernel

        return rel_pos_kernel(*qkv, terms.rel_pos, terms.log_size, scale)
    if not terms.grows:
        return functional.scaled_dot_product_attention(*qkv, attn_mask=terms.rows(0, qkv[0].shape[2]), scale=scale)
    return dense_attend(*qkv, terms, scale)
