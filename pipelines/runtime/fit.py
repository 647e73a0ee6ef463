"""The training loop of every `vitapps … train` command: AdamW, warm-up, constant rate, linear cool-down, EMA, resume.

The schedule is warm-up / stable / decay (Zhai et al. 2022, arXiv:2106.04560, section 3.5): a run can be prolonged from
any checkpoint before its cool-down and ends where an undisturbed longer run would.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.progress import Progress, null_progress

log = logging.getLogger("vitapps.runtime.fit")
Batch = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """`cooldown` is the share of `steps` over which the rate falls linearly to zero; times in seconds. `bf16`: the
    forward pass under autocast; weights, optimizer and losses stay float32."""

    steps: int
    rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 100
    cooldown: float = 0.35
    ema: float = 0.998
    clip: float = 1.0
    bf16: bool = False
    checkpoint_every: float = 240.0
    log_every: int = 50


def rate_at(step: int, config: FitConfig) -> float:
    """Learning rate of a step counted from 0."""
    start = config.steps * (1 - config.cooldown)
    rising = (step + 1) / max(1, config.warmup)
    falling = (config.steps - step) / max(1.0, config.steps - start)
    return config.rate * min(1.0, rising, falling)


def fit(
    module: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    loss: Callable[[nn.Module, Batch], Tensor],
    config: FitConfig,
    *,
    checkpoint: Path,
    start: Path | None = None,
    resume: bool = False,
    progress: Progress = null_progress,
) -> nn.Module:
    """Train in place and return the EMA copy. `batches(first)` yields the batch of step `first`, `first` + 1, …

    The checkpoint is written about every `checkpoint_every` seconds and at the end; with `resume` the run goes on from
    it. `start` is the checkpoint of a stage before this one: weights, average and optimizer go on, steps count anew.
    Raises UsageError when the loss is no longer finite.
    """
    device = next(module.parameters()).device
    average = copy.deepcopy(module).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(module, config), lr=config.rate, betas=(0.9, 0.98))
    first = 0
    if resume and checkpoint.exists():
        first = _restore(checkpoint, module, average, optimizer)
    elif start is not None:
        _restore(start, module, average, optimizer)
    source = batches(first)
    saved, shown, smooth = time.monotonic(), time.monotonic(), math.nan
    module.train()
    with progress.task("training", total=config.steps) as task:
        task.advance(first)
        for step in range(first, config.steps):
            batch = tuple(part.to(device, non_blocking=True) for part in next(source))
            value = _step(module, average, optimizer, loss, batch, rate_at(step, config), config)
            if not math.isfinite(value):
                raise UsageError(
                    f"the loss is {value} at step {step}", hint="lower the learning rate, or look at the data"
                )
            smooth = value if math.isnan(smooth) else smooth + 0.03 * (value - smooth)
            task.advance()
            if (step + 1) % config.log_every == 0:
                seconds = (time.monotonic() - shown) / config.log_every
                log.info("step %d/%d  loss %.4f  %.2f s/step", step + 1, config.steps, smooth, seconds)
                shown = time.monotonic()
            if time.monotonic() - saved > config.checkpoint_every or step + 1 == config.steps:
                _save(checkpoint, module, average, optimizer, step + 1)
                saved = time.monotonic()
    return average


def _step(
    module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
    loss: Callable[[nn.Module, Batch], Tensor], batch: Batch, rate: float, config: FitConfig,
) -> float:  # fmt: skip
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=config.bf16):
        value = loss(module, batch)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(module.parameters(), config.clip)
    optimizer.step()
    with torch.no_grad():
        for kept, new in zip(average.parameters(), module.parameters(), strict=True):
            kept.lerp_(new, 1 - config.ema)
        for held, current in zip(average.buffers(), module.buffers(), strict=True):
            held.copy_(current)
    return float(value.detach())


def _groups(module: nn.Module, config: FitConfig) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only, as is usual for ViTs."""
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _save(path: Path, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {
        "module": module.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
        "step": step,
    }  # fmt: skip
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _restore(path: Path, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
