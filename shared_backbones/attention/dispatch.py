"""Which way a call of attend() goes, and why: one decision, made here, told by `explain`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.dense import Terms, chunk_rows
from vitapps.shared_backbones.attention.options import Need, Options
from vitapps.shared_backbones.attention.packed import fits_varlen

Path = Literal[
    "sdpa", "chunked", "rectangles", "images", "varlen", "triton_rel_pos", "triton_window", "triton_products"
]
# Kernels that a GPU has been seen to run rightly; a kernel of status `paper` is used on request alone.
PROVEN: frozenset[Path] = frozenset()
_UNPROVEN: ContextVar[bool] = ContextVar("unproven", default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """`path` is what runs, `reason` one sentence."""

    path: Path
    reason: str


@contextmanager
def unproven_kernels(*, allowed: bool = True) -> Iterator[None]:
    """Let CUDA calls inside take kernels that have passed in Triton's interpreter only."""
    token = _UNPROVEN.set(allowed)
    try:
        yield
    finally:
        _UNPROVEN.reset(token)


def choose(q: Tensor, k: Tensor, terms: Terms, options: Options) -> Route:
    """The path of a call whose options have been checked."""
    if options.get("cu_seqlens") is not None:
        if fits_varlen(q, terms, options.get("scale")):
            return Route(path="varlen", reason="packed images, half precision on a GPU, no bias: torch's varlen_attn")
        return Route(path="images", reason="packed images: one fused call each, nothing between them is computed")
    if options.get("window") is not None:
        found, why = _kernel("triton_window", q, fits=terms.rel_pos is None and terms.log_size is None)
        return found or Route(path="rectangles", reason=f"windows as rectangles, one SDPA call a shape{why}")
    if terms.rel_pos is not None:
        found, why = _kernel("triton_rel_pos", q, fits=len(terms.rel_pos.grid) == 2 and terms.bias is None)
        return found or _chunked(q, k, f"relative position summed from its strips{why}")
    if terms.grows:
        return _chunked(q, k, "bias and key sizes together")
    return Route(path="sdpa", reason="nothing to build: torch's scaled_dot_product_attention")


def choose_products(q: Tensor, terms: Terms, need: set[Need]) -> Route:
    """The second pass of a dense call: our kernels where they give all that is needed, else torch."""
    fits = terms.bias is None and terms.rel_pos is None and need <= {"key_mean", "column_sum", "head_mean", "entropy"}
    wants_gradient = torch.is_grad_enabled() and q.requires_grad
    found, why = _kernel("triton_products", q, fits=fits and not wants_gradient)
    return found or Route(path="chunked", reason=f"weights of a chunk of query rows at a time{why}")


def _chunked(q: Tensor, k: Tensor, what: str) -> Route:
    rows = chunk_rows(q, k.shape[2])
    if q.shape[2] <= rows:
        return Route(path="sdpa", reason=f"{what}; small enough to be built whole")
    return Route(path="chunked", reason=f"{what}; SDPA on {rows} query rows at a time")


def _kernel(path: Path, q: Tensor, *, fits: bool) -> tuple[Route | None, str]:
    """The Triton kernel `path` where it can run, else why it does not (a clause to append)."""
    if q.device.type != "cuda":
        return None, ""
    if not fits:
        return None, "; the kernel does not take these options together"
    if not 16 <= q.shape[-1] <= 128:
        return None, f"; the kernel takes heads of 16 to 128 channels, not {q.shape[-1]}"
    if importlib.util.find_spec("triton") is None:
        return None, "; triton is not installed"
    if path not in PROVEN and not _UNPROVEN.get():
        return None, "; the kernel has not been proven on a GPU yet (`unproven_kernels()` lets it run)"
    return Route(path=path, reason=f"on {torch.cuda.get_device_name(q.device)}: our kernel"), ""
