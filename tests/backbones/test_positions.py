"""Position encodings: other grids, one-row grids, the native grid untouched, what relative means."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.rotate import Rotation, rotate
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.posenc._resample import resample_table
from vitapps.shared_backbones.posenc.learned import Learned
from vitapps.shared_backbones.posenc.rope import Rope
from vitapps.shared_backbones.posenc.sincos import SinCos, sincos_table

grids = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


@settings(max_examples=30, deadline=None)
@given(native=grids, data=st.data())
def test_tables_fit_any_grid(native: tuple[int, ...], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.integers(1, 7), min_size=len(native), max_size=len(native)).map(tuple))
    learned, sincos = Learned(12, native, prefix=2), SinCos(12, native, 100.0)
    rope = Rope(6, native, prefix=2, temperature=100.0)
    assert learned.table(native) is learned.weight
    assert learned.table(other).shape == (1, 2 + math.prod(other), 12)
    assert torch.equal(learned.table(other)[:, :2], learned.weight[:, :2])
    assert sincos.table(other).shape == (1, math.prod(other), 12)
    assert rope.rotation(other).cos.shape == (2 + math.prod(other), 6)
    for encoding in (learned, sincos, rope):
        before = encoding.table(other), encoding.rotation(other)
        encoding.resize(other)
        after = encoding.table(other), encoding.rotation(other)
        for one, two in itertools.chain.from_iterable(_pairs(a, b) for a, b in zip(before, after, strict=True)):
            assert torch.equal(one, two)


def _pairs(one: object, two: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    if isinstance(one, Rotation) and isinstance(two, Rotation):
        return [(one.cos, two.cos), (one.sin, two.sin)]
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [(one, two)]
    assert one is None
    assert two is None
    return []


@settings(max_examples=20, deadline=None)
@given(old=st.tuples(st.integers(1, 9), st.integers(1, 9)), new=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_one_separable_kernel_for_every_number_of_axes(old: tuple[int, int], new: tuple[int, int]) -> None:
    """A volume of depth 1 is an image: the axis-by-axis path equals torch's two-dimensional one."""
    table = torch.randn(1, old[0] * old[1], 3)
    image = resample_table(table, old, new)
    volume = resample_table(table, (1, *old), (1, *new))
    torch.testing.assert_close(volume, image, rtol=1e-5, atol=1e-5)


def test_resampling_is_torch_s_antialiased_bicubic() -> None:
    table = torch.randn(1, 35, 4)
    image = table.reshape(1, 5, 7, 4).permute(0, 3, 1, 2)
    expected = functional.interpolate(image, size=(3, 9), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    assert torch.equal(resample_table(table, (5, 7), (3, 9)), expected)


def test_a_constant_table_stays_constant() -> None:
    table = torch.full((1, 24, 2), 0.7)
    torch.testing.assert_close(resample_table(table, (2, 3, 4), (5, 1, 3)), torch.full((1, 15, 2), 0.7))


@settings(max_examples=20, deadline=None)
@given(grid=grids, seed=st.integers(0, 999))
def test_rotary_scores_depend_on_differences_alone(grid: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    dim = 4 * len(grid)
    rotation = Rope(dim, grid, prefix=0, temperature=10.0).rotation(grid)
    q, k = torch.randn(dim), torch.randn(dim)
    count = math.prod(grid)
    scores = rotate(q.expand(count, dim), rotation) @ rotate(k.expand(count, dim), rotation).T  # N N
    positions = list(itertools.product(*map(range, grid)))
    by_difference: dict[tuple[int, ...], float] = {}
    for i, one in enumerate(positions):
        for j, two in enumerate(positions):
            difference = tuple(a - b for a, b in zip(one, two, strict=True))
            assert by_difference.setdefault(difference, float(scores[i, j])) == pytest.approx(
                float(scores[i, j]), abs=1e-4
            )


def test_rope_tells_axes_apart_and_leaves_the_prefix() -> None:
    rotation = Rope(32, (2, 3, 4), prefix=1, temperature=100.0).rotation((2, 3, 4))
    assert torch.equal(rotation.cos[0], torch.ones(32))
    assert torch.equal(rotation.sin[0], torch.zeros(32))
    along = {axis: 1 + step for axis, step in zip("dhw", (12, 4, 1), strict=True)}
    turned = {axis: rotation.sin[row].abs() > 0 for axis, row in along.items()}
    assert [int(turned[axis].nonzero()[0]) for axis in "dhw"] == [0, 10, 20]
    assert [int(turned[axis].sum()) for axis in "dhw"] == [10, 10, 10]  # 5 pairs an axis, 1 pair of 16 left over


def test_rope_scales_another_grid_onto_its_reference() -> None:
    native = Rope(8, (4, 4), prefix=0, temperature=10.0, reference=(4, 4))
    twice = native.rotation((8, 8))
    assert torch.allclose(twice.cos.reshape(8, 8, 8)[::2, ::2].flatten(0, 1), native.cos)


def test_rope_needs_enough_channels() -> None:
    with pytest.raises(UsageError):
        Rope(4, (2, 2, 2), prefix=0, temperature=10.0)


def test_sincos_is_the_formula_and_distinct() -> None:
    table = sincos_table(8, (3, 5), 10000.0)[0]
    y, x = 2, 3
    row = table[y * 5 + x]
    rates = [1.0, 10000**-0.5]
    expected = [f(p * rate) for p in (y, x) for f in (math.sin, math.cos) for rate in rates]
    assert row.tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.cdist(table, table).add(torch.eye(15)).min() > 1e-3


@pytest.mark.parametrize("pos", ["learned", "sincos", "rope", "learned+rope", "none"])
@pytest.mark.parametrize("prefix", [True, False])
def test_positions_matter_unless_there_are_none(pos: str, prefix: bool) -> None:
    torch.manual_seed(0)
    config = ViTConfig(image_size=(8, 8), patch=(4, 4), dim=16, depth=2, heads=2, pos=pos, pos_prefix=prefix)
    model = ViT(config).eval()
    blocks: Any = model.blocks
    for block in blocks:
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.7)
    x = torch.randn(1, 3, 8, 8)
    moved = x.roll(4, dims=3)  # the patches of each row swap places
    same = torch.allclose(model(x), model(moved), atol=1e-5)
    assert same == (pos == "none")


@pytest.mark.parametrize("pos", ["learned", "sincos", "learned+rope"])
def test_resized_positions_give_the_same_features(pos: str) -> None:
    config = ViTConfig(image_size=(8, 8), patch=(4, 4), dim=16, depth=1, heads=2, pos=pos)
    model = ViT(config).eval()
    x = torch.randn(2, 3, 12, 4)
    before = model(x)
    model.resize_positions((12, 4))
    assert torch.equal(model(x), before)
    with pytest.raises(UsageError):
        model.resize_positions((12,))
