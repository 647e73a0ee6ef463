"""`vitapps video train segment`: SimVOS on composited triples of frames, from photographs and a seed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.synth.mask_triples import MaskTriples, joined
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.video.segment_network import TASK
from vitapps.pipelines.video.track_data import read_photos
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.simvos import SimVos, SimVosConfig, frame_example

NAME = "segment-simvos"
SEED_STRIDE = 10_000_019  # triples of different seeds never coincide


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFit:
    """`batch` triples a step; `photos` pictures taken of each folder; `image`: a network to start from, whose width,
    heads and patch the new one takes over; `size` pixels a side; `prototypes` as in `SimVosConfig`."""

    steps: int = 3000
    batch: int = 8
    rate: float = 5e-4
    photos: int = 60
    image: str = ""
    size: int = 128
    dim: int = 128
    depth: int = 6
    prototypes: int = 0
    seed: int = 0
    threads: int = 1


def train(
    data: Sequence[Path], out: Path, *, config: SegmentFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on pictures below the folders `data` and write card, weights and graph to `out`; returns the card's path.

    Raises UsageError for settings that do not fit, UnreadableInputError for folders without pictures, MissingError for
    an image network that is not there."""
    config = config or SegmentFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    start_training(config.seed, device, config.threads)
    module = _network(config).to(device)
    triples = MaskTriples(photos=read_photos(data, config.photos), side=config.size, seed=config.seed)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(150, config.steps), cooldown=0.4, ema=0.995
    )  # fmt: skip
    average = fit(
        module, lambda first: batches(triples, config, first), _loss, schedule, checkpoint=out / "checkpoint.pt",
        resume=resume, progress=progress,
    )  # fmt: skip
    facts = {
        "data": f"{len(triples.photos)} photographs and frames, composited (datasets/synth/mask_triples.py)",
        "command": f"vitapps video train segment --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f" --size {config.size} --dim {config.dim} --depth {config.depth} --prototypes {config.prototypes}"
        f"{f' --image {config.image}' if config.image else ''} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "no mask of a real clip was trained on",
    }
    assert isinstance(average, SimVos)
    return export(average.cpu(), facts, out)


def _network(config: SegmentFit) -> SimVos:
    side = (config.size, config.size)
    if not config.image:
        return SimVos(SimVosConfig(
            size=side, patch=8, dim=config.dim, depth=config.depth, heads=max(1, config.dim // 32),
            within=config.depth // 3, prototypes=config.prototypes,
        ))  # fmt: skip
    from vitapps.shared_backbones.weights.image_teacher import load_image_teacher

    source, _, _ = load_image_teacher(config.image)
    theirs = source.config
    module = SimVos(SimVosConfig(
        size=side, patch=theirs.patch[0], dim=theirs.dim, depth=theirs.depth, heads=theirs.heads,
        mlp_ratio=theirs.mlp_ratio, within=theirs.depth // 3, prototypes=config.prototypes,
    ))  # fmt: skip
    module.take_backbone(source)
    return module


def batches(triples: MaskTriples, config: SegmentFit, first: int) -> Iterator[Batch]:
    """Batch of step `first`, `first` + 1, …: frames B 12 S S, the query's mask B 1 S S, both in 0..1."""
    for step in range(first, config.steps):
        start = config.seed * SEED_STRIDE + step * config.batch
        drawn = [triples.sample(start + place) for place in range(config.batch)]
        masks = np.stack([item.masks[2:] for item in drawn]).astype(np.float32) / np.float32(255)
        yield torch.from_numpy(np.stack([joined(item) for item in drawn])), torch.from_numpy(masks)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy and one minus the soft overlap (Dice), as SimVOS has cross-entropy and IoU."""
    frames, mask = batch
    logits = module(frames)
    shared = (logits.sigmoid() * mask).sum(dim=(1, 2, 3))
    both = (logits.sigmoid() + mask).sum(dim=(1, 2, 3))
    overlap = 1 - ((2 * shared + 1) / (both + 1)).mean()
    loss: Tensor = functional.binary_cross_entropy_with_logits(logits, mask) + overlap
    return loss


def export(module: SimVos, facts: dict[str, Any], out: Path) -> Path:
    """Write weights (fp16), graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "simvos",
        "config": asdict(module.config),
        "summary": "follows any object from its mask in one frame; frames are brought whole to one size",
        "licence": "Apache-2.0 (weights); trained on composites of public photographs",
        "status": "paper",
        "preprocess": {"size": list(module.config.size)},
        "labels": [{"value": 0, "name": "object"}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": ["small objects vanish: the whole frame is brought to the network's size"],
    }
    return publish(module, card, out, example=frame_example(module.config), output_names=["logits"])
