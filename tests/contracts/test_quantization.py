"""The contract of every quantization method; members are found by their CARD."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitapps.errors import MissingError, UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.quantization import _recon, aphq
from vitapps.shared_backbones.quantization._modules import QuantAttention, QuantLinear
from vitapps.shared_backbones.quantization._protocol import (
    QuantConfig,
    load_quantized,
    parse_bits,
    prepare,
    quantize,
)
from vitapps.shared_backbones.quantization.mptq import mixed_precision

MEMBERS = slots.members("quantization")
ROUNDED = [name for name in MEMBERS if name != "ivit"]  # layer by layer; ivit is whole (backbones/test_integers.py)
TINY = ViTConfig(image_size=(16, 16), patch=(4, 4), dim=32, depth=2, heads=2, registers=1, num_classes=5)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract holds after a few steps; what the steps are worth is tested elsewhere."""
    monkeypatch.setattr(_recon, "STEPS", 16)
    monkeypatch.setattr(aphq, "FIT_STEPS", 60)


def make(**changes: Any) -> ViT:
    """A model whose norms have outlier channels, as trained ViTs do (RepQ-ViT, figure 1)."""
    torch.manual_seed(0)
    model = ViT(replace(TINY, **changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(0.5 + torch.rand_like(parameter))
                parameter[3] *= 12
            elif "norm" in name:
                parameter.copy_(torch.randn_like(parameter))
            elif parameter.ndim == 2:
                parameter.mul_(4)
    return model


def images(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def error(model: nn.Module, plain: nn.Module) -> float:
    x = images(seed=2)
    with torch.no_grad():
        wanted = plain(x)
        return float((model(x) - wanted).square().sum() / wanted.square().sum())


def config(name: str, bits: str, **changes: Any) -> QuantConfig:
    weight, act = parse_bits(bits)
    return QuantConfig(method=name, weight_bits=weight, act_bits=act, **changes)


def test_members_were_found() -> None:
    assert {"minmax", "repq", "adalog", "dopq", "aphq", "ivit"} <= set(MEMBERS)
    assert all(slots.load("quantization", name).CARD["family"] == "quantization" for name in MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("pos", ["learned", "rope"])
def test_no_rounding_is_the_plain_model_bit_for_bit(name: str, pos: str) -> None:
    model = make(pos=pos, qk_norm=True, layer_scale=0.5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    still = quantize(model, config(name, "w32a32"), [images()])
    assert torch.equal(still(images(seed=2)), model(images(seed=2)))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())  # a copy was changed


@pytest.mark.parametrize("name", MEMBERS)
def test_error_is_bounded_and_falls_with_bits(name: str) -> None:
    model = make()
    errors = [error(quantize(model, config(name, bits), [images()]), model) for bits in ("w8a8", "w6a6", "w4a4")]
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 2e-2
    assert errors[2] < (2.5 if name == "ivit" else 1.5)  # I-ViT claims nothing below eight bits


@pytest.mark.parametrize("name", ROUNDED)
def test_weights_take_no_more_values_than_their_bits_allow(name: str) -> None:
    quantized = quantize(make(), config(name, "w3a8"), [images()])
    layers = [module for module in quantized.modules() if isinstance(module, QuantLinear)]
    assert len(layers) == 8
    for layer in layers:
        assert max(row.unique().numel() for row in layer.weight) <= 8
        assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)  # rounding twice is rounding once


@pytest.mark.parametrize("name", MEMBERS)
def test_a_saved_state_loads_bit_for_bit(name: str) -> None:
    model = make(qkv_bias=False)
    wanted = config(name, "w4a4")
    quantized = quantize(model, wanted, [images()])
    state = {key: value.clone() for key, value in quantized.state_dict().items()}
    fresh = load_quantized(make(qkv_bias=False), wanted, state)
    assert torch.equal(fresh(images(seed=2)), quantized(images(seed=2)))
    del state[next(key for key in state if key.endswith("qkv.weight"))]
    with pytest.raises(MissingError):
        load_quantized(model, wanted, state)


@pytest.mark.parametrize("name", ROUNDED)
def test_the_skip_list_is_respected(name: str) -> None:
    quantized = prepare(make(), config(name, "w4a4", skip=("head", "blocks.1", "blocks.0.mlp.fc1")))
    assert type(quantized.get_submodule("head")) is nn.Linear
    assert type(quantized.get_submodule("blocks.1.attn.qkv")) is nn.Linear
    assert type(quantized.get_submodule("blocks.0.mlp.fc1")) is nn.Linear
    assert isinstance(quantized.get_submodule("blocks.0.mlp.fc2"), QuantLinear)
    assert isinstance(quantized.get_submodule("blocks.0.attn"), QuantAttention)
    skipped = quantize(make(), config(name, "w4a4", skip=("blocks", "head")), [images()])
    assert torch.equal(skipped(images(seed=2)), make()(images(seed=2)))


@pytest.mark.parametrize("name", ROUNDED)
def test_works_in_a_reduced_model(name: str) -> None:
    model = make(reducer="tome", reduce=(4, 4))
    quantized = quantize(model, config(name, "w8a8"), [images()])
    assert error(quantized, model) < 0.5


@pytest.mark.parametrize("name", ROUNDED)
def test_layers_may_have_bits_of_their_own(name: str) -> None:
    bits = (("blocks.0.mlp.fc1", 2), ("blocks.1.attn.proj", 32))
    quantized = quantize(make(), config(name, "w8a8", layer_bits=bits), [images()])
    fc1, proj = (quantized.get_submodule(layer) for layer, _ in bits)
    assert isinstance(fc1, QuantLinear) and isinstance(proj, QuantLinear)
    assert max(row.unique().numel() for row in fc1.weight) <= 4
    assert torch.equal(proj.weight, make().get_submodule("blocks.1.attn.proj").weight)


def spoil(model: ViT) -> ViT:
    """The same function with outlier channels after every norm: gamma and beta up, the columns behind them down."""
    blocks: Any = model.blocks
    with torch.no_grad():
        for block in blocks:
            for norm, linear in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
                for channel, factor in ((3, 60.0), (17, 25.0)):
                    norm.weight[channel] *= factor
                    norm.bias[channel] *= factor
                    linear.weight[:, channel] /= factor
    return model


def test_what_is_folded_beats_minmax_where_channels_differ() -> None:
    """The papers' claim: outlier channels after LayerNorm ruin one scale for all, and a fold takes the ruin away."""
    torch.manual_seed(0)
    plain = ViT(TINY).eval()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if parameter.ndim == 2 and "head" not in name:
                parameter.mul_(3)
    model = ViT(TINY).eval()
    model.load_state_dict(plain.state_dict())
    spoil(model)
    torch.testing.assert_close(model(images()), plain(images()), rtol=1e-3, atol=1e-4)
    errors = {name: error(quantize(model, config(name, "w6a6"), [images(32)]), model) for name in MEMBERS}
    unfolded = ("minmax", "adaround", "evolq", "ivit")
    assert all(errors[name] < 0.5 * errors["minmax"] for name in MEMBERS if name not in unfolded), errors


def test_mixed_precision_gives_fewer_bits_to_less_sensitive_layers() -> None:
    model = make(depth=1)
    mixed = mixed_precision(model, config("mptq", "w8a8"), [images()], 6.0, (8, 4))
    bits = dict(mixed.layer_bits)
    assert set(bits) == {f"blocks.0.{name}" for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert set(bits.values()) <= {8, 4}
    sizes = {name: model.get_submodule(name).weight.numel() for name in bits}  # type: ignore[operator]
    assert sum(bits[name] * size for name, size in sizes.items()) <= 6.0 * sum(sizes.values())
    assert len(set(bits.values())) == 2


def test_refusals() -> None:
    with pytest.raises(UsageError, match="bits 'w4'"):
        parse_bits("w4")
    with pytest.raises(UsageError, match="weight_bits 9"):
        QuantConfig(weight_bits=9)
    with pytest.raises(UsageError, match="calibration"):
        quantize(make(), QuantConfig(), [])
    with pytest.raises(UsageError, match="LayerNorm"):
        quantize(make(norm="rmsnorm"), config("repq", "w8a8"), [images()])
