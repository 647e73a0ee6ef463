"""`vitapps video train action`: a small ViT over time on motion descriptors, from a list of labelled clips.

It tells actions by how the picture moves, not by what it shows: with a hundred clips of a few dozen places, a network
that sees the picture learns the places (one frame alone, HOG and colour: 0.39 on unseen sources). The score of the card
comes from folds in which no source of a training clip is tested.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.action_lists import LabelledClip, group_folds, read_list
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.video.action_model import TASK
from vitapps.pipelines.video.action_scores import ActionScore, best_temperature, score_action
from vitapps.pipelines.video.clip_sampling import ClipRule, indices, starts
from vitapps.pipelines.video.motion_descriptor import WIDTH, describe_step, small_grey
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.clip_classifier import ClipClassifier, ClipClassifierConfig, clip_example

NAME = "fight-motion"
RULE = ClipRule(frames=25, stride=2)
STEPS_SEEN = RULE.frames - 1
_TRAIN_HOP = 4  # frames between the windows that training draws from
_SEED_STRIDE = 10_000_019  # batches of different seeds never coincide
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionFit:
    """`batch` windows a step; `folds` of sources for the score (0: none)."""

    steps: int = 150
    batch: int = 32
    rate: float = 1e-3
    folds: int = 5
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A clip as its windows of motion descriptors, W C T, and its class index."""

    windows: Floats
    label: int


def train(
    clips: Path, out: Path, *, root: Path | None = None, config: ActionFit | None = None, device: str = "cpu",
    progress: Progress = null_progress,
) -> tuple[Path, ActionScore | None]:  # fmt: skip
    """Train on the list `clips` and write card, weights and graph to `out`; returns the card and the folds' score."""
    config = config or ActionFit()
    if config.steps < 1 or config.batch < 2:
        raise UsageError(f"steps is {config.steps}, batch {config.batch}", hint="at least 1 and 2")
    listed = read_list(clips, root)
    names = sorted({clip.label for clip in listed})
    if len(names) < 2:
        raise UsageError(f"{clips}: one class only, {names[0]}", hint="a list of two classes or more")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    data = describe_clips(listed, names, progress)
    score, temperature = None, 1.0
    if config.folds:
        logits, labels = cross_validate(listed, data, len(names), out, config, device)
        temperature = best_temperature(logits, labels)
        score = score_action(logits / temperature, labels)
    module = fit_classifier(data, len(names), out / "checkpoint.pt", config, device, progress)
    facts = {
        "data": f"{len(listed)} clips of {len({clip.group for clip in listed})} sources: {', '.join(names)}",
        "command": f"vitapps video train action --data LIST --out DIR --steps {config.steps} --batch {config.batch}"
        f" --folds {config.folds} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"score: {config.folds} folds by source, no source on both sides; the weights: all clips",
    }
    return export(module, names, temperature, score, facts, out), score


def describe_clips(listed: Sequence[LabelledClip], names: Sequence[str], progress: Progress) -> list[Described]:
    """Every window of every clip as motion descriptors; training draws among them."""
    found = []
    with progress.task("describing motion", total=len(listed)) as task:
        for clip in listed:
            with closing(open_clip(clip.path)) as frames:
                grey = [small_grey(frame.pixels) for frame in frames.frames()]
            found.append(Described(windows=_windows(grey), label=names.index(clip.label)))
            task.advance()
    return found


def _windows(grey: Sequence[NDArray[np.uint8]]) -> Floats:
    """Windows of a clip, W C T; windows share steps, each of which is described once."""
    rule = ClipRule(frames=RULE.frames, stride=RULE.stride, hop=_TRAIN_HOP)
    steps: dict[tuple[int, int], Floats] = {}
    windows = []
    for first in starts(len(grey), rule):
        pairs = list(pairwise(indices(first, len(grey), rule)))
        steps |= {(a, b): describe_step(grey[a], grey[b]) for a, b in pairs if (a, b) not in steps}
        windows.append(np.stack([steps[pair] for pair in pairs], axis=1))  # T of C -> C T
    return np.stack(windows)


