"""Packed images are the images one by one: any ViT, any sizes, any order of packing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.packed_vit import PackedViT
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.packing.first_fit import pack
from vitapps.shared_backbones.posenc.factorised import Factorised

SIZES = ((16, 24), (8, 40), (24, 24), (8, 8), (32, 16))
TINY = {"in_chans": 2, "image_size": (24, 24), "patch": (8, 8), "dim": 16, "depth": 3, "heads": 2, "num_classes": 5}
VARIANTS: dict[str, dict[str, object]] = {
    "class token, learned positions": {},
    "rope, registers, qk-norm, LayerScale": {
        "pos": "rope", "registers": 3, "qk_norm": True, "layer_scale": 0.5, "pos_prefix": False,
    },
    "learned and rope, mean of patches": {
        "pos": "learned+rope", "class_token": False, "pool": "mean", "pos_prefix": False, "fc_norm": True,
    },
    "factorised, attention pooling": {"pos": "factorised", "pos_prefix": False, "pool": "attention"},
    "sincos, odd sizes padded to patches": {"pos": "sincos", "dynamic_pad": True, "pos_prefix": False},
}  # fmt: skip


def make(options: dict[str, object]) -> ViT:
    torch.manual_seed(0)
    vit = ViT(ViTConfig(**{**TINY, **options})).eval()
    for weight in vit.parameters():  # weights that matter, so that a wrong neighbour is seen
        torch.nn.init.normal_(weight, std=0.3)
    return vit


def draw_images(*, odd: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, height - 3 * odd, width - 3 * odd, generator=generator) for height, width in SIZES]


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("capacity", [None, 14])
def test_packed_equals_one_by_one(name: str, capacity: int | None) -> None:
    vit = make(VARIANTS[name])
    images = draw_images(odd="odd" in name)
    packed = PackedViT(vit)
    for image, found in zip(images, packed.forward_features(images, capacity), strict=True):
        alone = vit.forward_features(image[None])
        assert (found.grid, found.prefix) == (alone.grid, alone.prefix)
        torch.testing.assert_close(found.tokens, alone.tokens, rtol=1e-5, atol=1e-5)
        assert packed.count_tokens(image) == alone.tokens.shape[1]
    torch.testing.assert_close(
        packed(images, capacity), torch.cat([vit(image[None]) for image in images]), rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_another_image_in_the_sequence_changes_nothing() -> None:
    vit = make({"pos": "rope", "pos_prefix": False})
    one, two, three = draw_images()[:3]
    with_two, with_three = PackedViT(vit)([one, two]), PackedViT(vit)([one, three])
    assert torch.equal(with_two[0], with_three[0])
    assert not torch.allclose(with_two[1], with_three[1])


def test_gradients_reach_the_weights_as_one_by_one() -> None:
    vit = make({})
    images = draw_images()
    weight = vit.blocks[0].attn.qkv.weight
    ours = torch.autograd.grad(PackedViT(vit)(images, 20).square().sum(), weight)[0]
    theirs = torch.autograd.grad(sum(vit(image[None]).square().sum() for image in images), weight)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_volumes_pack_as_well() -> None:
    vit = ViT(ViTConfig(in_chans=1, image_size=(4, 4, 4), patch=(2, 2, 2), dim=24, depth=1, heads=2, pos="rope")).eval()
    volumes = [torch.randn(1, 4, 4, 4), torch.randn(1, 2, 6, 4)]
    with torch.no_grad():
        for volume, row in zip(volumes, PackedViT(vit)(volumes), strict=True):
            torch.testing.assert_close(row, vit(volume[None])[0], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(UsageError):
        PackedViT(ViT(ViTConfig(**TINY, reducer="identity")))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        PackedViT(make({}))(draw_images(), 5)
    assert PackedViT(make({})).forward_features([]) == []


@given(st.lists(st.integers(1, 50), max_size=40))
def test_packing_holds_every_item_once_and_is_near_the_best(lengths: list[int]) -> None:
    found = pack(lengths, 50)
    assert sorted(item for items in found.sequences for item in items) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in items) <= 50 for items in found.sequences)
    least = math.ceil(sum(lengths) / 50)
    assert len(found.sequences) <= 11 / 9 * max(least, sum(length > 25 for length in lengths)) + 1 + least / 2
    assert found.fill == pytest.approx(sum(lengths) / (50 * len(found.sequences)) if lengths else 1.0)


def test_first_fit_decreasing_by_hand() -> None:
    found = pack([4, 8, 1, 4, 2, 1], 10)  # 8 + 2 | 4 + 4 + 1 + 1
    assert found.sequences == ((1, 4), (0, 2, 3, 5))
    assert found.fill == 1.0


def test_factorised_positions_are_a_sum_over_axes() -> None:
    pos = Factorised(4, (3, 5))
    rows, columns = pos.axes
    table = pos.table((2, 4)).reshape(2, 4, 4)
    torch.testing.assert_close(table[1, 3], rows[1] + columns[3])
    longer = pos.table((3, 9)).reshape(3, 9, 4)  # 5 coordinates stretched to 9: every second is trained
    torch.testing.assert_close(longer[2, 4], rows[2] + columns[2])
    expected = pos.table((4, 9))
    pos.resize((4, 9))
    torch.testing.assert_close(pos.table((4, 9)), expected)
