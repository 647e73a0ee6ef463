"""`vitapps video train action --image WEIGHTS`: a light network for motion beside a frozen image network (DiST).

For clips that are told by what they show and how it moves, where a good image network is at hand: its features stay as
they are, so a few clips a class and a CPU are enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.sets.action_lists import group_folds, read_list
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.pipelines.video.action_model import TASK
from vitapps.pipelines.video.action_scores import ActionScore, best_temperature, score_action
from vitapps.pipelines.video.clip_input import ClipInput
from vitapps.pipelines.video.clip_sampling import ClipRule, Windows
from vitapps.pipelines.video.pretrain import Pixels, random_window, read_clip
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.dist import Dist, DistConfig, clip_example
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.weights.image_teacher import load_image_teacher

NAME = "action-dist"
SEED_STRIDE = 10_000_019  # batches of different seeds never coincide
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistFit:
    """`image`: weights of the image network; `frames` of a window, `stride` apart, of which it sees every `ratio`-th;
    `folds` of sources for the score (0: none)."""

    image: str
    steps: int = 150
    batch: int = 8
    rate: float = 1e-3
    frames: int = 16
    stride: int = 2
    ratio: int = 2
    folds: int = 0
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What every fold shares."""

    config: DistFit
    network: DistConfig
    image: ViT
    seen: ClipInput
    device: str


def train(
    clips: Path, out: Path, *, root: Path | None = None, config: DistFit, device: str = "cpu",
    progress: Progress = null_progress,
) -> tuple[Path, ActionScore | None]:  # fmt: skip
    """Train on the list `clips` and write card, weights and graph to `out`; returns the card and the folds' score.

    The weights hold the image network as well. Raises MissingError or UsageError for one that does not fit."""
    image, mean, std = load_image_teacher(config.image)
    listed = read_list(clips, root)
    names = sorted({clip.label for clip in listed})
    if len(names) < 2:
        raise UsageError(f"{clips}: one class only, {names[0]}", hint="a list of two classes or more")
    rule = ClipRule(frames=config.frames, stride=config.stride)
    seen = ClipInput(kind="rgb", rule=rule, size=image.config.image_size[0], mean=mean, std=std)
    depth = image.config.depth
    network = DistConfig(
        num_classes=len(names), image=asdict(image.config), frames=config.frames, ratio=config.ratio,
        levels=min(4, depth),
    )  # fmt: skip
    if device == "cpu":
        torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    data = [(read_clip(clip.path, seen), names.index(clip.label)) for clip in listed]
    job = _Job(config=config, network=network, image=image, seen=seen, device=device)
    score, temperature = None, 1.0
    if config.folds:
        folds = group_folds(listed, config.folds)
        logits, labels = _cross_validate(data, folds, job, out)
        temperature = best_temperature(logits, labels)
        score = score_action(logits / temperature, labels)
    module = _fit(data, job, out / "checkpoint.pt", progress)
    facts = {
        "data": f"{len(listed)} clips of {len({clip.group for clip in listed})} sources: {', '.join(names)}",
        "command": f"vitapps video train action --data LIST --out DIR --image {config.image} --steps {config.steps}"
        f" --batch {config.batch} --folds {config.folds} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"score: {config.folds} folds by source; the weights: all clips" if config.folds else "no score",
    }
    return _export(module, names, temperature, score, facts, job, out), score


def _cross_validate(
    data: Sequence[tuple[list[Pixels], int]], folds: Sequence[Sequence[int]], job: _Job, out: Path
) -> tuple[Floats, NDArray[np.int64]]:
    """(logits N K of clips that the network of their fold has not seen, class indices N)."""
    logits = np.zeros((len(data), job.network.num_classes), np.float32)
    for number, fold in enumerate(folds):
        rest = [item for place, item in enumerate(data) if place not in set(fold)]
        module = _fit(rest, job, out / f"fold{number}.pt")
        for place in fold:
            logits[place] = _tell(module, data[place][0], job.seen)
    return logits, np.array([label for _, label in data])


def _fit(
    data: Sequence[tuple[list[Pixels], int]], job: _Job, checkpoint: Path, progress: Progress = null_progress
) -> Dist:
    """The EMA weights after the steps, each class equally often."""
    config = job.config
    torch.manual_seed(config.seed)
    module = Dist(job.network)
    module.spatial.load_state_dict(job.image.state_dict())
    by_class = [[frames for frames, label in data if label == wanted] for wanted in range(job.network.num_classes)]
    if not all(by_class):
        raise UsageError("a fold has no clip of some class", hint="fewer --folds, or more sources")

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            rng = np.random.default_rng(config.seed * SEED_STRIDE + step)
            labels = np.arange(config.batch) % len(by_class)
            drawn = [by_class[label][rng.integers(len(by_class[label]))] for label in labels]
            windows = np.stack([random_window(frames, job.seen, rng) for frames in drawn])
            yield torch.from_numpy(windows), torch.from_numpy(labels)

    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(40, config.steps), cooldown=0.5, ema=0.98, weight_decay=0.1
    )  # fmt: skip
    average = fit(module.to(job.device), batches, _loss, schedule, checkpoint=checkpoint, progress=progress)
    assert isinstance(average, Dist)
    return average.cpu().eval()


def _tell(module: Dist, frames: Sequence[Pixels], seen: ClipInput) -> Floats:
    """Mean logits K over the windows of a clip."""
    found = []
    walk: Windows[Pixels] = Windows(seen.rule)
    for _, _, pictures in walk.over(seen.shrink(frame) for frame in frames):
        with torch.inference_mode():
            found.append(module(torch.from_numpy(seen.views(pictures, 1)))[0][0].numpy())
    return np.asarray(np.mean(found, axis=0), np.float32)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    windows, labels = batch
    return functional.cross_entropy(module(windows)[0], labels, label_smoothing=0.1)


def _export(
    module: Dist, names: Sequence[str], temperature: float, score: ActionScore | None, facts: dict[str, Any],
    job: _Job, out: Path,
) -> Path:  # fmt: skip
    from vitapps.shared_backbones.weights.publish import publish

    seen = job.seen
    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "dist",
        "config": {**asdict(job.network), "image": _told(asdict(job.image.config))},
        "summary": f"{', '.join(names)} by a motion network beside {job.config.image}",
        "licence": "that of the image network and of your clips",
        "status": "paper",
        "preprocess": {
            "kind": "rgb", "frames": seen.rule.frames, "stride": seen.rule.stride, "size": seen.size,
            "mean": list(seen.mean), "std": list(seen.std), "temperature": round(temperature, 3),
        },
        "labels": [{"value": value, "name": name} for value, name in enumerate(names)],
        "training": facts,
        "scores": score.card_rows("clips of sources that their fold has not seen", facts["command"]) if score else [],
        "tolerance": {"bf16": False},
        "limits": ["knows the classes of its list alone; what it has not seen is told as one of them"],
    }  # fmt: skip
    return publish(module, card, out, example=clip_example(job.network), output_names=["logits", "embedding"])


def _told(config: dict[str, Any]) -> dict[str, Any]:
    """Without what is not set, which TOML cannot say."""
    return {key: value for key, value in config.items() if value is not None}
