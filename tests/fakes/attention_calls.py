"""Random calls of attend() with any set of options, and a counter of the largest tensor that a call makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vitapps.shared_backbones.attention.options import Options, RelPos, Window
from vitapps.shared_backbones.attention.rotate import Rotation

NAMES = ("bias", "key_size", "rope", "cu_seqlens", "window", "rel_pos", "scale")
EXCLUDED = ({"cu_seqlens", "bias"}, {"cu_seqlens", "window"}, {"cu_seqlens", "rel_pos"}, {"window", "bias"})
SINGLES = ((), *((name,) for name in NAMES))
PAIRS = tuple(pair for pair in itertools.combinations(NAMES, 2) if set(pair) not in EXCLUDED)


@dataclass(frozen=True)
class Call:
    qkv: list[Tensor]
    options: Options


def draw_call(
    options: set[str],
    grid: tuple[int, ...],
    *,
    seed: int,
    dim: int = 6,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Call:
    """Two images of prod(grid) tokens, three heads; every float tensor wants a gradient, the key sizes do not."""
    generator = torch.Generator().manual_seed(seed)
    count, batch, heads = math.prod(grid), 2, 3

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()

    def integers(low: int, high: int, size: int) -> list[int]:
        return torch.randint(low, high, (size,), generator=generator).tolist()

    window = tuple(integers(1, 5, len(grid)))
    found: Options = {}
    if "bias" in options:
        found["bias"] = randn(heads, count, count)
    if "key_size" in options:
        found["key_size"] = torch.tensor(integers(1, 9, batch * count)).float().reshape(batch, count, 1).to(device)
    if "rope" in options:
        angles = torch.rand(count, dim // 2, generator=generator).mul(6).repeat_interleave(2, dim=1)
        found["rope"] = Rotation(angles.cos().to(device), angles.sin().to(device))
    if "cu_seqlens" in options:
        cuts = sorted(integers(0, count + 1, 3))  # images without tokens are possible
        found["cu_seqlens"] = torch.tensor([0, *cuts, count], device=device)
    if "window" in options:
        shift = tuple(step % size for step, size in zip(integers(0, 4, len(grid)), window, strict=True))
        table = randn(math.prod(2 * size - 1 for size in window), heads)
        found["window"] = Window(grid=grid, size=window, shift=shift, table=table)
    if "rel_pos" in options:
        keys = window if "window" in options else grid
        found["rel_pos"] = RelPos(grid=keys, strips=tuple(randn(batch, heads, count, size) for size in keys))
    if "scale" in options:
        found["scale"] = 0.3
    return Call(qkv=[randn(batch, heads, count, dim) for _ in range(3)], options=found)


def leaves(call: Call) -> list[Tensor]:
    """Everything that has a gradient."""
    found = list(call.qkv)
    if (bias := call.options.get("bias")) is not None:
        found.append(bias)
    if (window := call.options.get("window")) is not None and window.table is not None:
        found.append(window.table)
    if (rel_pos := call.options.get("rel_pos")) is not None:
        found += rel_pos.strips
    return found


class _Largest(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, tuple | list) else [out]:
            if isinstance(item, Tensor):
                self.elements = max(self.elements, item.untyped_storage().nbytes() // item.element_size())
        return out


def largest_tensor(run: Callable[[], object]) -> int:
    """Elements of the largest tensor that any torch operation returns while `run` runs, its backward included."""
    with _Largest() as mode:
        run()
    return mode.elements
