"""transformers' CLIP image tower and ours give the same tokens; what is no tower is refused."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.hf_clip_vision import config_from_hf_clip, convert_hf_clip_vision
from vitapps.shared_backbones.models.hypersphere_vit import HypersphereViT, HypersphereViTConfig
from vitapps.shared_backbones.models.vit import ViT

transformers = pytest.importorskip("transformers")
CONFIG = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu"}  # fmt: skip


def test_parity_with_transformers() -> None:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**CONFIG)
    peer = transformers.CLIPVisionModel(config).eval()
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ours = ViT(config_from_hf_clip(config.to_dict())).eval()
    ours.load_state_dict(convert_hf_clip_vision(peer.state_dict()))
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found = ours.forward_features(x).tokens[:, 0]
        goal = peer(x).pooler_output  # the class token after the last norm
    torch.testing.assert_close(found, goal, rtol=1e-5, atol=1e-5)


def test_others_are_refused() -> None:
    with pytest.raises(UsageError):
        config_from_hf_clip({"model_type": "bert", "hidden_act": "gelu"})
    with pytest.raises(UsageError):
        convert_hf_clip_vision({"encoder.layers.0.norm.weight": torch.zeros(2)})


def test_head_sees_direction_alone() -> None:
    torch.manual_seed(0)
    vit = {"image_size": [16, 16], "patch": [8, 8], "dim": 16, "depth": 1, "heads": 2, "in_chans": 2}
    config = HypersphereViTConfig(vit=vit, mean=(1.0, 2.0), std=(2.0, 4.0))
    model = HypersphereViT(config).eval()
    x = torch.rand(3, 2, 16, 16)
    logits, unit = model.both(x)
    torch.testing.assert_close(logits, model(x))
    assert unit.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    scaled = x * torch.tensor([2.0, 4.0]).reshape(1, 2, 1, 1) + torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    plain = HypersphereViT(HypersphereViTConfig(vit=vit, mean=(0.0, 0.0), std=(1.0, 1.0))).eval()
    state = {key: value for key, value in model.state_dict().items() if key not in ("mean", "std")}
    plain.load_state_dict(state, strict=False)
    torch.testing.assert_close(model(scaled), plain(x), rtol=1e-4, atol=1e-5)
