"""The family's rules: `quantize(model, config, batches) -> model` rounds weights and activations of every linear layer
and of attention to a few bits (fake quantization: the arithmetic stays float).

A method says which quantizer stands where (`Method`), and may change the float model in a way that computes the same
before anything is rounded. 32 bits round nothing: the result is the plain model bit for bit.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.quantization._modules import QuantAttention, QuantLinear, Tap
from vitapps.shared_backbones.quantization._quantizers import Quantizer, Rows, Uniform, neutral_or
from vitapps.shared_backbones.weights.load import load_state

Site = Literal["norm", "linear", "gelu", "query", "key", "value", "softmax"]
KEPT_ROWS = 4096  # samples of an activation that a quantizer sees, spread over all batches


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantConfig:
    """`weight_bits`, `act_bits`: 2 to 8, or 32 for none. `skip`: names of modules, or whole dotted parts of
    them, that stay float; by default what touches pixels and what makes the answer. `layer_bits`: (name, bits) of
    layers that differ, for weights and input alike."""

    method: str = "minmax"
    weight_bits: int = 8
    act_bits: int = 8
    skip: tuple[str, ...] = ("patch_embed", "head")
    layer_bits: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        named = (("weight_bits", self.weight_bits), ("act_bits", self.act_bits), *self.layer_bits)
        for what, bits in named:
            if not (2 <= bits <= 8 or bits == 32):
                raise UsageError(f"{what} {bits}", hint="2 to 8, or 32 for no rounding")

    def skips(self, name: str) -> bool:
        """True for a module that stays float."""
        return any(f".{skipped}." in f".{name}." for skipped in self.skip)

    def of(self, name: str) -> QuantConfig:
        """The configuration of the layer `name`."""
        bits = dict(self.layer_bits).get(name)
        return self if bits is None else replace(self, weight_bits=bits, act_bits=bits)


class Method:
    """Which quantizer stands where. Sites: "norm" the input of qkv and fc1, "gelu" that of fc2, "softmax" the
    attention weights, "query" "key" "value" the operands of attention, "linear" every other input."""

    def __init__(self, config: QuantConfig) -> None:
        self.config = config

    def activation(self, site: Site, channels: int) -> Quantizer:
        """A fresh quantizer for inputs of so many channels."""
        return Uniform(self.config.act_bits)

    def weight(self, linear: nn.Linear) -> Quantizer:
        """A fresh quantizer for the weights: min-max for every output channel."""
        return Rows(self.config.weight_bits, linear.out_features)

    def restructure(self, model: nn.Module) -> nn.Module:
        """Exchange parts of a copy that has its quantizers, whether it will be calibrated or load a saved state: the
        copy, or what takes its place."""
        return model

    def adapt(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        """Before anything is calibrated: fit what `restructure` has exchanged to the float `model`."""

    def finish(self, model: nn.Module) -> None:
        """After the activations are calibrated and before the weights are: changes that compute the same."""

    def refine(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        """At the end: better levels for the whole, judged against the float `model`."""


def parse_bits(text: str) -> tuple[int, int]:
    """`w4a8` -> (4, 8)."""
    found = re.fullmatch(r"w(\d+)a(\d+)", text.strip().lower())
    if not found:
        raise UsageError(f"--bits {text!r}", hint="for example w8a8, w6a6 or w4a4")
    return int(found[1]), int(found[2])


def prepare(model: nn.Module, config: QuantConfig) -> nn.Module:
    """A copy with quantizers in place, not calibrated: what `load_state_dict` of a quantized state needs."""
    return _prepare(model, config)[0]


@torch.no_grad()
def quantize(model: nn.Module, config: QuantConfig, batches: Iterable[Tensor]) -> nn.Module:
    """A quantized copy of `model`, calibrated on `batches` (inputs of the model). UsageError without any batch."""
    copied, method = _prepare(model, config)
    taps = [module for module in copied.modules() if isinstance(module, Tap)]
    batches = list(batches)
    if not batches:
        raise UsageError("quantization needs calibration inputs", hint="give at least one batch")
    method.adapt(copied, model, batches)
    for tap in taps:
        tap.open(KEPT_ROWS)
    for batch in batches:
        copied(batch)
    for tap in taps:
        tap.calibrate()
    method.finish(copied)
    _show_inputs(copied, batches)
    for linear in _of(copied, QuantLinear):
        linear.calibrate_weight()
    method.refine(copied, model, batches)
    return copied


def _show_inputs(model: nn.Module, batches: Sequence[Tensor]) -> None:
    """Let weights that learn their rounding see the rounded inputs of their layers, with all weights still exact."""
    hooks = [
        linear.tap.register_forward_hook(lambda _, __, x, quantizer=linear.weight_quantizer: quantizer.observe(x))
        for linear in _of(model, QuantLinear)
        if isinstance(linear.weight_quantizer, Quantizer) and linear.weight_quantizer.learns
    ]
    for batch in batches if hooks else ():
        model(batch)
    for hook in hooks:
        hook.remove()


def load_quantized(model: nn.Module, config: QuantConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """The quantized copy of `model` whose `state_dict` was `state`, bit for bit. MissingError where it does not fit."""
    copied = prepare(model, config)
    for name, module in copied.named_modules():
        for key in ("scale", "zero"):  # a fold leaves one scale where there were many
            if isinstance(module, Quantizer) and f"{name}.{key}" in state and hasattr(module, key):
                setattr(module, key, torch.empty_like(state[f"{name}.{key}"]))
        if isinstance(module, QuantLinear) and module.bias is None and f"{name}.bias" in state:
            module.bias = nn.Parameter(torch.empty_like(state[f"{name}.bias"]), requires_grad=False)
    load_state(copied, state, "the quantized state")
    return copied


def _prepare(model: nn.Module, config: QuantConfig) -> tuple[nn.Module, Method]:
    technique = slots.load("quantization", config.method)
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    sites = _sites(copied)
    for name, module in list(copied.named_modules()):
        if config.skips(name) or not isinstance(module, nn.Linear | Attention):
            continue
        parent = copied.get_submodule(name.rpartition(".")[0])
        method: Method = technique.build(config.of(name))
        setattr(parent, name.rpartition(".")[2], _wrapped(module, sites.get(name, "linear"), method))
    whole: Method = technique.build(config)
    return whole.restructure(copied), whole


def _wrapped(module: nn.Linear | Attention, site: Site, method: Method) -> nn.Module:
    if isinstance(module, Attention):
        width = module.proj.in_features // module.heads
        operands: tuple[Site, ...] = ("query", "key", "value", "softmax")
        taps = [Tap(neutral_or(method.activation(operand, width))) for operand in operands]
        return QuantAttention(module, *taps)
    tap = Tap(neutral_or(method.activation(site, module.in_features)))
    return QuantLinear(module, neutral_or(method.weight(module)), tap)


def _sites(model: nn.Module) -> dict[str, Site]:
    """Names of the linear layers whose input is the output of a norm or of a GELU."""
    found: dict[str, Site] = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            found[f"{name}.qkv"] = "norm"
        elif isinstance(module, Mlp):
            found[f"{name}.fc1"] = "norm"
            if isinstance(module.norm, nn.Identity) and isinstance(module.act, nn.GELU):
                found[f"{name}.fc2"] = "gelu"
    return found


def _of(model: nn.Module, kind: type[QuantLinear]) -> Iterator[QuantLinear]:
    return (module for module in model.modules() if isinstance(module, kind))
