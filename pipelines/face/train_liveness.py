"""`vitapps face train liveness`: the linear texture machine from folders of live faces and attacks, with no seed in it.

The operating point comes from logits of each source by a machine that was fitted on the others (one source: on other
subjects), since a machine's logits on its own training pictures say nothing. The weights that ship see all sources.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.presentation_attacks import Presentation, read_presentations
from vitapps.pipelines.face.liveness import LIMITS
from vitapps.pipelines.face.liveness_data import features_of
from vitapps.pipelines.face.liveness_model import OperatingPoint, fit_point
from vitapps.pipelines.face.liveness_rows import calibrated_row, foreign_row
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.scores import auc
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.progress import Progress, null_progress

NAME = "face-liveness"
PENALTY = 0.02
_FOLDS = 3


def train(data: Path, out: Path, *, threads: int = 1, progress: Progress = null_progress) -> Path:
    """Fit on all sources of `data` and write card, weights and graph to `out`; returns the card's path."""
    clock = time.monotonic()
    items = read_presentations(data)
    features = features_of(items, progress)
    live = np.array([item.live for item in items])
    unseen, groups = unseen_logits(items, features)
    names = sorted({item.source for item in items})
    point = fit_point(unseen, live, f"{', '.join(names)}: each scored by a machine of the others")
    weights, bias = fit_logistic(features, live, penalty=PENALTY)
    facts = {
        "data": f"{int(live.sum())} live faces and {int((~live).sum())} attacks of {', '.join(names)}",
        "command": "vitapps face train liveness --data DIR --out DIR",
        "hardware": training_hardware("cpu", threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": 0,
        "split": "the shipped weights have seen all sources; each score is of a machine that had not seen that source",
    }
    scores = [_score(group, unseen, live, np.array(groups)) for group in sorted(set(groups))]
    for name in names if len(names) > 1 else []:
        scores += _error_rates(items, name, unseen)
    return export(weights, bias, point, facts, scores, out)


def unseen_logits(
    items: Sequence[Presentation], features: NDArray[np.float32]
) -> tuple[NDArray[np.float64], list[str]]:
    """A logit for every picture from a machine that never saw its source (with one source: its subject), and the
    groups that were left out together. Sources that lack one of the two kinds when left out are scored all the same.
    `features` N D give N; of views V N D the machine is fitted on the first and scores all, V N."""
    sources = {item.source for item in items}
    groups = [item.source for item in items] if len(sources) > 1 else [_subject(item) for item in items]
    live = np.array([item.live for item in items])
    names = np.array(groups)
    shown = features if features.ndim == 2 else features[0]
    logits = np.zeros(features.shape[:-1])
    for name in sorted(set(groups)):
        held = names == name
        weights, bias = fit_logistic(shown[~held], live[~held], penalty=PENALTY)
        logits[..., held] = features[..., held, :] @ weights + bias
    return logits, groups


def _subject(item: Presentation) -> str:
    """Subjects in a few folds; pictures without one are divided by name."""
    return f"fold {sum((item.subject or item.path.stem).encode()) % _FOLDS}"


def _score(group: str, logits: NDArray[np.float64], live: NDArray[np.bool_], groups: NDArray[Any]) -> dict[str, Any]:
    held = groups == group
    return {
        "metric": f"AUC on {group}, never trained on",
        "value": round(auc(logits[held], live[held]), 3),
        "data": group,
        "n": int(held.sum()),
        "command": "vitapps face eval liveness --data DIR --leave-one-source-out",
    }


def _error_rates(items: Sequence[Presentation], source: str, logits: NDArray[np.float64]) -> list[dict[str, Any]]:
    """APCER and BPCER at the threshold of the other sources, and at one fitted on other people of this source."""
    rows = [foreign_row(items, source, NAME, logits, None), calibrated_row(items, source, NAME, logits)]
    found = []
    for row in rows:
        if row is not None:
            when = "after a calibration on the other half" if row.calibrated else "before calibration"
            pairs = (("APCER", row.rates.worst_apcer, row.attacks), ("BPCER", row.rates.bpcer, row.live))
            found += [
                {"metric": f"{name} on {source} {when}", "value": round(value, 3), "data": source, "n": number,
                 "command": "vitapps face eval liveness --data DIR --leave-one-source-out"}
                for name, value, number in pairs
            ]  # fmt: skip
    return found


def export(
    weights: NDArray[np.float64], bias: float, point: OperatingPoint, facts: dict[str, Any],
    scores: list[dict[str, Any]], out: Path,
) -> Path:  # fmt: skip
    """Write the card and its files to `out`."""
    import torch

    from vitapps.shared_backbones.models.linear_probe import probe_of
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": "face.liveness",
        "arch": "linear_probe",
        "config": {"features": len(weights), "outputs": 1},
        "summary": "live face or print/screen, from colour texture; scores need calibration at every site",
        "licence": "weights Apache-2.0; trained on NUAA (research, Tan et al. 2010) and replays without a licence",
        "status": "core",
        "preprocess": {"features": "pipelines/face/texture.py", "operating_point": asdict(point)},
        "labels": [{"value": 1, "name": "live", "threshold": point.live_from}],
        "training": facts,
        "scores": scores,
        "tolerance": {"bf16": False},
        "limits": [
            *LIMITS,
            "forbidden: deciding alone over people's access to money, work, borders or public services",
            "failure in pictures (print and replay called live): docs/img/face_liveness_failure.png",
        ],
    }
    example = torch.zeros(1, len(weights))
    return publish(
        probe_of(torch.from_numpy(weights).float(), bias), card, out, example=example, output_names=["logits"]
    )
