"""How fast attention could be on a device whose matrix unit waits for the exponentials: both rates, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vitapps.pipelines.runtime.stopwatch import interleaved


@dataclass(frozen=True, kw_only=True, slots=True)
class Roof:
    """`matmul` floating-point operations a second in the products of large matrices, `exponentials` a second. The roof
    is of products and exponentials one after the other; kernels that overlap the two can be a little above it."""

    matmul: float
    exponentials: float

    def seconds(self, flop: int, dim: int) -> float:
        """Of attention that takes `flop` in both its products, with heads of `dim` channels: each score costs 4 dim of
        them and one exponential."""
        return flop / self.matmul + flop / (4 * dim) / self.exponentials


def measure_roof(device: torch.device, dtype: torch.dtype) -> Roof:
    """Both rates by the clock of the bench: device time on a GPU, CPU time of all threads on a CPU."""
    large = device.type == "cuda"
    side, count = (8192, 1 << 28) if large else (1024, 1 << 18)  # values of a CPU stay in its cache
    square, line = torch.randn(side, side, device=device, dtype=dtype), torch.randn(count, device=device)
    out, powers = torch.empty_like(square), torch.empty_like(line)
    seconds = interleaved(
        {"matmul": lambda: torch.matmul(square, square, out=out), "exp": lambda: torch.exp(line, out=powers)},
        rounds=9, device=device,
    )  # fmt: skip
    return Roof(matmul=2 * side**3 / seconds["matmul"], exponentials=count / seconds["exp"])
