"""VideoMAE checkpoints of both layouts give what transformers computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.videomae import config_from_hf, convert_videomae
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.weights.load import load_state

transformers = pytest.importorskip("transformers")
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32,
    "num_frames": 4, "num_labels": 3,
}  # fmt: skip


def peer_of(kind: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    peer = getattr(transformers, kind)(transformers.VideoMAEConfig(**(SIZES | changes))).eval()
    for parameter in peer.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return peer


def ours_of(peer: Any, classes: int, state: dict[str, Any] | None = None) -> ViT:
    config = config_from_hf(peer.config.to_dict(), classes)
    module = ViT(config).eval()
    load_state(module, convert_videomae(state or peer.state_dict(), config), "test")
    return module


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))  # B 3 T H W


@pytest.mark.parametrize("pooled", [True, False])
def test_tokens_equal_the_encoder_of_transformers(pooled: bool, clip: torch.Tensor) -> None:
    peer = peer_of("VideoMAEModel", use_mean_pooling=pooled)
    with torch.inference_mode():
        wanted = peer(clip.transpose(1, 2)).last_hidden_state  # theirs takes B T 3 H W
        found = ours_of(peer, 0).forward_features(clip).tokens
    assert (found - wanted).abs().max() < 1e-5


def test_logits_equal_the_classifier_of_transformers(clip: torch.Tensor) -> None:
    peer = peer_of("VideoMAEForVideoClassification")
    with torch.inference_mode():
        assert (ours_of(peer, 3)(clip) - peer(clip.transpose(1, 2)).logits).abs().max() < 1e-5


def test_the_layout_of_the_authors_gives_the_same(clip: torch.Tensor) -> None:
    """The same weights under the names that VideoMAE's and VideoMAE V2's own checkpoints use."""
    peer = peer_of("VideoMAEForVideoClassification")
    ours = ours_of(peer, 3)
    state = {f"model.{key}": value for key, value in ours.state_dict().items() if "pos." not in key}
    for index in range(2):
        bias = state.pop(f"model.blocks.{index}.attn.qkv.bias")
        state[f"model.blocks.{index}.attn.q_bias"], _, state[f"model.blocks.{index}.attn.v_bias"] = bias.chunk(3)
    with torch.inference_mode():
        assert torch.equal(ours_of(peer, 3, state)(clip), ours(clip))


def test_a_pretraining_checkpoint_leaves_its_decoder_behind(clip: torch.Tensor) -> None:
    peer = peer_of("VideoMAEForPreTraining")
    with torch.inference_mode():
        wanted = peer.videomae(clip.transpose(1, 2), bool_masked_pos=torch.zeros(2, 8, dtype=torch.bool))
        found = ours_of(peer, 0).forward_features(clip).tokens
    assert (found - wanted.last_hidden_state).abs().max() < 1e-5


def test_another_architecture_is_refused() -> None:
    with pytest.raises(UsageError, match="vivit"):
        config_from_hf({"model_type": "vivit"}, 0)
