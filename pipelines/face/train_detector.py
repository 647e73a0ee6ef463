"""`vitapps face train detector`: the embedded face finder from marked faces on pictures without faces, from scratch."""

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

from vitapps.datasets.synth.face_composites import FaceComposites, Window
from vitapps.errors import UsageError
from vitapps.pipelines.face.detector_data import face_sets, read_backgrounds, read_sources
from vitapps.pipelines.face.find_faces import DEFAULT_WEIGHTS
from vitapps.pipelines.face.landmark_cascade import DEFAULT_WEIGHTS as LANDMARKS
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.numbered_batches import numbered_batches, unseen_number
from vitapps.pipelines.windows.boxes import decode, match, nms
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.detect_loss import detection_loss, make_targets
from vitapps.shared_backbones.models.plain_detector import STRIDE, PlainDetector, PlainDetectorConfig, window_example

CONFIG = PlainDetectorConfig(
    window=(128, 128), stem=(16, 32, 64), dim=96, depth=2, heads=4, pyramid=(48, 64), unit=18.0, points=5
)
NMS_IOU = 0.4
CHECKED = 400  # windows on which the threshold is chosen
PRECISION = 0.97  # of the boxes on those windows


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFit:
    """`batch` windows a step, `rate` the highest learning rate; `threads` of a CPU: one seed gives one result for one
    number of them."""

    steps: int = 2400
    batch: int = 16
    rate: float = 2e-3
    seed: int = 0
    threads: int = 1


def train(
    data: Path,
    out: Path,
    *,
    backgrounds: Sequence[Path] = (),
    config: DetectorFit | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Progress = null_progress,
) -> Path:
    """Train on the faces that `data` shows and write card, weights and graph to `out`; returns the card's path.

    Raises UsageError for fewer than one step, UnreadableInputError for a folder without faces or pictures.
    """
    config = config or DetectorFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    sets = face_sets(data)
    groups = [read_sources(part.shown) for part in sets]
    pictures = read_backgrounds(data, backgrounds)
    composites = FaceComposites(groups, pictures, CONFIG.window[0])
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    module = fit_detector(composites, out / "checkpoint.pt", config, device=device, resume=resume, progress=progress)
    threshold = choose_threshold(module.cpu(), composites, config.seed)
    options = " --backgrounds FOLDER" * len(backgrounds)
    facts = {
        "data": f"{sum(map(len, groups))} marked faces ({', '.join(f'{len(p.shown)} {p.name}' for p in sets)}) pasted"
        f" onto {len(pictures)} pictures without faces (datasets/synth/face_composites.py); boxes and landmarks by"
        " YuNet (Apache-2.0)",
        "command": f"vitapps face train detector --data DIR{options} --out DIR --steps {config.steps}"
        f" --batch {config.batch} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "kept back: LFW people of fold 8, a third of faces_rgb by person, NUAA subjects 0007 to 0009, every"
        " second BSDS picture; threshold chosen on fresh composites of the training faces",
    }
    return export(module, threshold, facts, out)


def fit_detector(
    composites: FaceComposites, checkpoint: Path, config: DetectorFit, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> PlainDetector:  # fmt: skip
    """The EMA weights after `config.steps` steps on composites."""
    start_training(config.seed, device, config.threads)
    module = PlainDetector(CONFIG).to(device)

    batches = numbered_batches(
        lambda number: _tensors(composites.make(number)), steps=config.steps, batch=config.batch, seed=config.seed
    )
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.4, ema=0.995,
        checkpoint_every=120,
    )  # fmt: skip
    average = fit(module, batches, _loss, schedule, checkpoint=checkpoint, resume=resume, progress=progress)
    assert isinstance(average, PlainDetector)
    return average


def _tensors(window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """Image 3 S S in 0..1, heat 1 h w, boxes and points 14 h w."""
    image = torch.from_numpy(window.pixels).permute(2, 0, 1).float() / 255  # S S 3 -> 3 S S
    heat, target = make_targets(window.boxes, window.pixels.shape[0], STRIDE, window.points)
    return image, heat, target


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, PlainDetector)
    image, heat, target = batch
    logits, boxes, points = module.forward_logits(image)
    return detection_loss(logits, boxes, heat, target, points)


def choose_threshold(module: PlainDetector, composites: FaceComposites, seed: int, number: int = CHECKED) -> float:
    """The lowest score (0.2, 0.21 … 0.8) from which `PRECISION` of the boxes on fresh composites are faces."""
    module.eval()
    scores, hits = [], []
    for place in range(number):
        window = composites.make(unseen_number(seed, place))
        with torch.inference_mode():
            maps = [part.numpy() for part in module(_tensors(window)[0][None])[:2]]
        found = decode(maps[0], maps[1], 0.2, peaks=True)
        kept = nms(found.boxes, found.scores, NMS_IOU)
        scores.append(found.scores[kept])
        hits.append(match(found.boxes[kept], found.scores[kept], window.boxes.astype(float), 0.3))
    return threshold_of_precision(np.concatenate(scores), np.concatenate(hits), PRECISION)


def threshold_of_precision(scores: NDArray[np.float64], hits: NDArray[np.bool_], wanted: float) -> float:
    """The lowest threshold on a grid with at least `wanted` precision; the highest where none has."""
    grid = np.round(np.arange(0.2, 0.801, 0.01), 2)
    precise = [hits[scores >= value].mean() >= wanted for value in grid if (scores >= value).any()]
    return float(grid[precise.index(True)]) if True in precise else float(grid[-1])


def export(module: nn.Module, threshold: float, facts: dict[str, Any], out: Path) -> Path:
    """Write `face-finder.safetensors` (fp16), `face-finder.onnx`, check and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": DEFAULT_WEIGHTS,
        "task": "face.detect",
        "arch": "plain_detector",
        "config": asdict(CONFIG),
        "summary": "faces with five landmarks, frontal to three-quarter view, plain or masked",
        "licence": "Apache-2.0 (weights); trained on research photographs (LFW, RMFD, NUAA, BSDS) that are not shipped",
        "status": "core",
        "preprocess": {
            "window": CONFIG.window[0],
            "overlap": 0.375,
            "smallest": 12,
            "nms_iou": NMS_IOU,
            "landmarks": LANDMARKS,
        },
        "labels": [{"value": 0, "name": "face", "threshold": threshold}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "profiles, faces turned by more than about 40 degrees and faces below 12 pixels are mostly missed",
            "animals, statues and drawings with eyes and a mouth may count as faces",
            "boxes follow YuNet's habit: brow to chin, ear to ear",
            "trained on few hundred colour faces, mostly East Asian, and news photographs in grey",
            "not for finding or counting people who did not agree to it",
            "failures in pictures (turned, tiny and masked faces): docs/img/face_detect_failure.jpg",
        ],
    }
    return publish(module, card, out, example=window_example(CONFIG), output_names=["scores", "boxes", "points"])
