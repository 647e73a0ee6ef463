"""Converted published architectures against their own implementations: tokens, logits, every gradient.

Weights are random everywhere, also where the peer starts at zero or one (norms, LayerScale, positions): parity of
parameters that do nothing would prove nothing. Sizes are small; the arithmetic is that of the full models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.monai_vit import config_from_monai_vit, convert_monai_vit
from vitapps.shared_backbones.convert.timm_eva import config_from_timm_eva, convert_timm_eva
from vitapps.shared_backbones.convert.timm_vit import config_from_timm_vit, convert_timm_vit
from vitapps.shared_backbones.convert.torchvision_vit import config_from_torchvision_vit, convert_torchvision_vit
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.posenc._resample import resample_table
from vitapps.shared_backbones.weights.load import load_state

LIMIT = 1e-5  # largest difference over largest value, of every tensor
# SigLIP's pooling has one query: gradients there are differences of large sums, in which float32 kernels of different
# processors agree less well (3e-5 on a Zen 4); in float64 they agree to 1e-10
POOL_LIMIT = 1e-4
State = dict[str, Tensor]
SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 7}
TIMM: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {},  # AugReg; DINO and MAE are the same class with these settings
    "vit_base_patch16_224_miil": {},  # no qkv bias
    "vit_base_patch16_gap_224": {},
    "vit_small_patch16_224": {"qk_norm": True, "num_classes": 0},
    "deit_tiny_patch16_224": {},
    "deit_tiny_distilled_patch16_224": {},
    "deit3_small_patch16_224": {},
    "vit_small_patch14_dinov2": {},
    "vit_small_patch14_reg4_dinov2": {},
    "vit_giant_patch14_reg4_dinov2": {},  # SwiGLU
    "vit_base_patch16_clip_224": {},
    "vit_base_patch16_clip_quickgelu_224": {},
    "vit_base_patch16_siglip_224": {},
    "vit_so400m_patch14_siglip_224": {},
    "eva_giant_patch14_224": {},
    "eva02_tiny_patch14_224": {},  # RoPE, SwiGLU
    "eva02_base_patch14_224": {},  # separate projections, sub-LN in the MLP
    "eva02_base_patch16_clip_224": {},  # sub-LN in the attention as well
}


@pytest.fixture(autouse=True)
def _one_thread():
    """The order of float32 sums, and so the last bits of a gradient, depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def randomise(model: nn.Module) -> None:
    """Values of a trained model's size in every parameter, the same for the same model."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
        parameter.data = noise * spread + float(parameter.ndim == 1)


def relative_error(ours: Tensor, theirs: Tensor, floor: float = 1e-12) -> float:
    assert ours.shape == theirs.shape
    difference, largest = (ours - theirs).detach().abs().max(), theirs.detach().abs().max()
    return float(difference / largest.clamp_min(floor))


def converted(config: ViTConfig, state: State) -> ViT:
    model = ViT(config).eval()
    load_state(model, state, "test")
    return model


def check_parity(
    ours: ViT,
    peer: nn.Module,
    x: Tensor,
    run_peer: Callable[[Tensor], tuple[Tensor, Tensor]],
    convert: Callable[..., State],
) -> None:
    """Tokens, logits, input gradient, and the gradient of every parameter: conversion is linear, so it maps them."""
    x_ours, x_peer = x.clone().requires_grad_(), x.clone().requires_grad_()
    features = ours.forward_features(x_ours)
    logits = ours.forward_head(features)
    tokens_peer, logits_peer = run_peer(x_peer)
    assert relative_error(features.tokens, tokens_peer) < LIMIT
    assert relative_error(logits, logits_peer) < LIMIT
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    (logits * direction).sum().backward()
    (logits_peer * direction).sum().backward()
    assert x_ours.grad is not None
    assert x_peer.grad is not None
    assert relative_error(x_ours.grad, x_peer.grad) < LIMIT
    named = {key: value.grad for key, value in peer.named_parameters() if value.grad is not None}
    gradients = convert(named)
    largest = max(float(value.abs().max()) for value in gradients.values())
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None
        if "eva" in type(peer).__name__.lower() and key.endswith("qkv.bias"):
            parameter.grad.chunk(3)[1].zero_()  # EVA holds the key bias at zero, ours may learn one
        # the floor: a gradient that is zero but for rounding has no relative error
        limit = POOL_LIMIT if key.startswith("pool.") else LIMIT
        assert relative_error(parameter.grad, gradients[key], floor=1e-4 * largest) < limit, key


def timm_pair(
    name: str, size: tuple[int, int], **changes: Any
) -> tuple[nn.Module, ViTConfig, Callable[[State], State]]:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    peer = timm.create_model(name, pretrained=False, img_size=size, **(SMALL | changes)).eval()
    randomise(peer)
    eva = name.startswith("eva")
    config = (config_from_timm_eva if eva else config_from_timm_vit)(peer)
    convert = convert_timm_eva if eva else convert_timm_vit
    return peer, config, convert


def distilled_gradients(state: State) -> State:
    """The joined head holds halves, so its weight gradient is twice the peer's; conversion halved that again."""
    found = convert_timm_vit(state)
    return found | {"head.weight": found["head.weight"] * 4, "head.bias": found["head.bias"] * 2}


