"""`vitapps face train landmarks`: the cascade that brings landmarks closer, by ridge regression stage after stage.

Every sample is a marked face with another light, blur, size and, now and then, something in front of it
(`datasets/synth/`), whose landmarks are off by a random similarity and by noise of each point, as those of a detector
are. A stage is fitted on what the stages before it leave of that (Xiong and De la Torre 2013, eq. 13).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from vitapps.datasets.synth.face_composites import Source, occlude
from vitapps.datasets.synth.photo_faults import disturb, recolour
from vitapps.errors import UsageError
from vitapps.pipelines.face.align import inverse, moved
from vitapps.pipelines.face.array_card import write_arrays
from vitapps.pipelines.face.detector_data import face_sets, read_sources
from vitapps.pipelines.face.faces import LANDMARKS, Floats, Pixels
from vitapps.pipelines.face.landmark_cascade import DEFAULT_WEIGHTS, LandmarkCascade, Row, Stage, features, upright
from vitapps.pipelines.face.start_error import StartError
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.progress import Progress, null_progress

SEED_STRIDE = 10_000_019  # samples of different seeds never coincide


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeFit:
    """`samples` a stage; `ridge` on the weights; `occluded` share of the samples; `start` errors of the points."""

    samples: int = 20000
    stages: int = 3
    ridge: float = 100.0
    occluded: float = 0.15
    start: StartError = field(default_factory=StartError)
    seed: int = 0


def train(
    data: Path, out: Path, *, config: CascadeFit | None = None, progress: Progress = null_progress
) -> Path:  # fmt: skip
    """Fit on the faces that `data` shows and write card and arrays to `out`; returns the card's path."""
    config = config or CascadeFit()
    if config.samples < 1 or config.stages < 1:
        raise UsageError(f"{config.samples} samples, {config.stages} stages: both start at 1", hint="raise them")
    sets = face_sets(data)
    clock = time.monotonic()
    cascade = fit_cascade(Samples([read_sources(part.shown) for part in sets], config), progress)
    facts = {
        "data": ", ".join(f"{len(part.shown)} {part.name}" for part in sets)
        + ", in other light, blur and size, some occluded; landmarks by YuNet (Apache-2.0)",
        "command": f"vitapps face train landmarks --data DIR --out DIR --samples {config.samples} --seed {config.seed}",
        "hardware": training_hardware("cpu", 1),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "that of face-finder: LFW people of fold 8, a third of faces_rgb by person and NUAA subjects 0007 to"
        " 0009 are kept back",
    }
    return export(cascade, facts, out)


def export(cascade: LandmarkCascade, facts: dict[str, Any], out: Path) -> Path:
    """Write `face-points.safetensors` (matrices as halves) and `face-points.toml` to `out`."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, stage in enumerate(cascade.stages):
        arrays |= {f"{number}.matrix": stage.matrix.astype(np.float16), f"{number}.bias": stage.bias}
    card = {
        "name": DEFAULT_WEIGHTS,
        "task": "face.landmarks",
        "arch": "cascade",
        "config": {"stages": len(cascade.stages), "features": len(cascade.stages[0].matrix)},
        "summary": "brings the five landmarks of a found face closer",
        "licence": "Apache-2.0 (weights); fitted on research photographs (LFW, RMFD, NUAA) that are not shipped",
        "labels": [{"value": number, "name": name} for number, name in enumerate(LANDMARKS)],
        "training": facts,
        "limits": [
            "landmarks under a mask, a hand or dark glasses are guesses",
            "starts from a detector's landmarks and does not find a face by itself",
            "truth is another detector's: habits of YuNet are learnt, and its errors",
            "not for judging anybody by the shape of a face; failure in a picture (a masked face):"
            " docs/img/face_detect_failure.jpg",
        ],
        "status": "core",
    }
    return write_arrays(card, arrays, out)


@dataclass(frozen=True, slots=True)
class Samples:
    """`make(n)`: picture, true points and points as a detector would give them, the same on every call."""

    groups: Sequence[Sequence[Source]]
    config: CascadeFit

    def make(self, number: int) -> tuple[Pixels, Floats, Floats]:
        """H W 3, 5 2, 5 2."""
        config = self.config
        rng = np.random.default_rng(config.seed * SEED_STRIDE + number)
        share = np.array([len(group) for group in self.groups]) ** 0.5
        group = self.groups[int(rng.choice(len(self.groups), p=share / share.sum()))]
        source = group[int(rng.integers(len(group)))]
        pixels = recolour(source.pixels, rng)
        if rng.random() < config.occluded:
            pixels = occlude(pixels, source, rng)
        pixels, truth = _resized(pixels, source.points.astype(float), rng)
        eyes = float(np.hypot(*(truth[1] - truth[0])))
        return disturb(pixels, rng, 2.2 * eyes), truth, config.start.applied(truth, rng)


def _resized(pixels: Pixels, points: Floats, rng: np.random.Generator) -> tuple[Pixels, Floats]:
    """The picture so small that its eyes are 6 pixels apart or more, at most as large as it is."""
    eyes = float(np.hypot(*(points[1] - points[0])))
    scale = float(np.exp(rng.uniform(np.log(min(1.0, 6 / eyes)), 0))) if rng.random() < 0.5 else 1.0
    size = tuple(max(8, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, points * (np.array(size) / [pixels.shape[1], pixels.shape[0]])


def fit_cascade(samples: Samples, progress: Progress = null_progress) -> LandmarkCascade:
    """Fit the stages one after another."""
    config = samples.config
    stages: list[Stage] = []
    current: list[Floats] = []  # where the stages so far have brought the points of every sample
    with progress.task("fitting landmarks", total=config.samples * config.stages) as task:
        for _ in range(config.stages):
            seen = []
            for number in range(config.samples):
                pixels, truth, start = samples.make(number)
                crop, points, back = upright(pixels, current[number] if stages else start)
                seen.append((features(crop, points), moved(truth, inverse(back)) - points, points, back))
                task.advance()
            rows = np.stack([each[0] for each in seen])
            stage = _ridge(rows, np.stack([each[1].ravel() for each in seen]), config.ridge)
            stages.append(stage)
            shifts = (rows @ stage.matrix + stage.bias).reshape(-1, 5, 2)
            current = [moved(points + shift, back) for (_, _, points, back), shift in zip(seen, shifts, strict=True)]
    return LandmarkCascade(stages=tuple(stages), facts=NetworkFacts(name=DEFAULT_WEIGHTS))


def _ridge(rows: Row, goals: Floats, ridge: float) -> Stage:
    """Least squares from rows n D to goals n 10 with `ridge` on the weights of centred rows."""
    mean, middle = rows.mean(axis=0), goals.mean(axis=0)
    centred = rows - mean
    square = (centred.T @ centred).astype(np.float64)
    square[np.diag_indices_from(square)] += ridge
    weights = linalg.solve(square, centred.T.astype(np.float64) @ (goals - middle), assume_a="pos", overwrite_a=True)
    matrix = weights.astype(np.float16).astype(np.float32)  # as the file holds it
    return Stage(matrix, (middle - mean @ matrix).astype(np.float32))
