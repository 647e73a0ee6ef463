"""The window kernel against the double-precision reference, forward and backward."""

from __future__ import annotations

import math

import pytest
import torch

from vitapps.shared_backbones.attention.options import Window
from vitapps.shared_backbones.attention.reference import reference_attend

pytest.importorskip("triton")
from vitapps.shared_backbones.attention.kernels.window import window_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU: Triton's interpreter
pytestmark = [pytest.mark.gpu] if DEVICE == "cuda" else []


@pytest.mark.parametrize(
    ("grid", "size", "shift", "dim", "with_table"),
    [
        ((8, 8), (4, 4), (0, 0), 32, True),
        ((7, 9), (3, 4), (1, 2), 16, True),  # odd: smaller windows at both edges
        ((5, 4, 6), (3, 2, 4), (1, 1, 2), 16, True),
        ((11,), (4,), (3,), 24, True),  # 24 as 16 + 8
        ((6, 6), (4, 4), (2, 2), 80, False),
        ((9, 10), (9, 10), (0, 0), 16, True),  # 90 tokens: two blocks of queries and keys
    ],
    ids=str,
)
def test_the_kernel_is_the_reference(
    grid: tuple[int, ...], size: tuple[int, ...], shift: tuple[int, ...], dim: int, with_table: bool
) -> None:
    generator = torch.Generator().manual_seed(dim)
    qkv = [torch.randn(1, 2, math.prod(grid), dim, generator=generator).to(DEVICE).requires_grad_() for _ in "qkv"]
    rows = math.prod(2 * width - 1 for width in size)
    table = torch.randn(rows, 2, generator=generator).to(DEVICE).requires_grad_() if with_table else None
    window = Window(grid=grid, size=size, shift=shift, table=table)
    out = window_kernel(*qkv, window, 0.2)
    expected, _ = reference_attend(*qkv, window=window, scale=0.2)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    direction = torch.randn(out.shape, generator=generator).to(DEVICE)
    leaves = qkv if table is None else [*qkv, table]
    ours = torch.autograd.grad((out * direction).sum(), leaves)
    theirs = torch.autograd.grad((expected * direction.double()).sum(), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-5)


def test_two_images_as_views_of_one_projection() -> None:
    window = Window(grid=(3, 5), size=(2, 3), shift=(1, 1), table=torch.randn(15, 2).to(DEVICE))
    packed = torch.randn(2, 15, 3, 2, 16).to(DEVICE)
    q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)  # B N 3 h d -> three of B h N d
    expected, _ = reference_attend(q, k, v, window=window)
    torch.testing.assert_close(window_kernel(q, k, v, window, None).double(), expected, rtol=1e-5, atol=1e-5)
