"""`vitapps video train track`: the one-stream tracker from photographs and unlabelled clips, from a seed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitapps.datasets.synth.tracking import Pair, TrackingPairs
from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.video.track_data import find_clips, read_photos, read_tracks_of_clips
from vitapps.pipelines.video.track_loss import misfit, tracking_loss
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.distill.adaptive_features import adaptive_feature_loss, difficulty_weights
from vitapps.shared_backbones.models.tracker import Tracker, TrackerConfig, frame_example
from vitapps.shared_backbones.robust.cox_masking import cox_counts, invariance_loss
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.load import load_module

NAME, STUDENT = "track-lorat-s", "track-lorat-xs"
SEED_STRIDE = 10_000_019  # pairs of different seeds never coincide
AHEAD = 4  # batches that the generator may be ahead


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackFit:
    """`batch` pairs a step; `photos` pictures taken of each folder; `threads` of a CPU; `occlusion`: weight of the
    invariance to covered templates (`cox_masking.py`), which doubles the time of a step; 0: none. `teacher`: a card
    whose tracker a student with half its blocks mimics, with weight `distill` and more on hard pairs (`slope`)."""

    steps: int = 3000
    batch: int = 16
    rate: float = 8e-4
    photos: int = 60
    seed: int = 0
    threads: int = 1
    occlusion: float = 0.0
    teacher: str = ""
    distill: float = 1.0
    slope: float = 1.0


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
    start_training(config.seed, device, config.threads)
    teacher = _teacher(config.teacher)
    module = (_student(teacher) if teacher else Tracker(TrackerConfig())).to(device)
    objective = Objective(config, teacher.to(device) if teacher else None)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(150, config.steps), cooldown=0.4, ema=0.995, bf16=False,
        checkpoint_every=120,
    )  # fmt: skip
    pairs = make_pairs(data, config)
    average = fit(
        module, lambda first: batches(pairs, config, first), objective, schedule,
        checkpoint=out / "checkpoint.pt", resume=resume, progress=progress,
    )  # fmt: skip
    facts = {
        "data": f"{len(pairs.photos)} photographs and frames, {len(pairs.tracks)} tracks found by optical flow,"
        " composited (datasets/synth/tracking.py)",
        "command": f"vitapps video train track --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f"{f' --occlusion {config.occlusion:g}' if config.occlusion else ''}"
        f"{f' --teacher {config.teacher} --distill {config.distill:g}' if config.teacher else ''}"
        f" --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, bf16=False),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "no sequence of DAVIS, OTB, VOT or PETS was trained on",
    }
    return export(average.cpu(), facts, out, STUDENT if config.teacher else NAME)


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


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step minimises: `objective(module, batch)`."""

    config: TrackFit
    teacher: Tracker | None = None

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, Tracker)
        image, box, present = batch
        # at 180 tokens torch's fused attention on a CPU costs three times the plain products in the backward pass
        with sdpa_kernel(SDPBackend.MATH) if image.device.type == "cpu" else nullcontext():
            tokens = module.tokens(image)
            logits, boxes = module.head(tokens[:, : module.config.grid**2])
            loss = tracking_loss(logits, boxes, box, present)
            if self.config.occlusion:
                side = module.config.small
                counts = cox_counts(len(image), side, 0.3 * side**2)
                loss = loss + self.config.occlusion * invariance_loss(module, image, counts)
            if self.teacher is not None:
                with torch.no_grad():
                    wanted = self.teacher.tokens(image)
                weights = difficulty_weights(misfit(boxes, box, present), self.config.distill, self.config.slope)
                loss = loss + adaptive_feature_loss(tokens, wanted, weights)
            return loss


def _teacher(name: str) -> Tracker | None:
    """The frozen tracker of a card; None without a name, MissingError for a card of something else."""
    if not name:
        return None
    card = load_card(name)
    if card.arch != "tracker":
        raise MissingError(f"{card.name}: is no tracker", hint="give a card of `vitapps video train track`")
    module = load_module(card)
    assert isinstance(module, Tracker)
    own = TrackerConfig()
    if (module.config.search, module.config.template) != (own.search, own.template):
        raise UsageError(f"{card.name}: sees {module.config.search} pixels", hint=f"pairs are drawn at {own.search}")
    return module.requires_grad_(False)


def _student(teacher: Tracker) -> Tracker:
    """The teacher's first half: its embedding, its first blocks and its head are where the student begins."""
    depth = max(1, teacher.config.depth // 2)
    module = Tracker(replace(teacher.config, depth=depth))
    own = module.state_dict()
    module.load_state_dict({key: value for key, value in teacher.state_dict().items() if key in own})
    return module


def export(module: nn.Module, facts: dict[str, Any], out: Path, name: str = NAME) -> Path:
    """Write weights (fp16), graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    assert isinstance(module, Tracker)
    config = module.config
    card: dict[str, Any] = {
        "name": name,
        "task": "video.track",
        "arch": "tracker",
        "config": {key: value for key, value in asdict(config).items() if value is not None},
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
