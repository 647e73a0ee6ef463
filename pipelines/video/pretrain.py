"""`vitapps video pretrain`: a clip network from clips without labels, by one of four objectives.

    videomae2   pixels of hidden tubelets, half of them at a time        (VideoMAE V2)
    adamae      the same, which are hidden being learned                 (AdaMAE)
    vjepa       features of hidden tubelets, of a moving average         (V-JEPA)
    umt         features of seen patches, of a frozen image network      (Unmasked Teacher)

What comes out is a card for `video embed` and `video probe`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.action_lists import read_list
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.video.action_model import TASK
from vitapps.pipelines.video.clip_input import ClipInput
from vitapps.pipelines.video.clip_sampling import ClipRule, indices
from vitapps.pipelines.video.track_data import find_clips
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.clip_classifier import ClipClassifier, ClipClassifierConfig, clip_example
from vitapps.shared_backbones.models.vit import ViT

log = logging.getLogger("vitapps.video")
Method = Literal["videomae2", "adamae", "vjepa", "umt"]
Pixels = NDArray[np.uint8]
SEED_STRIDE = 10_000_019  # batches of different seeds never coincide
_MOST = 128  # frames kept of a clip
_ROOM = 1.15  # frames are kept larger than the network's input by this, for crops at random


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainFit:
    """`frames`, `stride`, `size` of a window; `dim`, `depth`, `heads` of the network; `teacher` of umt: `timm:NAME`,
    `hf:REPO` or a card, whose patches and size the network takes over."""

    method: Method = "videomae2"
    teacher: str = ""
    steps: int = 1000
    batch: int = 8
    rate: float = 1e-3
    frames: int = 16
    stride: int = 2
    size: int = 112
    dim: int = 192
    depth: int = 6
    heads: int = 3
    seed: int = 0
    threads: int = 1


def pretrain(
    data: Path, out: Path, *, root: Path | None = None, config: PretrainFit | None = None, device: str = "cpu",
    resume: bool = False, progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the clips of `data` (a list, or a folder) and write card, weights and graph to `out`; returns the card.

    Raises UsageError for settings that do not fit, UnreadableInputError where there is no clip, MissingError for a
    teacher that is not there."""
    config = config or PretrainFit()
    paths = find_clips([data]) if data.is_dir() else [clip.path for clip in read_list(data, root)]
    start_training(config.seed, device, config.threads)
    teacher, seen, patch = _teacher(config)
    if seen.rule.frames % patch[0] or seen.size % patch[1]:
        raise UsageError(
            f"windows of {seen.rule.frames} x {seen.size} pixels in tubelets of {patch}", hint="give whole tubelets"
        )
    network = ClipClassifier(ClipClassifierConfig(
        num_classes=0, size=(seen.rule.frames, seen.size, seen.size), patch=patch, dim=config.dim, depth=config.depth,
        heads=config.heads,
    ))  # fmt: skip
    module = objective(config.method, network.vit, teacher).to(device)
    clips = read_clips(paths, seen, progress)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.3, weight_decay=0.05
    )  # fmt: skip
    average = fit(
        module, lambda first: batches(clips, seen, config, first), _loss, schedule, checkpoint=out / "checkpoint.pt",
        resume=resume, progress=progress,
    )  # fmt: skip
    network.vit.load_state_dict(average.encoder.state_dict())  # type: ignore[union-attr]
    facts = {
        "data": f"{len(clips)} clips without labels",
        "command": f"vitapps video pretrain --data CLIPS --out DIR --method {config.method} --steps {config.steps}"
        f" --batch {config.batch} --frames {config.frames} --stride {config.stride} --size {config.size}"
        f" --dim {config.dim} --depth {config.depth} --seed {config.seed}"
        f"{f' --teacher {config.teacher}' if config.teacher else ''}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "no label was used",
    }
    return export(network.cpu(), seen, config.method, facts, out)


def objective(method: Method, encoder: ViT, teacher: ViT | None) -> nn.Module:
    """The module of a method: `forward(clip, generator) -> loss`, with the network in its `encoder`."""
    if method == "umt":
        from vitapps.shared_backbones.ssl.umt import UmtConfig, UnmaskedTeacher

        assert teacher is not None
        return UnmaskedTeacher(encoder, teacher, UmtConfig())
    if method == "vjepa":
        from vitapps.shared_backbones.ssl.vjepa import VJepa, VJepaConfig

        return VJepa(encoder, VJepaConfig())
    if method == "adamae":
        from vitapps.shared_backbones.ssl.adamae import AdaMae, AdaMaeConfig

        return AdaMae(encoder, AdaMaeConfig())
    from vitapps.shared_backbones.ssl.videomae_v2 import VideoMae, VideoMaeConfig

    return VideoMae(encoder, VideoMaeConfig())


