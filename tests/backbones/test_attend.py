"""attend() against its double-precision definition, forward and backward, and the meaning of its options."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.attention.reference import reference_attend
from vitapps.shared_backbones.attention.rotate import Rotation, rotate


def draw_inputs(shape: tuple[int, int, int, int], options: set[str], seed: int) -> tuple[list[Tensor], dict[str, Any]]:
    batch, heads, count, dim = shape
    generator = torch.Generator().manual_seed(seed)
    qkv = [torch.randn(shape, generator=generator, requires_grad=True) for _ in range(3)]
    found: dict[str, Any] = {}
    if "bias" in options:
        found["bias"] = torch.randn(heads, count, count, generator=generator, requires_grad=True)
    if "key_size" in options:
        found["key_size"] = torch.randint(1, 9, (batch, count, 1), generator=generator).float()
    if "rope" in options:
        angles = torch.rand(count, dim // 2, generator=generator).mul(6).repeat_interleave(2, dim=1)
        found["rope"] = Rotation(angles.cos(), angles.sin())
    if "scale" in options:
        found["scale"] = 0.3
    return qkv, found


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 21), st.sampled_from([2, 6, 16])),
    options=st.sets(st.sampled_from(["bias", "key_size", "rope", "scale"])),
    need=st.sampled_from([(), ("key_mean",), ("class_row",), ("map",), ("class_row", "map", "key_mean")]),
    seed=st.integers(0, 10**6),
)
def test_every_path_is_the_reference(
    shape: tuple[int, int, int, int], options: set[str], need: tuple[Any, ...], seed: int
) -> None:
    qkv, found = draw_inputs(shape, options, seed)
    out, products = attend(*qkv, **found, need=need)
    expected, weights = reference_attend(*qkv, **found)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    assert set(products) == set(need)
    if "map" in need:
        torch.testing.assert_close(products["map"].double(), weights, rtol=1e-5, atol=1e-6)
    if "class_row" in need:
        torch.testing.assert_close(products["class_row"].double(), weights[:, :, 0], rtol=1e-5, atol=1e-6)
    if "key_mean" in need:
        assert torch.equal(products["key_mean"], qkv[1].mean(dim=1))

    leaves = qkv + ([found["bias"]] if "bias" in found else [])
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed))
    ours = torch.autograd.grad((out * direction).sum(), leaves)
    theirs = torch.autograd.grad((expected * direction.double()).sum(), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


def test_by_products_carry_gradients() -> None:
    qkv, _ = draw_inputs((1, 2, 5, 4), set(), 0)
    _, products = attend(*qkv, need=("class_row", "key_mean"))
    gradient = torch.autograd.grad(products["class_row"].square().sum() + products["key_mean"].sum(), qkv[1])[0]
    assert gradient.abs().sum() > 0


def test_a_key_of_size_two_is_the_key_twice() -> None:
    (q, k, v), _ = draw_inputs((2, 3, 7, 8), set(), 1)
    doubled, _ = attend(q, torch.cat((k, k[:, :, -1:]), 2), torch.cat((v, v[:, :, -1:]), 2))
    sizes = torch.ones(2, 7)
    sizes[:, -1] = 2
    sized, _ = attend(q, k, v, key_size=sizes)
    torch.testing.assert_close(sized, doubled, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(sized, attend(q, k, v)[0], atol=1e-3)


def test_queries_may_be_fewer_than_keys() -> None:
    q, k, v = torch.randn(1, 2, 1, 4), torch.randn(1, 2, 9, 4), torch.randn(1, 2, 9, 4)
    expected, _ = reference_attend(q, k, v)
    torch.testing.assert_close(attend(q, k, v)[0].double(), expected, rtol=1e-5, atol=1e-5)


def test_rotation_keeps_lengths_and_angle_zero_keeps_bits() -> None:
    _, found = draw_inputs((1, 1, 6, 8), {"rope"}, 2)
    x = torch.randn(2, 3, 6, 8)
    torch.testing.assert_close(rotate(x, found["rope"]).norm(dim=-1), x.norm(dim=-1))
    still = Rotation(torch.ones(6, 8), torch.zeros(6, 8))
    assert torch.equal(rotate(x, still), x)
