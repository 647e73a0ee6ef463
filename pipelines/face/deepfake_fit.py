"""What both deepfake networks share: their loss, the points at which they speak, and their card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.sets.face_fakes import MarkedFace
from vitapps.pipelines.face.deepfake import LIMITS
from vitapps.pipelines.face.deepfake_band import SMALLEST, fit_on_blends
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, RangeTested
from vitapps.pipelines.face.scores import Floats
from vitapps.pipelines.runtime.fit import Batch
from vitapps.progress import Progress
from vitapps.shared_backbones.heads.hypersphere import alignment, uniformity
from vitapps.shared_backbones.models.hypersphere_vit import HypersphereViT

SPREAD = 0.1  # weight of alignment and of uniformity (S104)


def hypersphere_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy with alignment and uniformity of inputs B C *size and labels B (1: fake)."""
    assert isinstance(module, HypersphereViT)
    logits, unit = module.both(batch[0])
    value = functional.cross_entropy(logits, batch[1], label_smoothing=0.05)
    return value + SPREAD * (alignment(unit, batch[1]) + uniformity(unit))


def fake_logits(module: HypersphereViT, inputs: Floats, batch: int = 256) -> Floats:
    """Fake minus real of N C *size: the mean of each input and its mirror image."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(inputs), batch):
            part = torch.from_numpy(inputs[first : first + batch]).float()
            logits = (module(part) + module(part.flip(-1))) / 2
            found.append((logits[:, 1] - logits[:, 0]).numpy().astype(np.float64))
    return np.concatenate(found)


UNTESTED = RangeTested(smallest=SMALLEST, swap_auc=0.5, low=0.0, high=1.0, fake_from=1.0, none_below=0.0)


def on_people_held_out(
    model: DeepfakeModel, sources: Sequence[Sequence[MarkedFace]], *, pairs: int, seed: int, progress: Progress
) -> tuple[DeepfakeModel, list[dict[str, Any]]]:
    """The model with its unsure band, by blends of people never trained on, and their AUC for the card."""
    band = fit_on_blends(model, sources, pairs=pairs, only_held_out=True, seed=seed, progress=progress)
    scores = [score("AUC on blends of people never trained on, landmarks as found", band.auc, 2 * band.pairs)]
    return replace(model, tested=band.applied(model.tested)), scores


def on_swaps(model: DeepfakeModel, swaps: Path) -> tuple[RangeTested, list[dict[str, Any]]]:
    """What the model is worth on a folder of real swaps: the range tested, and the scores for the card."""
    from vitapps.pipelines.face.deepfake_eval import SWAPS, evaluate

    report = evaluate(swaps, model=model, robustness=True)
    rows = [row for row in report.rows if row.method == model.facts.name]
    every = next(row for row in rows if row.source == SWAPS)
    scores = [score(f"AUC on {row.source}{_interval(row.low, row.high)}", row.auc, row.pictures) for row in rows]
    scores += [score(f"AUC on all swaps after {name}", value, every.pictures)
               for name, value in report.robustness.items()]  # fmt: skip
    tested = replace(
        model.tested, swap_auc=round(every.auc, 3), low=round(every.low, 3), high=round(every.high, 3),
        softest=round(report.detail[0], 3), roughest=round(report.detail[1], 3),
    )  # fmt: skip
    return tested, scores


def score(metric: str, value: float, number: int) -> dict[str, Any]:
    """One line of a card."""
    return {
        "metric": metric, "value": round(value, 3), "data": "see docs/face_trust.md", "n": number,
        "command": "vitapps face eval deepfake --data DIR",
    }  # fmt: skip


def export(
    module: HypersphereViT, facts: Mapping[str, Any], preprocess: Mapping[str, Any], tested: RangeTested, out: Path
) -> Path:
    """Write card, weights and graph to `out`; `facts` are the card's own words: name, summary, training, scores, …"""
    from vitapps.shared_backbones.weights.publish import publish

    config = module.config
    card: dict[str, Any] = {
        "task": "face.deepfake",
        "arch": "hypersphere_vit",
        "config": {"vit": config.vit, "mean": list(config.mean), "std": list(config.std), "scale": config.scale},
        "status": "paper",
        "preprocess": {**preprocess, "tested": asdict(tested)},
        "labels": [{"value": 0, "name": "real"}, {"value": 1, "name": "fake", "threshold": tested.fake_from}],
        "tolerance": {"bf16": False},
        "limits": [
            *LIMITS,
            "forbidden: accusing anyone, moderating without a person, evidence in a procedure",
            "failure in pictures (blends left unsure): docs/img/face_deepfake_failure.jpg",
        ],
        **facts,
    }
    tower = config.tower()
    example = torch.zeros(1, tower.in_chans, *tower.image_size)
    return publish(module, card, out, example=example, output_names=["logits"])


def _interval(low: float, high: float) -> str:
    return ", one real video: no interval" if np.isnan(low) else f" (95 % by video: {low:.2f} to {high:.2f})"
