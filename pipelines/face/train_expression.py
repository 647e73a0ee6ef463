"""`vitapps face train expression`: axes, kernel machine and subspace from FER2013's training pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.expressions import read_expressions
from vitapps.pipelines.face.array_card import write_arrays
from vitapps.pipelines.face.expression_features import crop_landmarks, framed
from vitapps.pipelines.face.expression_model import (
    DEFAULT_WEIGHTS,
    LABELS,
    PARTS,
    ExpressionModel,
    KernelMachine,
    arrays_of,
    both_ways,
    kernel,
    likely,
)
from vitapps.pipelines.face.face_subspace import fit_subspace
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade
from vitapps.pipelines.face.principal import principal_axes
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.progress import Progress, null_progress

FOLDS = 4
TEMPERATURES = np.geomspace(0.05, 2, 30)
Rows = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpressionFit:
    """`principal` axes of each descriptor, `floor` of an axis's variance against the first; `ridge`; `gamma` over the
    median squared length of a row; `axes` of the subspace."""

    principal: int = 60
    floor: float = 1e-3
    ridge: float = 0.3
    gamma: float = 0.6
    axes: int = 60


def train(
    data: Path, out: Path, *, seed: int = 0, config: ExpressionFit | None = None, progress: Progress = null_progress
) -> Path:
    """Fit on `data`/expression/fer2013/train and write card and arrays to `out`; returns the card's path."""
    config = config or ExpressionFit()
    clock = time.monotonic()
    faces, labels = read_faces(data / "expression" / "fer2013" / "train", progress)
    with progress.task("describing faces", total=len(faces)) as task:
        rows = []
        for face in faces:
            rows.append(both_ways(face))
            task.advance()
    described = np.stack(rows)  # n 2 D
    temperature, accuracy = _seen_by_others(described, labels, config, seed)
    model = ExpressionModel(
        machine=fit_machine(described, labels, config), temperature=temperature,
        subspace=fit_subspace(faces, config.axes), facts=NetworkFacts(name=DEFAULT_WEIGHTS),
    )  # fmt: skip
    facts = {
        "data": f"{len(faces)} faces of FER2013's training part, and their mirror images",
        "command": f"vitapps face train expression --data DIR --out DIR --seed {seed}",
        "hardware": training_hardware("cpu", 1),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": seed,
        "split": f"FER2013's own; {accuracy:.3f} right in four folds of the training faces",
    }
    return export(model, facts, out)


def read_faces(folder: Path, progress: Progress = null_progress) -> tuple[list[Pixels], Ints]:
    """Framed faces and the numbers of their labels."""
    cascade = LandmarkCascade.load()
    faces, labels = [], []
    pictures = read_expressions(folder, LABELS)
    with progress.task("framing faces", total=len(pictures)) as task:
        for path, label in pictures:
            faces.append(framed(*crop_landmarks(read_picture(path).pixels, cascade)))
            labels.append(label)
            task.advance()
    return faces, np.array(labels, np.int64)


def fit_machine(rows: Rows, labels: Ints, config: ExpressionFit) -> KernelMachine:
    """From descriptors n 2 D of faces and their mirror images, which are supports both."""
    flat = rows.reshape(-1, rows.shape[2])
    axes = {}
    for part, block in zip(PARTS, np.split(flat, np.cumsum(list(PARTS.values()))[:-1], axis=1), strict=True):
        mean = block.mean(axis=0)
        axes[part] = mean, principal_axes(block - mean, config.principal, 0, config.floor)
    empty = np.zeros((0, 0), np.float32)
    plain = KernelMachine(axes=axes, support=empty, weights=empty, bias=empty, gamma=1.0)
    support = plain.project(flat)
    goals = np.repeat(2.0 * np.eye(len(LABELS))[labels] - 1, 2, axis=0)  # 2n 7
    gamma = config.gamma / float(np.median((support**2).sum(axis=1)))
    square = kernel(support, support, gamma).astype(np.float64)
    square[np.diag_indices_from(square)] += config.ridge
    bias = goals.mean(axis=0)
    weights = np.linalg.solve(square, goals - bias)
    return KernelMachine(
        axes=axes, support=support, weights=weights.astype(np.float32), bias=bias.astype(np.float32), gamma=gamma
    )


def _seen_by_others(rows: Rows, labels: Ints, config: ExpressionFit, seed: int) -> tuple[float, float]:
    """The temperature of the least cross entropy, and the accuracy, on folds that the fit did not see."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    scores = np.zeros((len(labels), len(LABELS)))
    for number in range(FOLDS):
        kept = fold == number
        machine = fit_machine(rows[~kept], labels[~kept], config)
        scores[kept] = machine.scores(rows[kept].reshape(-1, rows.shape[2])).reshape(-1, 2, len(LABELS)).mean(axis=1)
    own = np.arange(len(labels)), labels
    losses = [-np.log(likely(scores, value)[own] + 1e-12).mean() for value in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))]), float((scores.argmax(axis=1) == labels).mean())


def export(model: ExpressionModel, facts: Mapping[str, Any], out: Path) -> Path:
    """Write `face-expression.safetensors` and `face-expression.toml` to `out`."""
    machine = model.machine
    card = {
        "name": DEFAULT_WEIGHTS,
        "task": "face.expression",
        "arch": "kernel_machine",
        "config": {"support": len(machine.support), "dim": machine.support.shape[1]},
        "summary": "seven expressions of a face, and which of its parts are covered",
        "licence": "Apache-2.0 (weights); fitted on FER2013 (ODbL), which is not shipped",
        "preprocess": {"gamma": machine.gamma, "temperature": model.temperature, "noise": model.subspace.noise},
        "labels": [{"value": number, "name": name} for number, name in enumerate(LABELS)],
        "training": dict(facts),
        "limits": [
            "wrong for more than every second face: for sorting one's own pictures, and for nothing that matters",
            "an expression is not an emotion; labels are those of crowd workers on searched-for pictures",
            "not for hiring, teaching, policing or border control",
            "--occlusion-aware does not help on FER2013: covered parts are told from others no better than by chance",
            "failures in pictures (speaking is angry, earnest is sad): docs/img/face_expression_failure.jpg",
        ],
        "status": "paper",
    }
    return write_arrays(card, arrays_of(model), out)
