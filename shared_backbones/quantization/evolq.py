"""Evol-Q: the scales of a quantized model are perturbed block by block, and what brings its answers nearer to those of
the float model stays (Frumkin et al. 2023, arXiv:2308.10814)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.quantization._modules import QuantLinear
from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig
from vitapps.shared_backbones.quantization._quantizers import KeptRows, Quantizer, Uniform

CARD = {
    "id": "S162",
    "name": "evolq",
    "family": "quantization",
    "paper": "Frumkin et al. 2023, Evol-Q, arXiv:2308.10814",
    "equation": "algorithm 1; eq. 5, the infoNCE fitness of quantized against float predictions",
    "deviations": "starts from min-max; the best of a small population is perturbed again (a tournament of one)",
    "slots": [],
    "cost": "PASSES x CHILDREN forward passes over the calibration set for every block",
    "status": "paper",
}

PASSES, CHILDREN = 3, 6
REACH = 0.08  # largest relative change of a scale by one perturbation
TEMPERATURE = 0.2
SEED = 0


def info_nce(answers: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross entropy of matching each of `answers` B K with its own among `wanted` B K; B is 2 or more."""
    a, b = (functional.normalize(part.flatten(1).float(), dim=1) for part in (answers, wanted))
    return functional.cross_entropy(a @ b.t() / TEMPERATURE, torch.arange(len(a), device=a.device))  # B B -> scalar


class EvolQ(Method):
    """Min-max, then the search."""

    def weight(self, linear: nn.Linear) -> Quantizer:
        return KeptRows(self.config.weight_bits, linear.out_features)

    def refine(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        generator = torch.Generator().manual_seed(SEED)
        wanted = _answers(model, batches)
        groups = list(_blocks(quantized))
        best = _fitness(quantized, batches, wanted)
        for _ in range(PASSES):
            for block in groups:
                best = _search(quantized, block, batches, wanted, best, generator)
        for layer in quantized.modules():
            if isinstance(layer, KeptRows):
                layer.exact = None


def _search(
    model: nn.Module, block: nn.Module, batches: Sequence[Tensor], wanted: Tensor, best: float,
    generator: torch.Generator,
) -> float:  # fmt: skip
    """Perturb the scales of one block a few times; the fittest set stays. Returns its fitness, never above `best`."""
    scales = [part for part in block.modules() if isinstance(part, Uniform)]
    for _ in range(CHILDREN):
        before = [part.scale.clone() for part in scales]
        for part in scales:
            noise = 2 * torch.rand(part.scale.shape, generator=generator).to(part.scale.device) - 1
            part.scale = part.scale * (1 + REACH * noise)
        _round_again(block)
        found = _fitness(model, batches, wanted)
        if found < best:
            best = found
            continue
        for part, scale in zip(scales, before, strict=True):
            part.scale = scale
        _round_again(block)
    return best


def _round_again(block: nn.Module) -> None:
    for layer in block.modules():
        if isinstance(layer, QuantLinear) and isinstance(layer.weight_quantizer, KeptRows):
            exact = layer.weight_quantizer.exact
            if exact is not None:
                layer.weight.copy_(layer.weight_quantizer(exact))


def _fitness(model: nn.Module, batches: Sequence[Tensor], wanted: Tensor) -> float:
    return float(info_nce(_answers(model, batches), wanted))


def _answers(model: nn.Module, batches: Sequence[Tensor]) -> Tensor:
    """What the model gives, B K; shorter answers (of narrower inputs) end in zeros, which change no product."""
    flat = [_flat(model(batch)) for batch in batches]
    longest = max(part.shape[1] for part in flat)
    return torch.cat([functional.pad(part, (0, longest - part.shape[1])) for part in flat])


def _flat(found: Tensor | tuple[Tensor, ...]) -> Tensor:
    parts = found if isinstance(found, tuple) else (found,)
    return torch.cat([part.flatten(1) for part in parts], dim=1)  # B ... -> B K


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Transformer blocks that hold a quantized layer; the whole model where it has none."""
    found = [part for name, part in model.named_modules() if name.rpartition(".")[0].endswith("blocks")]
    used = [part for part in found if any(isinstance(layer, QuantLinear) for layer in part.modules())]
    yield from used or [model]


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return EvolQ(config)
