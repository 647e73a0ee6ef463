"""The family's reconstruction engine: the roundings of a block are learned together, against what the float block gave.

A block is a module with children `attn` and `mlp`. Blocks follow one another: each sees the inputs that the rounded
blocks before it make (mixed with exact ones, QDrop), and is judged by a squared error that may weigh every output by
its importance for the network's answer (`perturbation_hessian`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vitapps.shared_backbones.quantization._modules import QuantLinear
from vitapps.shared_backbones.quantization._quantizers import KeptRows, Rows, Uniform
from vitapps.shared_backbones.quantization.adaround import BETA, WARM, soft_rounding, start_of_rounding

STEPS = 160
ROUNDING_RATE, SCALE_RATE = 0.03, 0.003  # of Adam; scales are learned as logarithms
EXACT = 0.5  # chance that a value of a block's input is the exact one (QDrop, Wei et al. 2022, arXiv:2203.05740)
PENALTY = 0.05  # of an undecided weight, in units of the error of nearest rounding
PROBES = 4  # sign patterns for the importance, of each sample
STEP = 1e-2  # of a perturbation, relative to the root mean square of what is perturbed
FLOOR = 0.2  # least importance, relative to the mean: nothing is free


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a block: its first argument `x` B N C, all other arguments, and the tokens that came out."""

    x: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Tensor


def block_names(model: nn.Module) -> list[str]:
    """Names of all blocks, in their order."""
    return [name for name, part in model.named_modules() if {"attn", "mlp"} <= set(dict(part.named_children()))]


def first(found: Any) -> Tensor:
    """The tokens among what a block gives (tokens, or tokens and a state)."""
    return cast(Tensor, found[0] if isinstance(found, tuple) else found)


def record_calls(model: nn.Module, name: str, batches: Iterable[Tensor]) -> list[Call]:
    """What the module `name` is given and gives, batch by batch."""
    calls: list[Call] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        calls.append(Call(x=args[0].detach(), args=args[1:], kwargs=kwargs, out=first(out).detach()))

    hook = model.get_submodule(name).register_forward_hook(note, with_kwargs=True)
    with torch.no_grad():
        for batch in batches:
            model(batch)
    hook.remove()
    return calls


def importance(model: nn.Module, name: str, batches: Sequence[Tensor], *, seed: int = 0) -> Tensor:
    """Average perturbation Hessian of what the module `name` gives: how much each value moves the answer of `model`,
    N C with mean 1 (C where batches differ in N). The loss is the squared change of all answers, each relative to its
    own size; at the float model its gradient is 0, so this needs no labels."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for batch in batches:
        with torch.no_grad():
            wanted = outputs(model(batch))
        sizes = [out.square().mean().clamp_min(1e-12) for out in wanted]
        z = record_calls(model, name, [batch])[0].out

        def loss(value: Tensor, batch: Tensor = batch, wanted: Any = wanted, sizes: Any = sizes) -> Tensor:
            part = model.get_submodule(name)
            hook = part.register_forward_hook(lambda _, __, out: (value, *out[1:]) if isinstance(out, tuple) else value)
            try:
                answers = outputs(model(batch))
            finally:
                hook.remove()
            changes = zip(answers, wanted, sizes, strict=True)
            return torch.stack([(out - want).square().sum() / size for out, want, size in changes]).sum()

        signs = (torch.randint(0, 2, z.shape, generator=generator).to(z) * 2 - 1 for _ in range(PROBES))
        found.append(perturbation_hessian(loss, z, signs, STEP * float(z.square().mean().sqrt())).mean(dim=0))
    if len({part.shape for part in found}) > 1:
        found = [part.mean(dim=0) for part in found]  # N C -> C
    mean = torch.stack(found).mean(dim=0).clamp_min(0)
    mean = mean / mean.mean().clamp_min(1e-20)
    return (mean.clamp_min(FLOOR) / mean.clamp_min(FLOOR).mean()).detach()


@torch.enable_grad()
def perturbation_hessian(loss: Callable[[Tensor], Tensor], z: Tensor, signs: Iterable[Tensor], step: float) -> Tensor:
    """Diagonal of the Hessian of `loss` at `z` from differences of gradients, of z's shape: the mean over sign patterns
    v of v (g(z + step v) - g(z - step v)) / (2 step). Exact for a quadratic loss when the patterns are the rows of a
    Hadamard matrix, in expectation for random ones (Hutchinson)."""
    total, count = torch.zeros_like(z), 0
    for sign in signs:
        ahead, behind = (_gradient(loss, z + way * step * sign) for way in (1.0, -1.0))
        total, count = total + sign * (ahead - behind) / (2 * step), count + 1
    return total / count


def _gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    return torch.autograd.grad(loss(at), at)[0]


def outputs(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """All answers of a network, as a tuple."""
    return found if isinstance(found, tuple) else (found,)


def reconstruct(quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor], weights: dict[str, Tensor]) -> None:
    """Learn weight roundings (of `KeptRows`) and activation scales of `quantized`, block by block, in place. `weights`:
    importance of each block's output by name; a block without one is judged by plain squared error."""
    for name in block_names(quantized):
        block = quantized.get_submodule(name)
        exact, rounded = record_calls(model, name, batches), record_calls(quantized, name, batches)
        learn_block(block, exact, rounded, weights.get(name))
    for layer in quantized.modules():
        if isinstance(layer, KeptRows):
            layer.exact = None


