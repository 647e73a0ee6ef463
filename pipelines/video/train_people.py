"""`vitapps video train people`: the embedded finder of people, from drawn scenes alone, reproducible from a seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.sets.empty_scenes import read_empty_scenes
from vitapps.datasets.sets.mocap import read_poses
from vitapps.datasets.synth.people import PeopleScenes, Scene
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.numbered_batches import numbered_batches, unseen_number
from vitapps.pipelines.video.people import DEFAULT_WEIGHTS
from vitapps.pipelines.video.people_scores import average_precision, best_threshold
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.pipelines.windows.boxes import decode, nms
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.detect_loss import detection_loss, make_targets
from vitapps.shared_backbones.models.plain_detector import STRIDE, PlainDetector, PlainDetectorConfig, window_example

CONFIG = PlainDetectorConfig(window=(256, 256), stem=(16, 32, 64), dim=96, depth=2, heads=4, pyramid=(48, 64), unit=18)
POSES = "action/cmu_mocap/joints_30fps_mm.npz"
NMS_IOU = 0.5
EVERY_NTH_KEPT = 5  # pose: never drawn in training
FIGURES = 600  # drawn once, then shown again and again
CHECKED = 160  # held-out windows on which the threshold is chosen
SMALLEST = 24  # pixels of a person that the network sees
SHARE_OF_FRAME = 0.094  # of the frame's longer side that the smallest person has, as a rule: 72 of 768 pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleFit:
    """`batch` windows a step, `rate` the highest learning rate; `threads` of a CPU: one seed gives one result for one
    number of them."""

    steps: int = 3600
    batch: int = 4
    rate: float = 1.5e-3
    seed: int = 0
    threads: int = 1


def train(
    data: Path, out: Path, *, config: PeopleFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on people drawn in poses of `data` before pictures of `data`; write card, weights and graph to `out` and
    return the card's path.

    Raises UsageError for fewer than one step, UnreadableInputError for a folder without poses or clips.
    """
    config = config or PeopleFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    scenes = drawn_scenes(data, config.seed)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    module = fit_people(scenes, out / "checkpoint.pt", config, device=device, resume=resume, progress=progress)
    minutes = round((time.monotonic() - clock) / 60, 1)
    searched = search_scenes(module.cpu(), drawn_scenes(data, config.seed, kept=True), CHECKED)
    threshold, f1 = best_threshold(searched)
    facts = {
        "data": f"people drawn in CMU motion capture poses ({len(scenes.figures)} figures) before"
        f" {len(scenes.backgrounds)} pictures without people (surveillance clips, MIT; DAVIS, BSD; Big Buck Bunny,"
        " CC BY 3.0) and drawn streets",
        "command": f"vitapps video train people --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f" --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, bf16=False),
        "minutes": minutes,
        "seed": config.seed,
        "split": f"every {EVERY_NTH_KEPT}th pose and three cameras are kept back; on {CHECKED} windows drawn of them"
        f" the threshold was chosen, where F1 is {f1:.3f}, AP50 {average_precision(searched):.3f}",
    }
    return export(module, threshold, facts, out)


def drawn_scenes(data: Path, seed: int, *, kept: bool = False) -> PeopleScenes:
    """Scenes of the poses and pictures that training sees, or of those that are kept back."""
    poses = read_poses(data / POSES)
    back = np.arange(len(poses)) % EVERY_NTH_KEPT == 0
    pictures = read_empty_scenes(data, kept=kept)
    if kept:
        return PeopleScenes(poses=poses[back], backgrounds=pictures, number=FIGURES // 4, seed=seed + 1)
    return PeopleScenes(poses=poses[~back], backgrounds=pictures, number=FIGURES, seed=seed)


def fit_people(
    scenes: PeopleScenes, checkpoint: Path, config: PeopleFit, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> PlainDetector:  # fmt: skip
    """The EMA weights after `config.steps` steps on drawn windows."""
    start_training(config.seed, device, config.threads)
    module = PlainDetector(CONFIG).to(device)

    batches = numbered_batches(
        lambda number: _tensors(scenes.make(number)), steps=config.steps, batch=config.batch, seed=config.seed
    )
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.4, ema=0.995,
        checkpoint_every=120,
    )  # fmt: skip
    average = fit(module, batches, _loss, schedule, checkpoint=checkpoint, resume=resume, progress=progress)
    assert isinstance(average, PlainDetector)
    return average


def _image(scene: Scene) -> Tensor:
    return torch.from_numpy(scene.pixels).permute(2, 0, 1).float() / 255  # S S 3 -> 3 S S


def _tensors(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """Image 3 S S in 0..1, heat 1 h w, boxes 4 h w."""
    heat, target = make_targets(scene.boxes, scene.pixels.shape[0], STRIDE)
    return _image(scene), heat, target


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, PlainDetector)
    image, heat, target = batch
    logits, boxes = module.forward_logits(image)
    return detection_loss(logits, boxes, heat, target)


def search_scenes(module: PlainDetector, scenes: PeopleScenes, number: int) -> list[FoundBoxes]:
    """What the network finds in `number` windows, from a score of 0.05 on, beside what was drawn."""
    module.eval()
    found = []
    for place in range(number):
        scene = scenes.make(unseen_number(scenes.seed, place))
        with torch.inference_mode():
            maps: Sequence[NDArray[np.float32]] = [part.numpy() for part in module(_image(scene)[None])]
        peaks = decode(maps[0], maps[1], 0.05, peaks=True)
        kept = nms(peaks.boxes, peaks.scores, NMS_IOU)
        found.append(
            FoundBoxes(boxes=peaks.boxes[kept], scores=peaks.scores[kept], drawn=scene.boxes.astype(np.float64))
        )
    return found


def export(module: nn.Module, threshold: float, facts: dict[str, Any], out: Path) -> Path:
    """Write `people-finder.safetensors` (fp16), `people-finder.onnx`, check and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": DEFAULT_WEIGHTS,
        "task": "video.detect",
        "arch": "plain_detector",
        "config": asdict(CONFIG),
        "summary": "people who stand, walk or run, from eye level to surveillance height",
        "licence": "Apache-2.0 (weights); trained on drawn people in CMU motion capture poses (free for any use)",
        "status": "core",
        "preprocess": {
            "window": list(CONFIG.window), "overlap": 0.375, "smallest": SMALLEST, "nms_iou": NMS_IOU, "peaks": True,
            "share_of_frame": SHARE_OF_FRAME,
        },
        "labels": [{"value": 0, "name": "person", "threshold": threshold}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "no photograph of a person was in its training: expect misses and false boxes on posts, signs and bags",
            "people who sit, lie or are seen from straight above, and those of whom less than half shows, are missed",
            "says that somebody is there, never who; not for identifying, rating or punishing anybody",
            "not for safety: neither for machines that move among people nor for counting where a miss does harm",
        ],
    }  # fmt: skip
    return publish(module, card, out, example=window_example(CONFIG), output_names=["scores", "boxes"])
