"""`vitapps video train people`: the embedded finder of people, by turns from drawn scenes and from frames of
surveillance clips in which people were marked by eye; reproducible from a seed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.sets.empty_scenes import read_empty_scenes
from vitapps.datasets.sets.mocap import read_poses
from vitapps.datasets.sets.people_in_clips import MarkedFrame, read_marked_frames
from vitapps.datasets.synth.people import PeopleScenes, Scene
from vitapps.datasets.synth.people_windows import PeopleWindows
from vitapps.errors import UsageError
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.numbered_batches import numbered_batches
from vitapps.pipelines.video.people import DEFAULT_WEIGHTS
from vitapps.pipelines.video.people_frames import LEAST, by_network, search_frames
from vitapps.pipelines.video.people_scores import average_precision, best_threshold
from vitapps.pipelines.video.two_pass import TwoPassConfig, scales_for
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.detect_loss import detection_loss, make_targets
from vitapps.shared_backbones.models.plain_detector import STRIDE, PlainDetector, PlainDetectorConfig, window_example

CONFIG = PlainDetectorConfig(window=(256, 256), stem=(16, 32, 64), dim=128, depth=4, heads=4, pyramid=(48, 64), unit=18)
POSES = "action/cmu_mocap/joints_30fps_mm.npz"
NMS_IOU = 0.5
FIGURES = 600  # drawn once, then shown again and again
SMALLEST = 24  # pixels of a person that the network sees
SHARE_OF_FRAME = 0.094  # of the frame's longer side that the smallest person has, as a rule: 72 of 768 pixels
OVERLAP = 0.375


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleFit:
    """`batch` windows a step, `rate` the highest learning rate; `threads` of a CPU: one seed gives one result for one
    number of them."""

    steps: int = 5700
    batch: int = 8
    rate: float = 1.5e-3
    seed: int = 0
    threads: int = 1


def train(
    data: Path, out: Path, *, config: PeopleFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on people drawn in poses of `data` before pictures of `data`, and on those who were marked in its clips;
    write card, weights and graph to `out` and return the card's path.

    Raises UsageError for fewer than one step, UnreadableInputError for a folder without poses or clips.
    """
    config = config or PeopleFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    scenes, marked, checked = (
        drawn_scenes(data, config.seed),
        *(read_marked_frames(data, s) for s in ("train", "checked")),
    )
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    module = fit_people(scenes, marked, out / "checkpoint.pt", config, device=device, resume=resume, progress=progress)
    minutes = round((time.monotonic() - clock) / 60, 1)
    searched = search_marked(module.cpu(), checked)
    threshold, f1 = best_threshold(searched)
    facts = {
        "data": f"{sum(len(frame.boxes) for frame in marked)} people marked by eye in {len(marked)} frames of"
        f" surveillance clips (MIT), by turns with people drawn in CMU motion capture poses ({len(scenes.figures)}"
        f" figures) before {len(scenes.backgrounds)} pictures without people (surveillance clips, MIT; DAVIS, BSD; Big"
        " Buck Bunny, CC BY 3.0) and drawn streets",
        "command": f"vitapps video train people --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f" --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, bf16=False),
        "minutes": minutes,
        "seed": config.seed,
        "split": f"by recording: three others ({len(checked)} frames) chose the threshold, where F1 is {f1:.3f}, AP50"
        f" {average_precision(searched):.3f}; seven more are for the evaluation alone",
    }
    return export(module, threshold, facts, out)


def drawn_scenes(data: Path, seed: int) -> PeopleScenes:
    """Scenes of the poses and of the pictures without people."""
    poses = read_poses(data / POSES)
    return PeopleScenes(poses=poses, backgrounds=read_empty_scenes(data), number=FIGURES, seed=seed)


def fit_people(
    scenes: PeopleScenes, marked: list[MarkedFrame], checkpoint: Path, config: PeopleFit, *, device: str = "cpu",
    resume: bool = False, progress: Progress = null_progress,
) -> PlainDetector:  # fmt: skip
    """The EMA weights after `config.steps` steps, every other window drawn."""
    start_training(config.seed, device, config.threads)
    module = PlainDetector(CONFIG).to(device)
    windows = PeopleWindows(frames=marked)

    batches = numbered_batches(
        lambda number: _tensors((windows if number % 2 else scenes).make(number)), steps=config.steps,
        batch=config.batch, seed=config.seed,
    )  # fmt: skip
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
    heat, target = make_targets(scene.boxes, scene.pixels.shape[0], STRIDE, ignored=scene.ignored)
    return _image(scene), heat, target


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, PlainDetector)
    image, heat, target = batch
    logits, boxes = module.forward_logits(image)
    return detection_loss(logits, boxes, heat, target)


def search_marked(module: PlainDetector, frames: list[MarkedFrame]) -> list[FoundBoxes]:
    """What the network finds in frames, searched as a clip's first one is, beside what was marked."""
    module.eval()

    def predict(windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:  # B 3 S S -> B 1 h w, B 4 h w
        with torch.inference_mode():
            return [part.numpy() for part in module(torch.from_numpy(windows))]

    def find(frame: MarkedFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rough, scale = scales_for(SHARE_OF_FRAME * max(frame.pixels.shape[:2]), SMALLEST)
        config = TwoPassConfig(
            window=CONFIG.window[0], thresholds=(LEAST,), overlap=OVERLAP, nms_iou=NMS_IOU, rough=rough, scale=scale
        )
        return by_network(predict, config)(frame)

    return search_frames(find, frames)


def export(module: nn.Module, threshold: float, facts: dict[str, Any], out: Path) -> Path:
    """Write `people-finder.safetensors` (fp16), `people-finder.onnx`, check and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": DEFAULT_WEIGHTS,
        "task": "video.detect",
        "arch": "plain_detector",
        "config": asdict(CONFIG),
        "summary": "people who stand, walk, run or fight, from eye level to surveillance height",
        "licence": "Apache-2.0 (weights); trained on clips (MIT) and people drawn in CMU motion capture poses (free for"
        " any use)",
        "status": "core",
        "preprocess": {
            "window": list(CONFIG.window), "overlap": OVERLAP, "smallest": SMALLEST, "nms_iou": NMS_IOU, "peaks": True,
            "share_of_frame": SHARE_OF_FRAME,
        },
        "labels": [{"value": 0, "name": "person", "threshold": threshold}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "learnt from few real people, of 17 surveillance recordings: expect misses in crowds and in the dark, and"
            " false boxes on chairs, posts and bags",
            "people who lie or are seen from straight above, and those of whom less than half shows, are missed",
            "says that somebody is there, never who; not for identifying, rating or punishing anybody",
            "not for safety: neither for machines that move among people nor for counting where a miss does harm",
        ],
    }  # fmt: skip
    return publish(module, card, out, example=window_example(CONFIG), output_names=["scores", "boxes"])
