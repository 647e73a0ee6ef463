"""APHQ-ViT: linear levels only. GELU becomes ReLU and its MLP is fitted anew; then every block is reconstructed, errors
weighed by how much each output moves the network's answer (Wu et al. 2025, arXiv:2504.02508)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.quantization._modules import QuantLinear
from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig, Site
from vitapps.shared_backbones.quantization._quantizers import KeptRows, Quantizer, Uniform
from vitapps.shared_backbones.quantization._recon import (
    Call,
    block_names,
    importance,
    reconstruct,
    record_calls,
)
from vitapps.shared_backbones.quantization.repq import RepQ

CARD = {
    "id": "S037",
    "name": "aphq",
    "family": "quantization",
    "paper": "Wu et al. 2025, APHQ-ViT, arXiv:2504.02508",
    "equation": "average perturbation Hessian loss; MLP reconstruction, GELU replaced by ReLU",
    "deviations": "perturbations have random signs, which makes the estimate the diagonal itself (the reference code "
    "perturbs all values the same way, which gives row sums); the loss is the squared change of all answers, so that "
    "detectors are served too, not the KL divergence of classes; scales after LayerNorm are folded as in RepQ-ViT; "
    "GELU stays at 6 bits and more; 160 steps a block instead of 20,000",
    "slots": [],
    "cost": "16 forward and backward passes over the calibration set and STEPS steps of Adam for every block",
    "status": "paper",
}

RELU_BITS = 5  # most bits of activations at which GELU goes: with more, linear levels serve it well
FIT_STEPS = 400
FIT_RATE = 2e-3  # of Adam, falling to 0 along a cosine
CLIP = 0.999  # share of the pre-activations that stays below what is punished
CLIP_WEIGHT = 0.1

Parameters = tuple[Tensor, Tensor, Tensor, Tensor]  # fc1 weight and bias, fc2 weight and bias


class APHQ(RepQ):
    """Linear levels everywhere, those after a norm channel-wise until the fold."""

    def activation(self, site: Site, channels: int) -> Quantizer:
        return Uniform(self.config.act_bits, channels if site == "norm" else 0)

    def weight(self, linear: nn.Linear) -> Quantizer:
        return KeptRows(self.config.weight_bits, linear.out_features)

    def restructure(self, model: nn.Module) -> nn.Module:
        for _, mlp in _rounded_mlps(model):
            mlp.act = nn.ReLU()
        return model

    def adapt(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        for name, mlp in _rounded_mlps(quantized):
            calls, weight = record_calls(model, name, batches), importance(model, name, batches)
            own = (mlp.fc1.weight, mlp.fc1.bias, mlp.fc2.weight, mlp.fc2.bias)
            for parameter, fitted in zip(own, fit_relu_mlp(own, calls, weight), strict=True):
                parameter.copy_(fitted)

    def refine(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        rounds = any(isinstance(part, Quantizer) for part in quantized.modules())
        names = block_names(model) if rounds else []
        reconstruct(quantized, model, batches, {name: importance(model, name, batches) for name in names})


def _rounded_mlps(model: nn.Module) -> Iterator[tuple[str, Mlp]]:
    """MLPs whose activation, GELU or the ReLU in its place, is rounded to few bits."""
    for name, part in model.named_modules():
        if isinstance(part, Mlp) and isinstance(part.norm, nn.Identity) and isinstance(part.act, nn.GELU | nn.ReLU):
            fc2 = part.fc2
            levels = fc2.tap.quantizer if isinstance(fc2, QuantLinear) else None
            if isinstance(levels, Quantizer) and levels.bits <= RELU_BITS:
                yield name, part


def relu_mlp(x: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """(fc2(relu(fc1 x)), fc1 x): *B C -> *B C and *B hidden."""
    before = functional.linear(x, *parameters[:2])
    return functional.linear(before.relu(), *parameters[2:]), before


@torch.enable_grad()
def fit_relu_mlp(start: Parameters, calls: Sequence[Call], weight: Tensor) -> Parameters:
    """Parameters with which a ReLU MLP gives what the GELU MLP of `start` gave in `calls`, errors weighed by `weight`;
    few activations far above the others, so that linear levels serve them all."""
    one, bias_one, two, bias_two = (part.detach().clone().requires_grad_() for part in start)
    parameters = (one, bias_one, two, bias_two)
    with torch.no_grad():
        before = torch.cat([relu_mlp(call.x, parameters)[1].flatten() for call in calls])
        before = before[:: -(-before.numel() // 1_000_000)]
        cap = before.relu().quantile(CLIP).clamp_min(1e-6)
        unit = sum(float((call.out.square() * weight).mean()) for call in calls) / len(calls)
    optimizer = torch.optim.Adam(parameters, lr=FIT_RATE)
    generator = torch.Generator().manual_seed(0)
    for step in range(FIT_STEPS):
        optimizer.param_groups[0]["lr"] = FIT_RATE * 0.5 * (1 + math.cos(math.pi * step / FIT_STEPS))
        call = calls[int(torch.randint(len(calls), (1,), generator=generator))]
        out, before = relu_mlp(call.x, parameters)
        loss = ((out - call.out).square() * weight).mean() / max(unit, 1e-20)
        loss = loss + CLIP_WEIGHT * ((before - cap).relu() / cap).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return one.detach(), bias_one.detach(), two.detach(), bias_two.detach()


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return APHQ(config)
