"""`vitapps face train deepfake`: the linear machine on blending cues, from real faces alone by self-blending.

A third of the people (by name) is held out: their self-blends choose the thresholds. Real swaps are never trained on;
where a folder of them is given, their AUC and its interval go into the card, which decides whether the model speaks.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.face_fakes import MarkedFace, read_marked
from vitapps.datasets.synth.self_blended import self_blend
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.blend_cues import MARGIN, blend_cues
from vitapps.pipelines.face.deepfake import LIMITS
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, RangeTested, chance
from vitapps.pipelines.face.face_views import cut_out
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.scores import Bools, Floats, auc
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.progress import Progress, null_progress

NAME = "face-deepfake"
PENALTY = 3.0  # by the AUC on self-blends of held-out people: 0.70, against 0.69 at 33 and 0.68 at 330
SMALLEST = 64.0  # pixels a side of a face
RARE = 0.05  # of the untouched faces called fake, and of the self-blends called without a trace
BLENDS = 2  # of each face, 10 at most


def train(
    data: Path, out: Path, *, swaps: Path | None = None, seed: int = 0, threads: int = 1,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Fit on the faces of `data` and write card, weights and graph to `out`; returns the card's path."""
    clock = time.monotonic()
    faces = [(number, face) for number, face in enumerate(read_marked(data)) if face.side >= SMALLEST]
    features, fake, people = blended_features(faces, seed, progress)
    held = np.array([sum(person.encode()) % 3 == 0 for person in people])
    if not (held.any() and (~held).any()):
        raise UnreadableInputError(f"{data}: {len(faces)} faces of too few people", hint="give faces of several people")
    weights, bias = fit_scaled(features[~held], fake[~held])
    logits = features[held] @ weights + bias
    tested = _untested(chance(logits), fake[held])
    model = DeepfakeModel(weights=weights.astype(np.float32), bias=bias, tested=tested)
    scores = [_score("AUC on self-blends of people never trained on", auc(logits, fake[held]), int(held.sum()))]
    if swaps is not None:
        tested, scores = _on_swaps(model, swaps, scores)
    facts = {
        "data": f"{len(faces)} real faces of {len(set(people))} people, each blended {BLENDS} times with itself",
        "command": f"vitapps face train deepfake --data DIR --swaps DIR --out DIR --seed {seed}",
        "hardware": training_hardware("cpu", threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": seed,
        "split": "a third of the people held out for the thresholds; real swaps never trained on",
    }
    return export(model, tested, facts, scores, out)


def blended_features(
    faces: list[tuple[int, MarkedFace]], seed: int, progress: Progress = null_progress
) -> tuple[NDArray[np.float32], Bools, list[str]]:
    """Features of each numbered face, as it is and blended, in pairs of the same later processing; labels; people."""
    found, fake, people = [], [], []
    with progress.task("self-blends", total=len(faces)) as task:
        for number, face in faces:
            crop, marks = _crop(face)
            for blend in range(BLENDS):
                plain, blended, _ = self_blend(crop, marks, seed * 1_000_003 + number * 10 + blend)
                found += [blend_cues(plain), blend_cues(blended)]
                fake += [False, True]
                people += [face.person, face.person]
            task.advance()
    return np.stack(found), np.array(fake), people


def fit_scaled(features: NDArray[np.float32], fake: Bools) -> tuple[NDArray[np.float64], float]:
    """Weights and bias for features as they are, fitted on features of deviation 1."""
    spread = features.std(axis=0) + 1e-3
    weights, bias = fit_logistic(features / spread, fake, penalty=PENALTY)
    return weights / spread, bias


def _crop(face: MarkedFace) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The face with its margin, and the landmarks in it."""
    x0, y0, x1, y1 = face.box
    corner = round((x0 + x1) / 2 - (x1 - x0) * MARGIN / 2), round((y0 + y1) / 2 - (y1 - y0) * MARGIN / 2)
    return cut_out(read_picture(face.path).pixels, face.box, MARGIN), face.landmarks - corner


def _on_swaps(
    model: DeepfakeModel, swaps: Path, scores: list[dict[str, Any]]
) -> tuple[RangeTested, list[dict[str, Any]]]:
    from vitapps.pipelines.face.deepfake_eval import evaluate

    rows = {(row.source, row.method): row for row in evaluate(swaps, model=model).rows}
    swapped = rows["all swaps", model_name(model)]
    found = [
        _score(f"AUC on {source}{_interval(row.low, row.high)}", row.auc, row.pictures)
        for (source, method), row in rows.items() if method == model_name(model)
    ]  # fmt: skip
    tested = replace(
        model.tested, swap_auc=round(swapped.auc, 3), low=round(swapped.low, 3), high=round(swapped.high, 3)
    )
    return tested, scores + found


def _untested(scores: Floats, fake: Bools) -> RangeTested:
    """The points of the unsure band from scores of people never trained on; nothing is known of real swaps yet."""
    return RangeTested(
        smallest=SMALLEST, swap_auc=0.5, low=0.0, high=1.0,
        fake_from=round(float(np.quantile(scores[~fake], 1 - RARE, method="higher")) + 1e-6, 6),
        none_below=round(float(np.quantile(scores[fake], RARE, method="lower")), 6),
    )  # fmt: skip


def _interval(low: float, high: float) -> str:
    return ", one real video: no interval" if np.isnan(low) else f" (95 % by video: {low:.2f} to {high:.2f})"


def model_name(model: DeepfakeModel) -> str:
    """The name in tables: that of the card, or of what becomes it."""
    return model.facts.name or NAME


def _score(metric: str, value: float, number: int) -> dict[str, Any]:
    return {
        "metric": metric, "value": round(value, 3), "data": "see docs/face_trust.md", "n": number,
        "command": "vitapps face eval deepfake --data DIR",
    }  # fmt: skip


def export(
    model: DeepfakeModel, tested: RangeTested, facts: dict[str, Any], scores: list[dict[str, Any]], out: Path
) -> Path:
    """Write the card and its files to `out`."""
    import torch

    from vitapps.shared_backbones.models.linear_probe import probe_of
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": "face.deepfake",
        "arch": "linear_probe",
        "config": {"features": len(model.weights), "outputs": 1},
        "summary": "traces of blending in a face, learned from self-blended real faces; no verdict while near chance",
        "licence": "weights Apache-2.0; trained on scraped faces (RMFD and others, rights unclear)",
        "status": "paper",
        "preprocess": {"features": "pipelines/face/blend_cues.py", "margin": MARGIN, "tested": asdict(tested)},
        "labels": [{"value": 1, "name": "fake", "threshold": tested.fake_from}],
        "training": facts,
        "scores": scores,
        "tolerance": {"bf16": False},
        "limits": [*LIMITS, "forbidden: accusing anyone, moderating without a person, evidence in a procedure"],
    }
    probe = probe_of(torch.from_numpy(model.weights), model.bias)
    return publish(probe, card, out, example=torch.zeros(1, len(model.weights)), output_names=["logits"])
