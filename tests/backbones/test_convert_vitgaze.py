"""ViTGaze, written again here from its paper, beside ours with converted weights."""

from __future__ import annotations

import pytest
import torch

from fakes.gaze_checkpoint import LAYERS, SIDE, gaze_state, plain_gaze
from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.vitgaze import config_from_vitgaze, convert_vitgaze
from vitapps.shared_backbones.heads.gaze import GazeFollower
from vitapps.shared_backbones.weights.load import load_state


def test_parity_at_random_weights() -> None:
    state = gaze_state()
    config = config_from_vitgaze(state, side=SIDE)
    assert config.layers == LAYERS and config.vit.grid == (4, 4)
    follower = GazeFollower(config)
    load_state(follower, convert_vitgaze(state, side=SIDE), "random")
    follower.eval()
    image = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[0, :, 3:20, 10:30] = mask[1, :, 40:56, 20:28] = 1
    heads = torch.tensor([[10, 3, 30, 20], [20, 40, 28, 56]]) / SIDE
    with torch.no_grad():
        heat, inside = follower(image, heads)
        wanted, logit = plain_gaze(state, image, mask)
    assert heat.shape == (2, 32, 32) and wanted.std() > 1e-4
    torch.testing.assert_close(heat, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(inside, logit, rtol=1e-4, atol=1e-5)


def test_the_published_sizes() -> None:
    """DINOv2's ViT-S/14 with maps of four layers: 434 pixels, layers 2, 5, 8 and 11."""
    with torch.device("meta"):
        state = {
            "backbone.patch_embed.proj.weight": torch.empty(384, 3, 14, 14),
            "backbone.cls_token": torch.empty(1, 1, 384),
            "backbone.blocks.0.mlp.fc1.weight": torch.empty(1536, 384),
            "backbone.blocks.0.ls1.gamma": torch.empty(384),
            "backbone.blocks.11.ls1.gamma": torch.empty(384),
            "pam.embed.weight": torch.empty(1, 8, 1, 1),
            "pam.patch_embed.patch_embed.weight": torch.empty(8, 3, 14, 14),
            **{f"regressor.decoder.conv{n}.weight": torch.empty(w, v, 3, 3)
               for n, v, w in ((1, 24, 16), (2, 16, 8), (3, 8, 1))},
        }  # fmt: skip
    config = config_from_vitgaze(state)
    assert config.layers == (2, 5, 8, 11) and config.widths == (16, 8, 1) and config.vit.heads == 6
    assert config.vit.grid == (31, 31)


def test_what_is_no_vitgaze_is_refused() -> None:
    with pytest.raises(UsageError, match="no ViTGaze"):
        config_from_vitgaze({"patch_embed.proj.weight": torch.zeros(8, 3, 14, 14)})
    with pytest.raises(UsageError, match="registers"):
        config_from_vitgaze(gaze_state() | {"backbone.register_tokens": torch.zeros(1, 4, 128)}, side=SIDE)
