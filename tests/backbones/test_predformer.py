"""PredFormer: what each axis mixes, and that the layouts are the paper's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.predformer import PredFormer, PredFormerConfig, mix

SMALL = PredFormerConfig(frames=3, size=(8, 12), patch=4, dim=16, heads=2, repeats=1, layout="STF")


@pytest.fixture
def model() -> PredFormer:
    torch.manual_seed(0)
    return PredFormer(SMALL).double().eval()


def tokens() -> Tensor:
    return torch.randn(2, 3, 6, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("axis", ["S", "T"])
def test_an_axis_is_full_attention_under_a_block_mask(model: PredFormer, axis: str) -> None:
    block, x = model.blocks[0], tokens()
    frame, place = torch.arange(18) // 6, torch.arange(18) % 6
    key = frame if axis == "S" else place
    bias = torch.zeros(18, 18, dtype=torch.float64).masked_fill(key[:, None] != key[None], -torch.inf)
    flat = x.flatten(1, 2)
    mixed, _ = block.attn(block.norm1(flat), bias=bias)
    wanted = flat + mixed
    wanted = wanted + block.mlp(block.norm2(wanted))
    assert torch.allclose(mix(block, x, axis), wanted.unflatten(1, (3, 6)), atol=1e-12)


def test_a_full_block_is_plain_attention(model: PredFormer) -> None:
    block, x = model.blocks[2], tokens()
    wanted, _ = block(x.flatten(1, 2), None, None, None)
    assert torch.equal(mix(block, x, "F"), wanted.unflatten(1, (3, 6)))


@pytest.mark.parametrize(("axis", "same"), [("S", 1), ("T", 2)])
def test_a_block_mixes_its_axis_alone(model: PredFormer, axis: str, same: int) -> None:
    """The gradient of one token reaches exactly those of its frame (S), or of its place (T)."""
    x = tokens().requires_grad_()
    mix(model.blocks[1], x, axis)[0, 1, 2].sum().backward()
    reached = x.grad[0].abs().sum(dim=2) > 0  # type: ignore[index]
    wanted = torch.zeros(3, 6, dtype=torch.bool)
    wanted[(1, slice(None)) if same == 1 else (slice(None), 2)] = True
    assert torch.equal(reached, wanted)


def test_patches_go_back_where_they_were(model: PredFormer) -> None:
    """With embedding, head and norm made the identity the clip comes back."""
    clip = torch.rand(2, 3, 1, 8, 12, dtype=torch.float64)
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_(torch.eye(16).reshape(16, 1, 4, 4))
        model.patch_embed.proj.bias.zero_()
        model.head.weight.copy_(torch.eye(16))
    model.norm = torch.nn.Identity()
    model.blocks, model.axes = torch.nn.ModuleList(), ""
    model.position.zero_()
    assert torch.allclose(model(clip), clip)


@pytest.mark.parametrize("layout", ["F", "SSTT", "TTSS", "ST", "TS", "STS", "TST", "STTS", "TSST"])
def test_every_layout_of_the_paper_predicts(layout: str) -> None:
    model = PredFormer(PredFormerConfig(frames=2, size=(8, 8), patch=4, dim=8, heads=2, layout=layout, repeats=1))
    found = model(torch.rand(1, 2, 1, 8, 8))
    assert found.shape == (1, 2, 1, 8, 8) and len(model.blocks) == len(layout)
    found.sum().backward()
    assert all(item.grad is not None for item in model.parameters())


def test_what_makes_no_sense_is_said() -> None:
    with pytest.raises(UsageError, match="layout 'TSX'"):
        PredFormerConfig(layout="TSX")
    with pytest.raises(UsageError, match="multiple of patch"):
        PredFormerConfig(size=(64, 60))
