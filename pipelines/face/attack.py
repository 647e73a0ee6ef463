"""The margin search of `margin.py` on a picture's face, for one of our models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vitapps.options import RunOptions
from vitapps.pipelines.face.blend_cues import MARGIN
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, chance
from vitapps.pipelines.face.face_views import FaceReader
from vitapps.pipelines.face.liveness_model import LivenessModel
from vitapps.pipelines.face.margin import Margin, Score, find_margin


def attack(
    path: Path, name: Literal["liveness", "deepfake"], *, weights: str | None, crop: bool, queries: int,
    options: RunOptions,
) -> Margin:  # fmt: skip
    """The margin of the first face of a picture or clip at the model's own threshold."""
    score, threshold, side = _liveness(weights) if name == "liveness" else _deepfake(weights)
    views, _ = FaceReader(options, crop=crop, margin=side, frames=1).views(path)
    return find_margin(score, views[0].pixels, threshold, queries=queries, seed=options.seed)


def _liveness(weights: str | None) -> tuple[Score, float, float]:
    """Score, threshold and margin of the crop."""
    model = LivenessModel.load(weights)
    return lambda pixels: float(model.point.scores(model.logits([pixels]))[0]), model.point.live_from, 1.0


def _deepfake(weights: str | None) -> tuple[Score, float, float]:
    model = DeepfakeModel.load(weights)
    return lambda pixels: float(chance(model.logits([pixels]))[0]), model.tested.fake_from, MARGIN
