"""`vitapps video train predict`: a small PredFormer on moving digits, from a seed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitapps.datasets.sets.digits import read_digits, split_digits
from vitapps.datasets.synth.moving_digits import MovingDigits
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.video.predict_model import NAME, TASK
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.predformer import PredFormer, PredFormerConfig, clip_example

SEED_STRIDE = 10_000_019  # sequences of different seeds never coincide


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictFit:
    """`batch` sequences a step; `held` digits at the end of the set are never trained on."""

    steps: int = 2200
    batch: int = 8
    rate: float = 1e-3
    held: int = 1000
    dim: int = 128
    repeats: int = 2
    layout: str = "TSST"
    seed: int = 0
    threads: int = 1


def train(
    data: Path, out: Path, *, config: PredictFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the digits of `data` and write card, weights and graph to `out`; returns the card's path.

    Raises UsageError for fewer than one step, UnreadableInputError for a file without digits."""
    config = config or PredictFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    sprites, _ = split_digits(read_digits(data), config.held)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    start_training(config.seed, device, config.threads)
    module = PredFormer(network(config)).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.5, ema=0.99,
        checkpoint_every=120,
    )  # fmt: skip
    source = MovingDigits(sprites=sprites, frames=2 * module.config.frames)
    average = fit(
        module, lambda first: batches(source, config, first), _loss, schedule, checkpoint=out / "checkpoint.pt",
        resume=resume, progress=progress,
    )  # fmt: skip
    facts = {
        "data": f"two of {len(sprites)} digits at a time, drifting (datasets/synth/moving_digits.py)",
        "command": f"vitapps video train predict --data DIGITS --out DIR --steps {config.steps} --batch {config.batch}"
        f" --rate {config.rate:g} --dim {config.dim} --repeats {config.repeats} --layout {config.layout}"
        f" --held {config.held} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"the last {config.held} digits of the set are held back for the score",
    }
    assert isinstance(average, PredFormer)
    return export(average.cpu(), facts, out)


def network(config: PredictFit) -> PredFormerConfig:
    """Ten frames of 64 x 64 in and out, patches of 8."""
    return PredFormerConfig(
        dim=config.dim, heads=4, layout=config.layout, repeats=config.repeats, mlp_ratio=2.0
    )  # fmt: skip


def batches(source: MovingDigits, config: PredictFit, first: int) -> Iterator[Batch]:
    """Batch of step `first`, `first` + 1, …: B 2T 1 H W in 0..1."""
    for step in range(first, config.steps):
        number = config.seed * SEED_STRIDE + step * config.batch
        yield (torch.from_numpy(source.batch(number, config.batch)),)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error of the frames that follow."""
    assert isinstance(module, PredFormer)
    (clip,), times = batch, module.config.frames
    # at a few dozen tokens torch's fused attention on a CPU gains nothing over the plain products
    with sdpa_kernel(SDPBackend.MATH) if clip.device.type == "cpu" else nullcontext():
        loss: Tensor = (module(clip[:, :times]) - clip[:, times:]).square().mean()
    return loss


def export(module: PredFormer, facts: dict[str, Any], out: Path) -> Path:
    """Write weights (fp16), graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    config = module.config
    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "predformer",
        "config": asdict(config),
        "summary": "the next ten frames of two drifting digits (Moving MNIST): a demonstrator",
        "licence": "Apache-2.0 (weights); trained on digits of MNIST (CC BY-SA 3.0)",
        "status": "core",
        "preprocess": {"frames": config.frames, "size": list(config.size), "channels": config.in_chans},
        "labels": [{"value": 0, "name": "frames"}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "knows bright shapes that drift and bounce on black; of a camera's clip its last frame is the better guess",
            "what it is unsure of it blurs, the more the further ahead",
        ],
    }
    return publish(module, card, out, example=clip_example(config), output_names=["frames"])
