"""Fake quantizers: values rounded to what so many bits can hold, still stored as floats. Neutral until calibrated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NEUTRAL_BITS = 32  # at this many bits nothing is rounded


class Quantizer(nn.Module):
    """Rounds a tensor in `forward`; `calibrate` chooses its levels from sample values. Levels are buffers, so that a
    state dict holds them exactly."""

    learns = False  # True: of a weight that wants to see what its layer reads before it settles

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    @property
    def top(self) -> int:
        """The largest code; codes are 0 .. top."""
        return int(2**self.bits - 1)

    def calibrate(self, samples: Tensor) -> None:
        """Choose the levels; `samples` has the shape of what `forward` gets, with any number of rows."""
        raise NotImplementedError

    def observe(self, x: Tensor) -> None:
        """Take notice of inputs of the layer, as it reads them; only where `learns`."""

    def settle(self, weight: Tensor) -> Tensor:
        """Choose the levels of a weight matrix and return it rounded."""
        self.calibrate(weight)
        rounded: Tensor = self(weight)
        return rounded


class Uniform(Quantizer):
    """code = clamp(round(x / scale) + zero, 0, top), value = (code - zero) scale: asymmetric and linear.

    `channels` 0: one scale for the tensor; otherwise one for every entry of the last axis.
    """

    scale: Tensor
    zero: Tensor

    def __init__(self, bits: int, channels: int = 0) -> None:
        super().__init__(bits)
        shape = (channels,) if channels else ()
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("zero", torch.zeros(shape))

    def calibrate(self, samples: Tensor) -> None:
        """Levels from the smallest to the largest sample."""
        flat = samples.detach().float().reshape(-1, samples.shape[-1])  # ... C -> R C
        low, high = (flat.amin(0), flat.amax(0)) if self.scale.ndim else (flat.min(), flat.max())
        self.set_range(low, high)

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Levels between `low` and `high`, zero among them (so that zero is exact)."""
        low, high = low.clamp_max(0), high.clamp_min(0)
        scale = ((high - low) / self.top).clamp_min(1e-12)
        self.scale, self.zero = scale.float(), (-low / scale).round().float()

    def code(self, x: Tensor) -> Tensor:
        """The integers that `x` becomes, as floats."""
        return (round_through(x / self.scale) + self.zero).clamp(0, self.top)

    def forward(self, x: Tensor) -> Tensor:
        return ((self.code(x) - self.zero) * self.scale).to(x.dtype)


def round_through(x: Tensor) -> Tensor:
    """Nearest integers; where something is learned the gradient passes as if nothing were rounded."""
    return x + (x.round() - x).detach() if x.requires_grad else x.round()


class Rows(Uniform):
    """Uniform with one scale for every row of a weight matrix, out in."""

    def __init__(self, bits: int, out: int) -> None:
        super().__init__(bits, out)

    def calibrate(self, samples: Tensor) -> None:
        super().calibrate(samples.t())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.t()).t()


class KeptRows(Rows):
    """`Rows` that keeps the exact weight beside the nearest rounding, where a search or a reconstruction starts."""

    def __init__(self, bits: int, out: int) -> None:
        super().__init__(bits, out)
        self.exact: Tensor | None = None

    def settle(self, weight: Tensor) -> Tensor:
        """Nearest rounding for now."""
        self.exact = weight.detach().clone()
        return super().settle(weight)


def neutral_or(quantizer: Quantizer) -> nn.Module:
    """The quantizer, or an identity where its bits round nothing."""
    return nn.Identity() if quantizer.bits >= NEUTRAL_BITS else quantizer