def _teacher(config: PretrainFit) -> tuple[ViT | None, ClipInput, tuple[int, int, int]]:
    """The teacher of umt, what the network sees, and its tubelets."""
    rule = ClipRule(frames=config.frames, stride=config.stride)
    if (config.method == "umt") != bool(config.teacher):
        raise UsageError(f"--method {config.method} --teacher '{config.teacher}'", hint="umt, and only umt, has one")
    if config.method != "umt":
        return None, ClipInput(kind="rgb", rule=rule, size=config.size), (2, 16, 16)
    from vitapps.shared_backbones.weights.image_teacher import load_image_teacher

    teacher, mean, std = load_image_teacher(config.teacher)
    height, width = teacher.config.image_size
    if height != width:
        raise UsageError(f"--teacher {config.teacher}: {height} x {width} pixels", hint="a network of square pictures")
    patch = teacher.config.patch
    return teacher, ClipInput(kind="rgb", rule=rule, size=height, mean=mean, std=std), (1, patch[0], patch[1])


def read_clips(paths: Sequence[Path], seen: ClipInput, progress: Progress = null_progress) -> list[list[Pixels]]:
    """The frames of each clip that can be read; of others a warning."""
    found = []
    with progress.task("reading clips", total=len(paths)) as task:
        for path in paths:
            try:
                found.append(read_clip(path, seen))
            except UnreadableInputError as error:
                log.warning("%s", error)
            task.advance()
    if not found:
        raise UnreadableInputError("no clip to train on", hint="--data: a list of clips, or a folder of them")
    return found


def read_clip(path: Path, seen: ClipInput) -> list[Pixels]:
    """Up to `_MOST` frames H W 3, the shorter side a little above the network's. Raises UnreadableInputError."""
    larger = ClipInput(kind="rgb", rule=seen.rule, size=round(seen.size * _ROOM))
    with closing(open_clip(path)) as clip:
        frames = [larger.shrink(frame.pixels) for frame in islice(clip.frames(), _MOST)]
    if not frames:
        raise UnreadableInputError(f"{path}: no frame", hint="leave it out")
    return frames


def batches(clips: Sequence[Sequence[Pixels]], seen: ClipInput, config: PretrainFit, first: int) -> Iterator[Batch]:
    """Batch of step `first`, `first` + 1, …: windows B 3 T H W, and the seed of the step's masks."""
    for step in range(first, config.steps):
        number = config.seed * SEED_STRIDE + step
        rng = np.random.default_rng(number)
        windows = [random_window(clips[int(rng.integers(len(clips)))], seen, rng) for _ in range(config.batch)]
        yield torch.from_numpy(np.stack(windows)), torch.tensor(number)


def random_window(frames: Sequence[Pixels], seen: ClipInput, rng: np.random.Generator) -> NDArray[np.float32]:
    """A window at a random moment, cut at a random place, mirrored now and then: 3 T H W."""
    first = int(rng.integers(max(1, len(frames) - seen.rule.span + 1)))
    chosen = [frames[place] for place in indices(first, len(frames), seen.rule)]
    height, width = chosen[0].shape[:2]
    y, x = rng.integers(height - seen.size + 1), rng.integers(width - seen.size + 1)
    step = -1 if rng.random() < 0.5 else 1
    cut = [np.ascontiguousarray(frame[y : y + seen.size, x : x + seen.size][:, ::step]) for frame in chosen]
    return np.asarray(seen.views(cut, 1)[0], np.float32)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    clip, seed = batch
    loss: Tensor = module(clip, torch.Generator().manual_seed(int(seed)))
    return loss


def export(network: ClipClassifier, seen: ClipInput, method: str, facts: dict[str, Any], out: Path) -> Path:
    """Write weights (fp16), graph and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": f"clip-{method}",
        "task": TASK,
        "arch": "clip_classifier",
        "config": asdict(network.config),
        "summary": f"clips as vectors, pre-trained by {method} without labels",
        "licence": "Apache-2.0 (weights); the clips keep their own",
        "status": "paper",
        "preprocess": {
            "kind": "rgb", "frames": seen.rule.frames, "stride": seen.rule.stride, "size": seen.size,
            "mean": list(seen.mean), "std": list(seen.std),
        },
        "training": facts,
        "tolerance": {"bf16": True},
        "limits": ["knows no classes: for `video embed` and `video probe`"],
    }  # fmt: skip
    return publish(network, card, out, example=clip_example(network.config), output_names=["logits", "embedding"])
