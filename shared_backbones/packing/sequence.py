"""Tokens of several images, one after the other, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.rotate import Rotation
from vitapps.shared_backbones.features import Features


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedTokens:
    """`tokens` 1 N C: of every image its `prefix` tokens, then the patches of its grid in row-major order. Image i has
    the tokens cu_seqlens[i] to cu_seqlens[i + 1]; `rope` holds the angles of all N, None without rotary positions."""

    tokens: Tensor
    cu_seqlens: Tensor
    grids: tuple[tuple[int, ...], ...]
    prefix: int
    rope: Rotation | None = None


def join(tokens: Sequence[Tensor], ropes: Sequence[Rotation | None], grids: Sequence[tuple[int, ...]]) -> PackedTokens:
    """Images as 1 n C each, with the rotation of each (all or none)."""
    lengths = [item.shape[1] for item in tokens]
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    turns = [rope for rope in ropes if rope is not None]
    rope = Rotation(torch.cat([turn.cos for turn in turns]), torch.cat([turn.sin for turn in turns])) if turns else None
    return PackedTokens(
        tokens=torch.cat(list(tokens), dim=1),  # 1 n C each -> 1 N C
        cu_seqlens=ends.to(tokens[0].device),
        grids=tuple(grids),
        prefix=lengths[0] - torch.Size(grids[0]).numel(),
        rope=rope,
    )


def split(tokens: Tensor, packed: PackedTokens) -> list[Features]:
    """1 N C tokens that lie as in `packed` -> the features of each image."""
    lengths = packed.cu_seqlens.diff().tolist()
    return [
        Features(tokens=part, grid=grid, prefix=packed.prefix)  # 1 n C
        for part, grid in zip(tokens.split(lengths, dim=1), packed.grids, strict=True)
    ]
