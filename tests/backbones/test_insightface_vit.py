"""InsightFace's ViT, written again here from its published description, beside ours with converted weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.insightface_vit import config_from_insightface_vit, convert_insightface_vit
from vitapps.shared_backbones.models.vit_embedder import ViTEmbedder
from vitapps.shared_backbones.weights.load import load_state

DIM, DEPTH, HEADS, PATCH, SIDE, OUT = 16, 2, 4, 9, 3, 10


def _state():
    """Random everywhere, also norms and statistics, in InsightFace's names."""
    torch.manual_seed(0)
    shapes = {
        "mask_token": (1, 1, DIM), "pos_embed": (1, SIDE * SIDE, DIM), "norm.weight": (DIM,), "norm.bias": (DIM,),
        "patch_embed.proj.weight": (DIM, 3, PATCH, PATCH), "patch_embed.proj.bias": (DIM,),
        "feature.0.weight": (DIM, DIM * SIDE * SIDE), "feature.2.weight": (OUT, DIM),
    }  # fmt: skip
    for number in range(DEPTH):
        block = {
            "norm1.weight": (DIM,), "norm1.bias": (DIM,), "norm2.weight": (DIM,), "norm2.bias": (DIM,),
            "attn.qkv.weight": (3 * DIM, DIM), "attn.proj.weight": (DIM, DIM), "attn.proj.bias": (DIM,),
            "mlp.fc1.weight": (4 * DIM, DIM), "mlp.fc1.bias": (4 * DIM,), "mlp.fc2.weight": (DIM, 4 * DIM),
            "mlp.fc2.bias": (DIM,),
        }  # fmt: skip
        shapes |= {f"blocks.{number}.{key}": shape for key, shape in block.items()}
    state = {key: torch.randn(shape) * 0.3 for key, shape in shapes.items()}
    for place, width in ((1, DIM), (3, OUT)):
        for key in ("weight", "bias", "running_mean"):
            state[f"feature.{place}.{key}"] = torch.randn(width) * 0.3
        state[f"feature.{place}.running_var"] = torch.rand(width) + 0.5
        state[f"feature.{place}.num_batches_tracked"] = torch.tensor(1)
    return state


def _plain(state, image):
    x = functional.conv2d(image, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], PATCH)
    x = x.flatten(2).transpose(1, 2) + state["pos_embed"]
    for number in range(DEPTH):
        own = {key.split(".", 2)[2]: value for key, value in state.items() if key.startswith(f"blocks.{number}.")}
        y = functional.layer_norm(x, (DIM,), own["norm1.weight"], own["norm1.bias"])
        q, k, v = (y @ own["attn.qkv.weight"].T).reshape(len(x), -1, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1) * (DIM // HEADS) ** -0.5).softmax(-1) @ v
        x = x + mixed.transpose(1, 2).reshape(x.shape) @ own["attn.proj.weight"].T + own["attn.proj.bias"]
        y = functional.layer_norm(x, (DIM,), own["norm2.weight"], own["norm2.bias"])
        y = functional.relu6(y @ own["mlp.fc1.weight"].T + own["mlp.fc1.bias"])
        x = x + y @ own["mlp.fc2.weight"].T + own["mlp.fc2.bias"]
    x = functional.layer_norm(x, (DIM,), state["norm.weight"], state["norm.bias"]).flatten(1)
    for linear, norm in ((0, 1), (2, 3)):
        x = x @ state[f"feature.{linear}.weight"].T
        x = (x - state[f"feature.{norm}.running_mean"]) / (state[f"feature.{norm}.running_var"] + 2e-5).sqrt()
        x = x * state[f"feature.{norm}.weight"] + state[f"feature.{norm}.bias"]
    return x


def test_embeddings_agree():
    state = _state()
    module = ViTEmbedder(config_from_insightface_vit(state, heads=HEADS)).eval()
    load_state(module, convert_insightface_vit(state), "test")
    images = torch.rand(2, 3, PATCH * SIDE, PATCH * SIDE) * 2 - 1
    with torch.inference_mode():
        found, wanted = module(images), _plain(state, images)
    assert ((found - wanted).abs().max() / wanted.abs().max()) < 1e-5
    assert isinstance(module.feature[1], nn.BatchNorm1d)


def test_the_rim_that_no_patch_covers_is_ignored():
    """112 pixels hold 12 patches of 9 and 4 pixels more."""
    state = _state() | {"pos_embed": torch.randn(1, 144, DIM), "feature.0.weight": torch.randn(DIM, DIM * 144)}
    config = config_from_insightface_vit(state, heads=HEADS)
    assert (config.size, config.vit().image_size) == (112, (108, 108))
    module = ViTEmbedder(config).eval()
    image = torch.rand(1, 3, 112, 112)
    other = image.clone()
    other[..., 108:] = 0
    with torch.inference_mode():
        assert torch.equal(module(image), module(other))


def test_other_checkpoints_are_refused():
    with pytest.raises(UsageError, match="no ViT of InsightFace"):
        config_from_insightface_vit({"conv1.weight": torch.zeros(1)})
    state = _state() | {"blocks.0.norm1.bn.weight": torch.zeros(9)}
    with pytest.raises(UsageError, match="batch norm"):
        config_from_insightface_vit(state)
