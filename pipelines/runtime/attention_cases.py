"""The calls that `vitapps bench attention` measures, and how each is written without attend().

An alternative is what pipelines do today: it builds its bias in every call, as they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitapps.shared_backbones.attention.options import Options, RelPos, Window

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "mem-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call: `qkv` B h N d each, `flop` what its visible pairs cost (two products), `ways` the alternatives."""

    name: str
    qkv: tuple[Tensor, Tensor, Tensor]
    options: Options
    flop: int
    ways: dict[str, Callable[[], Tensor]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a case."""

    batch: int
    heads: int
    grid: tuple[int, ...]
    dim: int

    @property
    def count(self) -> int:
        return math.prod(self.grid)

    def draw(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        size = (self.batch, self.heads, self.count, self.dim)
        q, k, v = (torch.randn(size, device=device, dtype=dtype) for _ in range(3))
        return q, k, v


def cases(*, quick: bool, device: torch.device, dtype: torch.dtype) -> list[Case]:
    """Shapes of published models; `quick` and CPUs get smaller grids and batches."""
    small = quick or device.type == "cpu"
    side = 16 if quick else 32 if small else 64
    heads, batches = 2 if quick else 12, (1,) if small else (1, 8)
    sam = [Shape(batch=batch, heads=heads, grid=(side, side), dim=dim) for dim in (64, 80) for batch in batches]
    swin = Shape(batch=1, heads=4, grid=(28, 28) if small else (56, 56), dim=32)
    unetr = Shape(batch=1, heads=3, grid=(14,) * 3 if small else (48,) * 3, dim=16)
    vit = Shape(batch=batches[-1], heads=heads, grid=(14, 14), dim=64)
    return [
        plain(vit, device, dtype),
        sized_keys(vit, device, dtype),
        *(relative(shape, device, dtype) for shape in sam),
        windowed("Swin", swin, (7, 7), device, dtype),
        windowed("Swin UNETR", unetr, (7, 7, 7), device, dtype),
        packed(vit, [196, 64, 140, 320] if small else [1024, 256, 777, 2048], device, dtype),
    ]


def plain(shape: Shape, device: torch.device, dtype: torch.dtype) -> Case:
    """No bias at all."""
    qkv = shape.draw(device, dtype)
    return Case(
        name=f"plain N={shape.count} d={shape.dim}",
        qkv=qkv,
        options={},
        flop=_flop(qkv[0], shape.count),
        ways=dense_ways(qkv, lambda: None),
    )


def sized_keys(shape: Shape, device: torch.device, dtype: torch.dtype) -> Case:
    """ToMe's proportional attention."""
    qkv = shape.draw(device, dtype)
    sizes = torch.randint(1, 9, (shape.batch, shape.count), device=device).float()
    spread = (shape.batch, shape.heads, shape.count, shape.count)
    return Case(
        name=f"key sizes N={shape.count} d={shape.dim}",
        qkv=qkv,
        options={"key_size": sizes},
        flop=_flop(qkv[0], shape.count),
        ways=dense_ways(qkv, lambda: sizes.log()[:, None, None].to(dtype).expand(spread)),
    )


def relative(shape: Shape, device: torch.device, dtype: torch.dtype) -> Case:
    """SAM's global attention: decomposed relative position."""
    qkv = shape.draw(device, dtype)
    strips = tuple(
        torch.randn(shape.batch, shape.heads, shape.count, size, device=device, dtype=dtype) for size in shape.grid
    )

    def bias() -> Tensor:
        return (strips[0].unsqueeze(-1) + strips[1].unsqueeze(-2)).flatten(-2)  # B h N H W -> B h N M

    ways = dense_ways(qkv, bias)
    if device.type == "cuda":
        ways["flex compiled"] = _flex_relative(qkv, strips, shape.grid[1])
    several = f" b={shape.batch}" if shape.batch > 1 else ""
    return Case(
        name=f"relative position {shape.grid[0]}x{shape.grid[1]} d={shape.dim}{several}",
        qkv=qkv,
        options={"rel_pos": RelPos(grid=shape.grid, strips=strips)},
        flop=_flop(qkv[0], shape.count),
        ways=ways,
    )


def windowed(name: str, shape: Shape, size: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Case:
    """A shifted-window block on a grid of whole windows."""
    qkv = shape.draw(device, dtype)
    table = torch.randn(math.prod(2 * width - 1 for width in size), shape.heads, device=device, dtype=dtype)
    window = Window(grid=shape.grid, size=size, shift=tuple(width // 2 for width in size), table=table)
    inside = math.prod(size)

    def swin(attention: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        parts = [_partition(x, window) for x in qkv]  # B nW h L d
        bias = (_table_bias(window) + _shift_mask(window, device).unsqueeze(1)).to(dtype)  # nW h L L
        spread = bias.expand(shape.batch, *bias.shape).flatten(0, 1)  # -> B nW h L L -> BnW h L L
        q, k, v = (part.flatten(0, 1) for part in parts)  # B nW h L d -> BnW h L d
        out = attention(q, k, v, spread)
        return _reverse(out.unflatten(0, parts[0].shape[:2]), window)

    return Case(
        name=f"{name} {'x'.join(map(str, shape.grid))} windows {'x'.join(map(str, size))} d={shape.dim}",
        qkv=qkv,
        options={"window": window},
        flop=_flop(qkv[0], inside),
        ways={
            "eager, roll and mask": lambda: swin(explicit),
            "sdpa, roll and mask": lambda: swin(
                lambda q, k, v, bias: functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            ),
        },
    )


def packed(shape: Shape, lengths: list[int], device: torch.device, dtype: torch.dtype) -> Case:
    """Images of different lengths in one sequence."""
    total = sum(lengths)
    qkv = Shape(batch=1, heads=shape.heads, grid=(total,), dim=shape.dim).draw(device, dtype)
    ends = torch.tensor([0, *lengths], device=device).cumsum(0)
    image = torch.repeat_interleave(torch.arange(len(lengths), device=device), torch.tensor(lengths, device=device))

    def mask() -> Tensor:
        apart = image[:, None] != image[None, :]
        return torch.zeros(total, total, device=device, dtype=dtype).masked_fill(apart, -torch.inf)[None, None]

    flop = sum(4 * shape.heads * length * length * shape.dim for length in lengths)
    ways = dense_ways(qkv, mask)
    return Case(name=f"packed {lengths}", qkv=qkv, options={"cu_seqlens": ends}, flop=flop, ways=ways)


def explicit(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention as three operations."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    out: Tensor = (scores if bias is None else scores + bias).softmax(dim=-1) @ v
    return out


def dense_ways(
    qkv: tuple[Tensor, Tensor, Tensor], bias: Callable[[], Tensor | None]
) -> dict[str, Callable[[], Tensor]]:
    """Eager, and every SDPA backend, with the bias built for all pairs."""
    ways: dict[str, Callable[[], Tensor]] = {"eager": lambda: explicit(*qkv, bias())}
    for name, backend in BACKENDS.items():

        def run(backend: SDPBackend = backend) -> Tensor:
            with sdpa_kernel(backend):
                return functional.scaled_dot_product_attention(*qkv, attn_mask=bias())

        ways[f"sdpa {name}"] = run
    return ways


def _flex_relative(qkv: tuple[Tensor, Tensor, Tensor], strips: tuple[Tensor, ...], width: int) -> Callable[[], Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    rows, columns = strips

    def score(value: Tensor, b: Tensor, h: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return value + rows[b, h, one, other // width] + columns[b, h, one, other % width]

    compiled: Any = torch.compile(flex_attention)

    def run() -> Tensor:
        out: Tensor = compiled(*qkv, score_mod=score)
        return out

    return run


def _flop(q: Tensor, keys: int) -> int:
    return 4 * q.numel() * keys  # q k^T and p v, a multiplication and an addition each


def _partition(x: Tensor, window: Window) -> Tensor:
    """Roll and cut: B h N d -> B nW h L d."""
    axes = range(2, 2 + len(window.grid))
    x = x.unflatten(2, window.grid).roll([-step for step in window.shift], list(axes))  # -> B h *grid d
    for axis, size in enumerate(window.size):
        x = x.unflatten(2 + 2 * axis, (-1, size))  # -> B h (count, size) each d
    count = len(window.size)
    outer, inner = [2 + 2 * axis for axis in range(count)], [3 + 2 * axis for axis in range(count)]
    x = x.permute(0, *outer, 1, *inner, 2 + 2 * count)  # -> B *counts h *size d
    return x.flatten(1, count).flatten(3, 2 + count)  # -> B nW h L d


def _reverse(x: Tensor, window: Window) -> Tensor:
    """The way back: B nW h L d -> B h N d."""
    count = len(window.size)
    pieces = [length // size for length, size in zip(window.grid, window.size, strict=True)]
    x = x.unflatten(3, window.size).unflatten(1, pieces)  # -> B *counts h *size d
    order = [place for axis in range(count) for place in (1 + axis, 2 + count + axis)]
    x = x.permute(0, 1 + count, *order, 2 + 2 * count)  # -> B h (count, size) each d
    for axis in range(count):
        x = x.flatten(2 + axis, 3 + axis)  # -> B h *grid d
    x = x.roll(list(window.shift), list(range(2, 2 + count)))
    return x.flatten(2, 1 + count)  # -> B h N d


def _coordinates(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    axes = torch.meshgrid(*(torch.arange(size, device=device) for size in sizes), indexing="ij")
    return torch.stack([axis.flatten() for axis in axes])  # axes L


def _table_bias(window: Window) -> Tensor:
    """h L L from the table, as Swin indexes it."""
    assert window.table is not None
    places = _coordinates(window.size, window.table.device)
    distance = places[:, :, None] - places[:, None, :]  # axes L L
    row = torch.zeros_like(distance[0])
    for axis, size in enumerate(window.size):
        row = row * (2 * size - 1) + distance[axis] + size - 1
    return window.table[row].permute(2, 0, 1)  # L L h -> h L L


def _shift_mask(window: Window, device: torch.device) -> Tensor:
    """Swin's mask: nW L L, 0 or -inf."""
    region = torch.zeros(window.grid, device=device)
    wrapped = _coordinates(window.grid, device) < torch.tensor(window.shift, device=device)[:, None]
    for axis in range(len(window.grid)):
        region = region * 2 + wrapped[axis].reshape(window.grid)
    numbers = _partition(region.reshape(1, 1, -1, 1), window)[0, :, 0, :, 0]  # nW L
    apart = numbers[:, :, None] != numbers[:, None, :]
    return torch.zeros(apart.shape, device=device).masked_fill(apart, -torch.inf)
