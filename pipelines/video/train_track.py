"""`vitapps video train track`: the one-stream tracker from photographs and unlabelled clips, from a seed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitapps.datasets.synth.tracking import Pair, TrackingPairs
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.pipelines.video.occlusion import cox_counts, invariance_loss
from vitapps.pipelines.video.track_data import find_clips, read_photos, read_tracks_of_clips
from vitapps.pipelines.video.track_loss import tracking_loss
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.tracker import STRIDE, Tracker, TrackerConfig, frame_example

NAME = "track-lorat-s"
SEED_STRIDE = 10_000_019  # pairs of different seeds never coincide
AHEAD = 4  # batches that the generator may be ahead


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackFit:
    """`batch` pairs a step; `photos` pictures taken of each folder; `threads` of a CPU; `occlusion`: weight of the
    invariance to covered templates (`occlusion.py`), which doubles the time of a step; 0: none."""

    steps: int = 3000
    batch: int = 16
    rate: float = 8e-4
    photos: int = 60
    seed: int = 0
    threads: int = 1
    occlusion: float = 0.0


def train(
    data: Sequence[Path], out: Path, *, config: TrackFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on pictures and clips below the folders `data` and write card, weights and graph to `out`; returns the
    card's path. Raises UsageError for fewer than one step, UnreadableInputError for folders without pictures."""
    config = config or TrackFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    torch.manual_seed(config.seed)
    if device == "cpu":
        torch.set_num_threads(config.threads)
    module = Tracker(TrackerConfig()).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(150, config.steps), cooldown=0.4, ema=0.995, bf16=False,
        checkpoint_every=120,
    )  # fmt: skip
    pairs = make_pairs(data, config)
    average = fit(
        module, lambda first: batches(pairs, config, first), partial(_loss, config.occlusion), schedule,
        checkpoint=out / "checkpoint.pt", resume=resume, progress=progress,
    )  # fmt: skip
    facts = {
        "data": f"{len(pairs.photos)} photographs and frames, {len(pairs.tracks)} tracks found by optical flow,"
        " composited (datasets/synth/tracking.py)",
        "command": f"vitapps video train track --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f"{f' --occlusion {config.occlusion:g}' if config.occlusion else ''}"
        f" --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, bf16=False),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "no sequence of DAVIS, OTB, VOT or PETS was trained on",
    }
    return export(average.cpu(), facts, out)


def make_pairs(data: Sequence[Path], config: TrackFit) -> TrackingPairs:
    """The source of pairs: photographs, cut objects and tracks of `data`."""
    return TrackingPairs(
        read_photos(data, config.photos), read_tracks_of_clips(find_clips(data), config.seed), seed=config.seed
    )


def batches(pairs: TrackingPairs, config: TrackFit, first: int) -> Iterator[Batch]:
    """Batch of step `first`, `first` + 1, …: images B 4 S S+T, boxes B 4, present B 1. One thread works ahead: the
    drawing is OpenCV's, which leaves the interpreter to the training meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="vitapps-pairs") as pool:
        waiting = deque(
            pool.submit(_batch, pairs, config, step) for step in range(first, min(first + AHEAD, config.steps))
        )
        for step in range(first, config.steps):
            if step + AHEAD < config.steps:
                waiting.append(pool.submit(_batch, pairs, config, step + AHEAD))
            yield waiting.popleft().result()


def _batch(pairs: TrackingPairs, config: TrackFit, step: int) -> Batch:
    numbers = [config.seed * SEED_STRIDE + step * config.batch + place for place in range(config.batch)]
    drawn = [pairs.sample(number) for number in numbers]
    image = torch.from_numpy(np.stack([joined(pair) for pair in drawn])).float() / 255
    box = torch.from_numpy(np.stack([pair.box for pair in drawn]))
    return image, box, torch.tensor([[pair.present] for pair in drawn])


def joined(pair: Pair) -> NDArray[np.uint8]:
    """4 S S+T: the network's input of a pair, 255 for 1."""
    side, small = pair.search.shape[0], pair.template.shape[0]
    image = np.zeros((4, side, side + small), np.uint8)
    image[:3, :, :side] = pair.search.transpose(2, 0, 1)
    image[:3, :small, side:] = pair.template.transpose(2, 0, 1)
    image[3, :small, side:] = 255 * pair.mask
    return image


def _loss(occlusion: float, module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, Tracker)
    image, box, present = batch
    # at 180 tokens torch's fused attention on a CPU costs three times the plain products in the backward pass
    with sdpa_kernel(SDPBackend.MATH) if image.device.type == "cpu" else nullcontext():
        logits, boxes = module.forward_logits(image)
        if not occlusion:
            return tracking_loss(logits, boxes, box, present)
        tokens = module.config.template // STRIDE
        counts = cox_counts(len(image), tokens, 0.3 * tokens**2)
        return tracking_loss(logits, boxes, box, present) + occlusion * invariance_loss(module, image, counts)


def export(module: nn.Module, facts: dict[str, Any], out: Path) -> Path:
    """Write weights (fp16), graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    config = TrackerConfig()
    card: dict[str, Any] = {
        "name": NAME,
        "task": "video.track",
        "arch": "tracker",
        "config": asdict(config),
        "summary": "follows any object from its box in one frame; small, trained from scratch",
        "licence": "Apache-2.0 (weights); trained on public photographs and clips without labels",
        "status": "core",
        "preprocess": {"search": config.search, "template": config.template, "factor": 4.0},
        "labels": [{"value": 0, "name": "object"}],
        "training": facts,
        "tolerance": {"bf16": True},
        "limits": [
            "knows no object classes: a double of the object close by can take it over",
            "an object that leaves its search region within one frame is found again only by the widening search",
        ],
    }
    return publish(module, card, out, example=frame_example(config), output_names=["scores", "boxes"])
