"""The decomposed relative-position kernel against the double-precision reference, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitapps.shared_backbones.attention.options import RelPos
from vitapps.shared_backbones.attention.reference import reference_attend

pytest.importorskip("triton")
from vitapps.shared_backbones.attention.kernels import rel_pos as kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU: Triton's interpreter
pytestmark = [pytest.mark.gpu] if DEVICE == "cuda" else []


def draw(batch: int, grid: tuple[int, int], dim: int, *, queries: int | None = None) -> tuple[list[Tensor], RelPos]:
    generator = torch.Generator().manual_seed(dim + grid[1])
    keys = grid[0] * grid[1]
    count = queries or keys

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(DEVICE).requires_grad_()

    qkv = [randn(batch, 2, length, dim) for length in (count, keys, keys)]
    return qkv, RelPos(grid=grid, strips=(randn(batch, 2, count, grid[0]), randn(batch, 2, count, grid[1])))


@pytest.mark.parametrize(
    ("batch", "grid", "dim", "sized"),
    [
        (1, (5, 7), 64, False),
        (2, (3, 5), 80, True),  # 80 as 64 + 16
        (1, (2, 33), 16, False),  # columns in three tiles of 16
        (1, (4, 18), 24, True),  # two tiles of columns, two rows each; 24 as 16 + 8
        (1, (2, 64), 32, False),  # one row a tile
    ],
)
def test_the_kernel_is_the_reference(batch: int, grid: tuple[int, int], dim: int, sized: bool) -> None:
    qkv, rel_pos = draw(batch, grid, dim)
    keys = grid[0] * grid[1]
    sizes = torch.randint(1, 9, (batch, keys), generator=torch.Generator().manual_seed(0)).float().to(DEVICE)
    log_size = sizes.log().reshape(batch, 1, 1, keys) if sized else None
    out = kernel.rel_pos_kernel(*qkv, rel_pos, log_size, 0.2)
    expected, _ = reference_attend(*qkv, rel_pos=rel_pos, key_size=sizes if sized else None, scale=0.2)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    leaves = [*qkv, *rel_pos.strips]
    ours = torch.autograd.grad((out * direction).sum(), leaves)
    theirs = torch.autograd.grad((expected * direction.double()).sum(), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-5)


def test_more_queries_than_a_block_and_strided_inputs() -> None:
    """q, k, v as the qkv projection leaves them: three views of one tensor."""
    grid, dim = (9, 8), 16
    _, rel_pos = draw(1, grid, dim)
    packed = torch.randn(1, 72, 3, 2, dim, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)  # B N 3 h d -> three of B h N d
    out = kernel.rel_pos_kernel(q, k, v, rel_pos, None, None)
    expected, _ = reference_attend(q, k, v, rel_pos=rel_pos)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


def test_half_precision_stays_close() -> None:
    qkv, rel_pos = draw(1, (4, 6), 80)
    half = [x.detach().half() for x in qkv]
    strips = RelPos(grid=rel_pos.grid, strips=tuple(strip.detach().half() for strip in rel_pos.strips))
    out = kernel.rel_pos_kernel(*half, strips, None, None)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), reference_attend(*half, rel_pos=strips)[0], rtol=5e-3, atol=5e-3)


def test_tiles_waste_little() -> None:
    assert [kernel.tile_columns(width) for width in (64, 14, 33, 48, 100)] == [64, 16, 16, 16, 16]
