"""Arithmetic of a network that knows integers only (I-ViT, Li and Gu 2023, arXiv:2207.01405): every tensor is an int64
that stands for value / scale, scales are constants of the calibration and appear as multiplier / 2^shift."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ONE_BITS = 8
ONE = 1 << ONE_BITS  # what 1.0 is to Shiftmax and ShiftGELU
_DEPTH = 15  # halvings of the exponential before it is 0
_WHOLE = 31  # bits of the reciprocal of a sum
NORM_BITS = 20  # of a normalised value's fraction
_MULTIPLIER_BITS = 24


def dyadic(ratio: Tensor) -> tuple[Tensor, Tensor]:
    """(multiplier, shift) of factors, each multiplier / 2^shift within 2^-23 of its factor (eq. 3); factors
    below 2^-38 become 0."""
    size = ratio.double().abs().clamp_min(2.0**-38)
    shift = (_MULTIPLIER_BITS - 1 - size.log2().floor()).clamp(1, 62).long()
    return (ratio.double() * torch.exp2(shift.double())).round().long(), shift


def rescale(x: Tensor, factor: tuple[Tensor, Tensor]) -> Tensor:
    """x multiplier / 2^shift, rounded to nearest; x below 2^38."""
    multiplier, shift = factor
    return (x * multiplier + (torch.ones_like(shift) << (shift - 1))) >> shift


def clip(x: Tensor, bits: int) -> Tensor:
    """Symmetric codes of so many bits."""
    top = (1 << (bits - 1)) - 1
    return x.clamp(-top, top)


def exponential(x: Tensor) -> Tensor:
    """e^(x / ONE) for x <= 0, in units of 2^-(ONE_BITS + 15): shifts, an addition and a straight line (eq. 12-15)."""
    x = x + (x >> 1) - (x >> 4)  # log2(e) is about 1.0111 in binary
    x = x.clamp_min(-_DEPTH * ONE)
    whole = (-x) >> ONE_BITS
    rest = x + (whole << ONE_BITS)  # -ONE < rest <= 0
    return ((rest >> 1) + ONE) << (_DEPTH - whole)


def shiftmax(x: Tensor, bits: int = 8) -> Tensor:
    """Softmax over the last axis of x / ONE, in units of 2^-(bits - 1) (algorithm 1)."""
    powers = exponential(x - x.amax(dim=-1, keepdim=True))
    share = (1 << _WHOLE + ONE_BITS) // powers.sum(dim=-1, keepdim=True)
    return powers * share >> (_WHOLE + ONE_BITS + 1 - bits)


def shift_gelu(x: Tensor, bits: int = 8) -> Tensor:
    """x sigmoid(1.702 x) of x / ONE, in units of 2^-(bits - 1) / ONE (algorithm 2; the largest exponent is taken off
    value by value, not row by row)."""
    t = x + (x >> 1) + (x >> 3) + (x >> 4)  # 1.702 is about 1.1011 in binary
    high = t.clamp_min(0)
    above, below = exponential(t - high), exponential(-high)
    sigmoid = (above << bits - 1) // (above + below)
    return x * sigmoid


def square_root(n: Tensor) -> Tensor:
    """floor(sqrt(n)) of n >= 0 below 2^62 by Newton's steps from above (eq. 19)."""
    k = torch.ones_like(n)
    for power in range(1, 32):
        k = torch.where(n >> (2 * power - 2) > 0, torch.full_like(k, 1 << power), k)  # a power of two above the root
    for _ in range(6):
        k = torch.minimum(k, (k + n // k) >> 1).clamp_min(1)
    return torch.where(n == 0, n, k)


def layer_norm(x: Tensor, floor: Tensor | int) -> Tensor:
    """(x - mean) / deviation over the last axis, in units of sqrt(C) / 2^NORM_BITS (I-LayerNorm, section 3.4); `floor`
    is eps C in units of the square of x."""
    channels = x.shape[-1]
    y = x - (2 * x.sum(dim=-1, keepdim=True) + channels) // (2 * channels)
    deviation = square_root(y.square().sum(dim=-1, keepdim=True) + floor).clamp_min(1)
    return (y << NORM_BITS) // deviation


def product(x: Tensor, y: Tensor) -> Tensor:
    """x y of codes within -127..127: ... n k and ... k m -> ... n m, summed in 32 bits."""
    left, right = x.to(torch.int8), y.to(torch.int8)
    if right.ndim == 2:
        one_matrix: Tensor = torch._int_mm(left.flatten(0, -2), right).long().unflatten(0, left.shape[:-1])
        return one_matrix
    pairs = zip(left.flatten(0, -3), right.flatten(0, -3), strict=True)
    done = torch.stack([torch._int_mm(one.contiguous(), other.contiguous()) for one, other in pairs])
    several: Tensor = done.long().unflatten(0, left.shape[:-2])
    return several


def code_scale(largest: float, bits: int) -> float:
    """The scale at which values up to `largest` fill symmetric codes of so many bits."""
    return max(largest, 1e-12) / ((1 << (bits - 1)) - 1)


def normal_factor(gamma: Tensor, scale: float) -> Tensor:
    """What brings `layer_norm` times `gamma` to codes of `scale`."""
    return gamma.double() * math.sqrt(gamma.numel()) / (1 << NORM_BITS) / scale