@pytest.mark.parametrize("name", TIMM)
def test_timm_at_the_native_and_at_another_size(name: str) -> None:
    patch = 14 if "patch14" in name else 16
    native, other = (4 * patch, 3 * patch), (3 * patch, 5 * patch)
    for size in (native, other):
        peer, config, convert = timm_pair(name, native, dynamic_img_size=True, **TIMM[name])
        ours = converted(config, convert(peer.state_dict()))
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))

        def run(x: Tensor, peer: Any = peer) -> tuple[Tensor, Tensor]:
            tokens = peer.forward_features(x)
            return tokens, peer.forward_head(tokens)

        check_parity(ours, peer, x, run, distilled_gradients if "distilled" in name else convert)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224"])
def test_resized_positions_are_timm_s_set_input_size(name: str) -> None:
    patch = 14 if "patch14" in name else 16
    peer, config, convert = timm_pair(name, (4 * patch, 4 * patch))
    ours = converted(config, convert(peer.state_dict()))
    size = (2 * patch, 7 * patch)
    ours.resize_positions(size)
    resized: Any = peer
    resized.set_input_size(img_size=size)
    x = torch.randn(1, 3, *size)
    assert relative_error(ours(x), peer(x)) < LIMIT


def test_intermediates_are_timm_s() -> None:
    peer, config, convert = timm_pair("vit_small_patch14_reg4_dinov2", (56, 42), depth=3)
    ours = converted(config, convert(peer.state_dict()))
    x = torch.randn(1, 3, 56, 42)
    features = ours.forward_features(x, return_layers=(0, 2))
    any_peer: Any = peer
    maps = any_peer.forward_intermediates(x, indices=[0, 2], intermediates_only=True)
    for layer, expected in zip((0, 2), maps, strict=True):
        assert relative_error(features.map(layer), expected) < LIMIT


