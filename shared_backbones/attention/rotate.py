"""Rotary position: pairs of channels turned by an angle that is linear in the position (RoFormer, Su et al. 2021)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """`cos` and `sin` N d (or broadcastable to B h N d) of each token's angles; both channels of a pair hold the same
    value, channels 2i and 2i+1 are a pair."""

    cos: Tensor
    sin: Tensor


def rotate(x: Tensor, rope: Rotation) -> Tensor:
    """Turn every channel pair of B h N d (RoFormer eq. 34); angle 0 returns the values of `x` bit for bit."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)  # B h N d -> two of B h N d/2
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)  # -> B h N d
    return (x * rope.cos + turned * rope.sin).to(x.dtype)
