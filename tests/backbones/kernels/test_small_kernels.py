"""By-products, token merging and the qkv prologue, each against its definition."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vitapps.shared_backbones.attention.reference import reference_attend
from vitapps.shared_backbones.attention.rotate import Rotation, rotate

pytest.importorskip("triton")
from vitapps.shared_backbones.attention.kernels.by_products import product_kernels
from vitapps.shared_backbones.attention.kernels.prologue import qkv_prologue
from vitapps.shared_backbones.attention.kernels.token_merge import best_partner, merge_tokens

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU: Triton's interpreter
pytestmark = [pytest.mark.gpu] if DEVICE == "cuda" else []


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.mark.parametrize(("queries", "keys", "dim", "sized"), [(7, 11, 16, False), (65, 70, 80, True)])
def test_by_products_are_the_reference(queries: int, keys: int, dim: int, sized: bool) -> None:
    q, k = randn(2, 3, queries, dim), randn(2, 3, keys, dim, seed=1)
    sizes = torch.randint(1, 9, (2, keys), generator=torch.Generator().manual_seed(2)).float().to(DEVICE)
    log_size = sizes.log()[:, None, None] if sized else None
    found = product_kernels(q, k, log_size, None, {"column_sum", "head_mean", "entropy"})
    _, expected = reference_attend(q, k, k, key_size=sizes if sized else None)
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "dim"), [(9, 16), (140, 80)])
def test_the_match_is_the_best_cosine(count: int, dim: int) -> None:
    keys = randn(2, count, dim)
    unit = functional.normalize(keys, dim=-1)
    scores, partner = (unit[:, 1::2] @ unit[:, 0::2].transpose(1, 2)).max(dim=-1)
    best, found = best_partner(keys)
    torch.testing.assert_close(best, scores, rtol=1e-5, atol=1e-6)
    assert torch.equal(found, partner)


def test_merging_is_a_mean_weighted_by_size() -> None:
    x, size = randn(1, 7, 70), torch.tensor([1.0, 2, 3, 1, 1, 4, 2]).reshape(1, 7, 1).to(DEVICE)
    kept = torch.tensor([[0, 3, 2, 4, 6]], device=DEVICE)  # the last three may take others
    gone, partner = torch.tensor([[1, 5]], device=DEVICE), torch.tensor([[2, 2]], device=DEVICE)
    out, new_size = merge_tokens(x, size, kept, gone, partner, 3)
    assert torch.equal(out[:, :4], x[:, kept[0, :4]])  # bit for bit
    mean = (x[0, 6] * 2 + x[0, 1] * 2 + x[0, 5] * 4) / 8
    torch.testing.assert_close(out[0, 4], mean)
    assert new_size.flatten().tolist() == [1, 1, 3, 1, 8]


@pytest.mark.parametrize("angles", ["none", "axial", "mixed"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_prologue_is_its_four_steps(angles: str, with_bias: bool) -> None:
    batch, count, heads, dim = 2, 35, 2, 24
    qkv = randn(batch, count, 3, heads, dim).requires_grad_()
    bias = randn(3 * heads * dim, seed=1).requires_grad_() if with_bias else None
    shape = {"none": (), "axial": (count, dim // 2), "mixed": (heads, count, dim // 2)}[angles]
    turn = randn(*shape, seed=2).repeat_interleave(2, dim=-1) if shape else torch.zeros(())
    rope = Rotation(turn.cos(), turn.sin()) if shape else None
    ours = qkv_prologue(qkv, bias, rope, 0.3)
    full = qkv if bias is None else qkv + bias.reshape(3, heads, dim)
    q, k, v = full.permute(2, 0, 3, 1, 4).unbind(0)  # B N 3 h d -> three of B h N d
    expected = (rotate(q, rope) * 0.3, rotate(k, rope), v) if rope is not None else (q * 0.3, k, v)
    directions = [randn(batch, heads, count, dim, seed=seed) for seed in (3, 4, 5)]
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert one.is_contiguous()
    leaves = [qkv] if bias is None else [qkv, bias]
    got, wanted = (
        torch.autograd.grad(sum((x * d).sum() for x, d in zip(xs, directions, strict=True)), leaves)
        for xs in (ours, expected)
    )
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
