"""Attention over all keys on torch: the bias is built for a chunk of query rows at a time, never for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vitapps.shared_backbones.attention.options import Options, RelPos

CHUNK = 1 << 22  # scores whose bias exists at one time: 16 MiB in fp32, about the outer caches of a CPU
MIN_ROWS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What is added to the scores. `bias` broadcasts to B h N M, `log_size` is B 1 1 M, both in the dtype of q."""

    bias: Tensor | None = None
    log_size: Tensor | None = None
    rel_pos: RelPos | None = None

    @property
    def grows(self) -> bool:
        """Whether their sum is larger than each of them, so that it must not be built whole."""
        return self.rel_pos is not None or (self.bias is not None and self.log_size is not None)

    def rows(self, start: int, stop: int) -> Tensor | None:
        """The sum for the queries `start` to `stop`, broadcastable to B h rows M; None where nothing is added."""
        total = self.bias
        if total is not None and total.shape[2] > 1:
            total = total[:, :, start:stop]
        if self.log_size is not None:
            total = self.log_size if total is None else total + self.log_size
        if self.rel_pos is not None:
            strips = tuple(strip[:, :, start:stop] for strip in self.rel_pos.strips)
            summed = sum_strips(strips)
            total = summed if total is None else summed + total
        return total


def make_terms(q: Tensor, options: Options) -> Terms:
    """The additive terms of the options for q B h N d."""
    bias, key_size = options.get("bias"), options.get("key_size")
    if bias is not None:
        bias = bias.to(q.dtype).reshape((1,) * (4 - bias.ndim) + tuple(bias.shape))
    log_size = None
    if key_size is not None:
        log_size = key_size.reshape(q.shape[0], 1, 1, -1).log().to(q.dtype)  # B M 1 -> B 1 1 M
    return Terms(bias=bias, log_size=log_size, rel_pos=options.get("rel_pos"))


def sum_strips(strips: tuple[Tensor, ...]) -> Tensor:
    """One B h n size tensor per axis -> their sum over the grid, B h n M."""
    total = strips[0]
    for strip in strips[1:]:
        total = (total.unsqueeze(-1) + strip.unsqueeze(-2)).flatten(-2)  # B h n A, B h n S -> B h n A*S
    return total


def chunk_rows(q: Tensor, keys: int) -> int:
    """Query rows whose scores fit in CHUNK."""
    return max(MIN_ROWS, CHUNK // (q.shape[0] * q.shape[1] * keys))


def chunks(count: int, step: int) -> Iterator[tuple[int, int]]:
    """0 to `count` in pieces of `step`."""
    yield from ((start, min(start + step, count)) for start in range(0, count, step))


def dense_attend(q: Tensor, k: Tensor, v: Tensor, terms: Terms, scale: float | None) -> Tensor:
    """softmax(q k^T scale + terms) v by SDPA, B h N d.

    Terms that grow are built per chunk; where gradients are wanted they are built again in the backward pass, so that
    its memory is O(chunk x M) as well.
    """
    count, step = q.shape[2], chunk_rows(q, k.shape[2])
    if not terms.grows or count <= step:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=terms.rows(0, count), scale=scale)

    def part(start: int, stop: int) -> Tensor:
        bias = terms.rows(start, stop)
        return functional.scaled_dot_product_attention(q[:, :, start:stop], k, v, attn_mask=bias, scale=scale)

    if torch.is_grad_enabled():
        parts = [checkpoint(part, *span, use_reentrant=False) for span in chunks(count, step)]
    else:
        parts = [part(*span) for span in chunks(count, step)]
    return torch.cat(parts, dim=2)  # rows of B h n d -> B h N d