def cross_validate(
    listed: Sequence[LabelledClip], data: Sequence[Described], classes: int, out: Path, config: ActionFit, device: str
) -> tuple[Floats, NDArray[np.int64]]:
    """(logits N K of clips that the network of their fold has not seen, class indices N)."""
    logits = np.zeros((len(data), classes), np.float32)
    for number, fold in enumerate(group_folds(listed, config.folds)):
        rest = [item for place, item in enumerate(data) if place not in set(fold)]
        module = fit_classifier(rest, classes, out / f"fold{number}.pt", config, device)
        for place in fold:
            logits[place] = predict(module, data[place].windows).mean(axis=0)
    return logits, np.array([item.label for item in data])


def fit_classifier(
    data: Sequence[Described], classes: int, checkpoint: Path, config: ActionFit, device: str,
    progress: Progress = null_progress,
) -> ClipClassifier:  # fmt: skip
    """The EMA weights after `config.steps` steps on windows of `data`, each class equally often."""
    start_training(config.seed, device, config.threads)
    by_class = [[item for item in data if item.label == label] for label in range(classes)]
    if not all(by_class):
        raise UsageError("a fold has no clip of some class", hint="fewer --folds, or more sources")

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            rng = np.random.default_rng(config.seed * _SEED_STRIDE + step)
            labels = np.arange(config.batch) % classes
            drawn = [by_class[label][rng.integers(len(by_class[label]))].windows for label in labels]
            windows = np.stack([_varied(windows[rng.integers(len(windows))], rng) for windows in drawn])
            yield torch.from_numpy(windows), torch.from_numpy(labels)

    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(40, config.steps), cooldown=0.5, ema=0.98, weight_decay=0.1,
        log_every=100,
    )  # fmt: skip
    module = ClipClassifier(network(classes)).to(device)
    average = fit(module, batches, _loss, schedule, checkpoint=checkpoint, progress=progress)
    assert isinstance(average, ClipClassifier)
    return average.cpu()


def network(classes: int) -> ClipClassifierConfig:
    """A transformer of two blocks over the steps of a window."""
    return ClipClassifierConfig(
        num_classes=classes, in_chans=WIDTH, size=(STEPS_SEEN,), patch=(1,), dim=64, depth=2, heads=4, mlp_ratio=2.0,
        drop_path=0.1,
    )  # fmt: skip


def predict(module: ClipClassifier, windows: Floats) -> Floats:
    """Logits W K of windows W C T."""
    with torch.inference_mode():
        return np.asarray(module.eval()(torch.from_numpy(np.ascontiguousarray(windows)))[0].numpy(), np.float32)


def _varied(window: Floats, rng: np.random.Generator) -> Floats:
    """Another gain, some numbers left out, time backwards now and then: C T -> C T."""
    kept = (rng.random((WIDTH, 1)) > 0.1) * rng.uniform(0.8, 1.25)
    played = window[:, ::-1] if rng.random() < 0.3 else window
    return np.asarray(np.roll(played, rng.integers(-4, 5), axis=1) * kept, np.float32)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    windows, labels = batch
    logits, _ = module(windows)
    return functional.cross_entropy(logits, labels, label_smoothing=0.1)


def export(
    module: ClipClassifier, names: Sequence[str], temperature: float, score: ActionScore | None,
    facts: dict[str, Any], out: Path,
) -> Path:  # fmt: skip
    """Write weights, graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "clip_classifier",
        "config": asdict(module.config),
        "summary": "fights in surveillance clips, told by motion alone (a demonstrator, no product)",
        "licence": "Apache-2.0 (weights); trained on the Surveillance Camera Fight Dataset (MIT)",
        "status": "core",
        "preprocess": {
            "kind": "motion", "frames": RULE.frames, "stride": RULE.stride, "temperature": round(temperature, 3)
        },
        "labels": [{"value": index, "name": name} for index, name in enumerate(names)],
        "training": facts,
        "scores": score.card_rows("clips of sources that their fold has not seen", facts["command"]) if score else [],
        "tolerance": {"bf16": False},
        "limits": [
            "two classes, a hundred clips of two seconds from fixed cameras: shaking or cut footage is unknown to it",
            "sees motion, not people: a crowd, a train or sport can look like a fight",
            "no safety decision may rest on it",
        ],
    }  # fmt: skip
    return publish(module, card, out, example=clip_example(module.config), output_names=["logits", "embedding"])
