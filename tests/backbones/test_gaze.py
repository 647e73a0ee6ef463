"""ViTGaze: its interaction maps are the attention of the layers, its guidance picks rows of them."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.gaze import GazeConfig, GazeFollower, gaze_loss, head_patches
from vitapps.shared_backbones.models.vit import ViTConfig

VIT = ViTConfig(image_size=(32, 48), patch=(8, 8), dim=32, depth=3, heads=4, pool="none", num_classes=0)
GRID = (4, 6)


@pytest.fixture(scope="module")
def follower() -> GazeFollower:
    torch.manual_seed(0)
    return GazeFollower(GazeConfig(vit=VIT, layers=(0, -1), widths=(6, 1))).eval()


def test_interactions_are_the_attention_of_the_layers(follower: GazeFollower) -> None:
    x = torch.rand(2, 3, 32, 48)
    seen = {}
    hooks = [
        block.attn.register_forward_pre_hook(lambda _, given, number=number: seen.setdefault(number, given[0]))
        for number, block in enumerate(follower.vit.blocks)
    ]
    with torch.no_grad():
        maps, tokens, grid = follower.scene(x)
    for hook in hooks:
        hook.remove()
    assert grid == GRID and tokens.shape == (2, 24, 32) and maps.shape == (2, 8, 24, 24)
    for place, layer in enumerate((0, 2)):
        attn = follower.vit.blocks[layer].attn
        q, k, _ = attn.qkv(seen[layer]).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
        wanted = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)[:, :, 1:, 1:]  # without the class token
        torch.testing.assert_close(maps[:, 4 * place : 4 * place + 4], wanted, rtol=1e-5, atol=1e-6)


def test_guidance_on_one_patch_gives_the_row_of_that_patch(follower: GazeFollower) -> None:
    box = torch.tensor([[2 / 6, 1 / 4, 3 / 6, 2 / 4]])  # the patch of row 1, column 2
    x = torch.rand(1, 3, 32, 48)
    share = follower.guidance(x, box)
    assert share[0, 1 * 6 + 2] == 1 and share.sum() == 1
    maps = follower.scene(x).maps
    torch.testing.assert_close(torch.einsum("bn,bmnk->bmk", share, maps), maps[:, :, 8])


def test_a_head_counts_its_patches_and_never_none() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.99, 0.99, 1.0, 1.0], [0.4, 0.4, 0.4, 0.4]])
    part = head_patches(boxes, (32, 48), 8)
    assert part.sum(dim=1).tolist() == [6, 1, 1]
    assert part[1, -1] and part[2, 1 * 6 + 2]


def test_shapes_gradients_and_what_another_head_changes(follower: GazeFollower) -> None:
    x = torch.rand(1, 3, 32, 48).expand(2, -1, -1, -1)
    heads = torch.tensor([[0.0, 0.0, 0.4, 0.5], [0.6, 0.5, 1.0, 1.0]])
    heat, inside = follower(x, heads)
    assert heat.shape == (2, 16, 24) and inside.shape == (2,)
    assert not torch.allclose(heat[0], heat[1], atol=1e-6)
    gaze_loss(heat, inside, torch.tensor([[0.5, 0.5], [0.2, 0.8]]), torch.tensor([True, False])).backward()
    assert all(parameter.grad is not None for parameter in follower.decoder.parameters())
    assert follower.vit.blocks[0].attn.qkv.weight.grad is not None
    follower.zero_grad()


def test_the_loss_is_least_where_the_target_is() -> None:
    target, seen = torch.tensor([[0.25, 0.5]]), torch.tensor([True])
    rows, columns = torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16), torch.linspace(0.5 / 24, 1 - 0.5 / 24, 24)
    away = (columns[None] - 0.25) ** 2 + (rows[:, None] - 0.5) ** 2
    exact = torch.exp(-away / (2 * 0.04**2))[None]
    sure = torch.tensor([20.0])
    assert gaze_loss(exact, sure, target, seen) < 1e-3
    assert gaze_loss(exact.flip(2), sure, target, seen) > 0.1
    assert gaze_loss(exact, sure, target, ~seen) > 10  # said to be inside, and is not


def test_the_decoder_is_below_one_percent_of_a_small_vit() -> None:
    vit = ViTConfig(image_size=(224, 224), patch=(16, 16), dim=384, depth=12, heads=6, pool="none", num_classes=0)
    with torch.device("meta"):
        follower = GazeFollower(GazeConfig(vit=vit))
    own = sum(p.numel() for p in follower.parameters()) - sum(p.numel() for p in follower.vit.parameters())
    assert own < 0.01 * sum(p.numel() for p in follower.vit.parameters())


def test_other_positions_are_refused() -> None:
    with pytest.raises(UsageError, match="plain attention"):
        GazeFollower(GazeConfig(vit=ViTConfig(image_size=(32, 32), patch=(8, 8), dim=32, depth=2, heads=4, pos="rope")))
