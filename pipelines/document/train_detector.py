"""`vitapps doc train detector`: the text detector from synthetic pages alone, reproducible from a seed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitapps.datasets.synth.pages import make_page
from vitapps.errors import UsageError
from vitapps.pipelines.document.detector_targets import Sample, detector_loss, windows_of
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.text_detector import TextDetector, TextDetectorConfig, window_example

NAME = "text-detector"
SEED_STRIDE = 10_000_019  # pages of different seeds never coincide
LARGEST = 900  # pixels of a training page's sides: most of a larger one would not be looked at
LINE_HEIGHT = 19.0  # pixels from the top of `d` to the foot of `g` at which body type is shown to the network


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFit:
    """`pages` rendered a step, `windows` cut from each, `rate` the highest learning rate."""

    steps: int = 2000
    pages: int = 2
    windows: int = 3
    rate: float = 1.2e-3
    seed: int = 0
    threads: int = 1


def train(
    out: Path, *, config: DetectorFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train and write card, weights and graph to `out`; returns the card's path."""
    config = config or DetectorFit()
    if config.steps < 1 or config.pages < 1 or config.windows < 1:
        raise UsageError(f"steps {config.steps}, pages {config.pages}, windows {config.windows}", hint="all start at 1")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    average = fit_detector(out / "checkpoint.pt", config, device=device, resume=resume, progress=progress)
    facts = {
        "data": f"{config.steps * config.pages:,} synthetic pages (datasets/synth/pages.py), no scanned page",
        "command": f"vitapps doc train detector --out DIR --steps {config.steps} --pages {config.pages}"
        f" --windows {config.windows} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "trained on synthetic pages only; every real page is unseen by the weights",
    }
    return export(average, facts, out)


def fit_detector(
    checkpoint: Path, config: DetectorFit, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> TextDetector:  # fmt: skip
    """The EMA weights after `config.steps` steps."""
    torch.manual_seed(config.seed)
    if device == "cpu":
        torch.set_num_threads(config.threads)
    module = TextDetector(TextDetectorConfig()).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.4, ema=0.995,
        checkpoint_every=120,
    )  # fmt: skip

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            yield tuple(torch.stack(part) for part in zip(*_samples(step, config), strict=True))

    average = fit(module, batches, _loss, schedule, checkpoint=checkpoint, resume=resume, progress=progress)
    assert isinstance(average, TextDetector)
    return average


def _samples(step: int, config: DetectorFit) -> list[Sample]:
    size = TextDetectorConfig().window[0]
    found: list[Sample] = []
    for place in range(config.pages):
        seed = config.seed * SEED_STRIDE + step * config.pages + place
        found += windows_of(make_page(seed, largest=LARGEST), config.windows, size, np.random.default_rng([seed, 1]))
    return found


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, TextDetector)
    image, kernel, sides, kinds, turn = batch
    return detector_loss(module.forward_logits(image), kernel, sides, kinds, turn)


def export(module: nn.Module, facts: dict[str, Any], out: Path) -> Path:
    """Write `text-detector.safetensors` (fp16), `text-detector.onnx` and the card `text-detector.toml` to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    config = TextDetectorConfig()
    card: dict[str, Any] = {
        "name": NAME,
        "task": "doc.detect",
        "arch": "text_detector",
        "config": asdict(config),
        "summary": "lines of writing, kinds of regions and the upright turn of pages, receipts and screens",
        "licence": "Apache-2.0 (weights); trained on pages rendered with fonts of Debian, none of which is contained",
        "status": "core",
        "preprocess": {"line_height": LINE_HEIGHT, "window": list(config.window), "overlap": 0.15},
        "labels": [{"value": 0, "name": "line"}],
        "training": facts,
        "tolerance": {"bf16": True},
        "limits": [
            "printed Latin writing in level lines; handwriting, curved lines and vertical writing are not trained for",
            "photographs of scenes are not trained for",
        ],
    }
    example = window_example(config)
    return publish(module, card, out, example=example, output_names=["kernel", "sides", "regions"])