@torch.enable_grad()
def learn_block(block: nn.Module, exact: Sequence[Call], rounded: Sequence[Call], weight: Tensor | None) -> None:
    """As `reconstruct`, one block: `exact` are the float block's calls, `rounded` those of this block."""
    layers = [
        (name, layer)
        for name, layer in block.named_modules()
        if isinstance(layer, QuantLinear) and isinstance(layer.weight_quantizer, KeptRows)
    ]
    scales = {
        f"{name}.scale": part.scale.detach().clamp_min(1e-12).log().requires_grad_()
        for name, part in block.named_modules()
        if isinstance(part, Uniform) and not isinstance(part, Rows)
    }
    if not layers and not scales:
        return
    rounding = {f"{name}.weight": _start(layer) for name, layer in layers}
    groups = [
        {"params": [v for v, *_ in rounding.values()], "lr": ROUNDING_RATE},
        {"params": list(scales.values()), "lr": SCALE_RATE},
    ]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]])
    generator = torch.Generator().manual_seed(0)
    unit = _error(block, rounded, exact, weight)
    for step in range(STEPS):
        own = {name: value.exp() for name, value in scales.items()}
        soft = {name: _soft_weight(*parts) for name, parts in rounding.items()}
        number = int(torch.randint(len(exact), (1,), generator=generator))
        x, wanted, call = _sample(exact[number], rounded[number], generator)
        answer = first(functional_call(block, {**own, **soft}, (x, *call.args), call.kwargs))
        loss = _weighted(answer - wanted, weight) / unit
        if step >= WARM * STEPS and rounding:
            loss = loss + _undecided(rounding, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _keep_better(block, layers, rounding, scales, (exact, rounded, weight, unit))


def _start(layer: QuantLinear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What is learned of a layer, the codes below and above every weight, and the scale of each row (out 1)."""
    rows = layer.weight_quantizer
    assert isinstance(rows, KeptRows) and rows.exact is not None
    v, down, up = start_of_rounding(rows.exact / rows.scale[:, None], rows.zero, rows.top)
    return v, down, up, rows.scale[:, None]


def _soft_weight(v: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """out in, between the codes below and above."""
    return (down + soft_rounding(v) * (up - down)) * scale


def _undecided(rounding: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]], step: int) -> Tensor:
    """The regulariser that drives every weight up or down."""
    done = (step / STEPS - WARM) / (1 - WARM)
    beta = BETA[0] + (BETA[1] - BETA[0]) * done
    return (
        PENALTY
        * torch.stack([(1 - (2 * soft_rounding(v) - 1).abs().pow(beta)).mean() for v, *_ in rounding.values()]).sum()
    )


def _sample(exact: Call, rounded: Call, generator: torch.Generator) -> tuple[Tensor, Tensor, Call]:
    """All samples of a small batch: arguments such as states and rotations belong to the whole of it."""
    keep = torch.rand(exact.x.shape, generator=generator).to(exact.x) < EXACT
    return torch.where(keep, exact.x, rounded.x), exact.out, rounded


def _weighted(difference: Tensor, weight: Tensor | None) -> Tensor:
    squared = difference.square()
    return (squared if weight is None else squared * weight).mean()


@torch.no_grad()
def _error(block: nn.Module, rounded: Sequence[Call], exact: Sequence[Call], weight: Tensor | None) -> float:
    """Mean weighted error of a block over all calls."""
    errors = [
        float(_weighted(first(block(call.x, *call.args, **call.kwargs)) - other.out, weight))
        for call, other in zip(rounded, exact, strict=True)
    ]
    return max(sum(errors) / len(errors), 1e-20)


@torch.no_grad()
def _keep_better(
    block: nn.Module, layers: Sequence[tuple[str, QuantLinear]], rounding: Mapping[str, tuple[Tensor, ...]],
    scales: dict[str, Tensor], judge: tuple[Sequence[Call], Sequence[Call], Tensor | None, float],
) -> None:  # fmt: skip
    """Put what was learned in place, unless nearest rounding was better on the calibration set."""
    before = {name: value.clone() for name, value in block.state_dict().items()}
    for name, layer in layers:
        v, down, up, scale = rounding[f"{name}.weight"]
        layer.weight.copy_(torch.where(soft_rounding(v) > 0.5, up, down) * scale)
    for name, value in scales.items():
        block.get_buffer(name).copy_(value.exp())
    exact, rounded, weight, unit = judge
    if _error(block, rounded, exact, weight) > unit:
        block.load_state_dict(before)
