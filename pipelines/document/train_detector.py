"""`vitapps doc train detector`: the text detector from synthetic pages alone, reproducible from a seed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture
from vitapps.datasets.synth.pages import SyntheticPage, make_page
from vitapps.datasets.synth.scenes import make_scene, on_ground
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.document.detector_targets import Sample, detector_loss, windows_of
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.text_detector import TextDetector, TextDetectorConfig, window_example

NAME = "text-detector"
SEED_STRIDE = 10_000_019  # pages of different seeds never coincide
LARGEST = 900  # pixels of a training page's sides: most of a larger one would not be looked at
SCENES = 0.25  # share of photographs of signs among the pages
GROUND = 0.15  # share of the pages that are printed on a picture or in light letters
TURNED = 0.12  # share of the pages that lie on their side or upside down, which teach the turn alone
POOL = 24  # pages whose windows wait to be drawn, so that a batch mixes many pages
MOST_GROUNDS = 300  # pictures held in memory, evenly chosen
LONGEST_GROUND = 800  # pixels
LINE_HEIGHT = 19.0  # pixels from the top of `d` to the foot of `g` at which body type is shown to the network


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFit:
    """`batch` windows a step, `windows` cut from each page, `rate` the highest learning rate; `grounds`: folders of
    pictures without writing to lay signs and pages on."""

    steps: int = 4000
    batch: int = 6
    windows: int = 12
    rate: float = 1.2e-3
    seed: int = 0
    threads: int = 1
    grounds: tuple[Path, ...] = ()


def train(
    out: Path, *, config: DetectorFit | None = None, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train and write card, weights and graph to `out`; returns the card's path."""
    config = config or DetectorFit()
    if config.steps < 1 or config.batch < 1 or config.windows < 1:
        raise UsageError(f"steps {config.steps}, batch {config.batch}, windows {config.windows}", hint="all start at 1")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    average = fit_detector(out / "checkpoint.pt", config, device=device, resume=resume, progress=progress)
    facts = {
        "data": f"{_page_of_step(config.steps, config) + POOL:,} synthetic pages and scenes (datasets/synth/pages.py,"
        " scenes.py), no scanned page",
        "command": f"vitapps doc train detector --out DIR --steps {config.steps} --batch {config.batch}"
        f" --windows {config.windows} --seed {config.seed}" + " --grounds FOLDER" * len(config.grounds),
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
    start_training(config.seed, device, config.threads)
    module = TextDetector(TextDetectorConfig()).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), cooldown=0.4, ema=0.995,
        checkpoint_every=120,
    )  # fmt: skip
    grounds = read_grounds(config.grounds)
    average = fit(
        module, lambda first: batches(first, config, grounds), _loss, schedule, checkpoint=checkpoint, resume=resume,
        progress=progress,
    )  # fmt: skip
    assert isinstance(average, TextDetector)
    return average


def read_grounds(folders: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """The pictures of some folders, grey, no side longer than 800 pixels."""
    paths: list[Path] = []
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise UnreadableInputError(f"{folder}: no pictures", hint="--grounds takes folders of pictures")
        paths += found
    grounds = []
    for path in paths[:: 1 + len(paths) // MOST_GROUNDS]:
        grey = cv2.cvtColor(read_picture(path).pixels, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, LONGEST_GROUND / max(grey.shape))
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grounds.append(np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8))
    return grounds


def batches(first: int, config: DetectorFit, grounds: Sequence[NDArray[np.uint8]] = ()) -> Iterator[Batch]:
    """The batches of step `first` and on: drawn from the windows of the last `POOL` pages, so that a page, which costs
    as much as a step of the network, serves many steps. The same for a step, whatever step is the first."""
    pool: deque[list[Sample]] = deque(maxlen=POOL)
    known = _page_of_step(first, config)
    for step in range(first, config.steps):
        newest = _page_of_step(step, config) + POOL
        pool.extend(_windows(page, config, grounds) for page in range(known, newest))
        known = newest
        rng = np.random.default_rng([config.seed, step, 2])
        drawn = rng.integers(POOL * config.windows, size=config.batch)
        samples = [pool[place // config.windows][place % config.windows] for place in drawn]
        yield tuple(torch.stack(part) for part in zip(*samples, strict=True))


def _page_of_step(step: int, config: DetectorFit) -> int:
    """How many pages have left the pool before a step: every window is drawn once on average."""
    return step * config.batch // config.windows


def _windows(number: int, config: DetectorFit, grounds: Sequence[NDArray[np.uint8]]) -> list[Sample]:
    seed = config.seed * SEED_STRIDE + number
    rng = np.random.default_rng([seed, 1])
    return list(windows_of(_some_page(seed, rng, grounds), config.windows, TextDetectorConfig().window[0], rng))


def _some_page(seed: int, rng: np.random.Generator, grounds: Sequence[NDArray[np.uint8]]) -> SyntheticPage:
    """A page or a scene."""
    if rng.random() < SCENES:
        return make_scene(seed, grounds=grounds)
    turn = int(rng.choice([90, 180, 270])) if rng.random() < TURNED else 0
    made = make_page(seed, largest=LARGEST, turn=turn)
    return replace(made, image=on_ground(made.image, grounds, rng)) if rng.random() < GROUND else made


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
            "photographs: made-up signs alone, no writing that curves or glows",
        ],
    }
    example = window_example(config)
    return publish(module, card, out, example=example, output_names=["kernel", "sides", "regions", "features"])