@pytest.mark.parametrize(
    "name",
    [
        "vit_relpos_base_patch16_224", "vit_base_patch16_rpn_224", "vit_base_patch16_18x2_224",
        "vit_base_mci_224", "vit_base_r50_s16_224",
        "vit_base_patch16_xp_224", "vit_small_patch16_dinov3", "eva02_enormous_patch14_clip_224",
    ],
)  # fmt: skip
def test_what_the_plain_vit_is_not_is_refused(name: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        peer = timm.create_model(name, pretrained=False, depth=1)
    read = config_from_timm_eva if type(peer).__name__ == "Eva" else config_from_timm_vit
    with pytest.raises(UsageError):
        read(peer)


def torchvision_model(size: int) -> Any:
    vision = pytest.importorskip("torchvision.models.vision_transformer")
    peer = vision.VisionTransformer(
        image_size=size, patch_size=8, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=96, num_classes=5
    ).eval()
    randomise(peer)
    return peer


def run_torchvision(peer: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        patches = peer._process_input(x)
        tokens = peer.encoder(torch.cat((peer.class_token.expand(x.shape[0], -1, -1), patches), dim=1))
        return tokens, peer.heads(tokens[:, 0])

    return run


def test_torchvision_at_the_native_size() -> None:
    peer = torchvision_model(24)
    ours = converted(config_from_torchvision_vit(peer), convert_torchvision_vit(peer.state_dict()))
    check_parity(ours, peer, torch.randn(2, 3, 24, 24), run_torchvision(peer), convert_torchvision_vit)
    x = torch.randn(1, 3, 24, 24)
    assert relative_error(ours(x), peer(x)) < LIMIT


def test_torchvision_at_another_size() -> None:
    """The peer is built at the other size and given our resampled positions: all else has to agree."""
    small, large = torchvision_model(24), torchvision_model(40)
    state = small.state_dict()
    ours = converted(config_from_torchvision_vit(small), convert_torchvision_vit(state))
    table = state["encoder.pos_embedding"]
    table = torch.cat((table[:, :1], resample_table(table[:, 1:], (3, 3), (5, 5))), dim=1)
    large.load_state_dict(state | {"encoder.pos_embedding": table})
    x = torch.randn(2, 3, 40, 40)
    features = ours.forward_features(x)
    tokens, logits = run_torchvision(large)(x)
    assert relative_error(features.tokens, tokens) < LIMIT
    assert relative_error(ours.forward_head(features), logits) < LIMIT


def monai_model(size: tuple[int, ...], **changes: Any) -> Any:
    nets = pytest.importorskip("monai.networks.nets")
    settings = {"patch_size": (4, 4, 2)[: len(size)], "hidden_size": 36, "mlp_dim": 72, "num_layers": 2, "num_heads": 3}
    peer = nets.ViT(in_channels=2, img_size=size, spatial_dims=len(size), **(settings | changes)).eval()
    randomise(peer)
    return peer


def run_monai(peer: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = peer.patch_embedding(x)
        if peer.classification:
            tokens = torch.cat((peer.cls_token.expand(x.shape[0], -1, -1), tokens), dim=1)
        for block in peer.blocks:
            tokens = block(tokens)
        tokens = peer.norm(tokens)
        if peer.classification:
            return tokens, peer.classification_head(tokens[:, 0])
        return tokens, peer(x)[0]

    return run


@pytest.mark.parametrize("size", [(12, 8, 6), (12, 8)])
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"qkv_bias": True, "proj_type": "perceptron"}, {"pos_embed_type": "sincos"},
        {"classification": True, "num_classes": 4, "post_activation": "none"},
    ],
    ids=["conv", "perceptron", "sincos", "classifier"],
)  # fmt: skip
def test_monai_at_the_native_size(size: tuple[int, ...], changes: dict[str, Any]) -> None:
    peer = monai_model(size, **changes)
    config = config_from_monai_vit(peer, size, (4, 4, 2)[: len(size)])
    ours = converted(config, convert_monai_vit(peer.state_dict(), config))
    x = torch.randn(2, 2, *size)

    def convert(state: State) -> State:
        found = convert_monai_vit(state, config)
        if "pos.learned.weight" not in found:  # MONAI keeps its sine table without a gradient
            gradient = ours.get_parameter("pos.learned.weight").grad
            assert gradient is not None
            found["pos.learned.weight"] = gradient
        return found

    check_parity(ours, peer, x, run_monai(peer), convert)
    expected = peer(x)[0]
    assert relative_error(ours(x), expected) < LIMIT


def test_monai_at_another_size() -> None:
    """MONAI takes its own size alone: the peer is built at the other one and given our resampled positions."""
    small, large = monai_model((12, 8, 6)), monai_model((8, 8, 10))
    state = small.state_dict()
    config = config_from_monai_vit(small, (12, 8, 6), (4, 4, 2))
    ours = converted(config, convert_monai_vit(state, config))
    key = "patch_embedding.position_embeddings"
    large.load_state_dict(state | {key: resample_table(state[key], (3, 2, 3), (2, 2, 5))})
    x = torch.randn(2, 2, 8, 8, 10)
    assert relative_error(ours.forward_features(x).tokens, run_monai(large)(x)[0]) < LIMIT


def test_monai_with_tanh_is_the_value_before_it() -> None:
    peer = monai_model((12, 8, 6), classification=True, num_classes=4)
    config = config_from_monai_vit(peer, (12, 8, 6), (4, 4, 2))
    ours = converted(config, convert_monai_vit(peer.state_dict(), config))
    x = torch.randn(2, 2, 12, 8, 6)
    torch.testing.assert_close(ours(x).tanh(), peer(x)[0], rtol=1e-5, atol=1e-5)
