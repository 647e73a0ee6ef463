"""The margin search of `margin.py` on a picture's face, for one of our models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.deepfake import MARGIN
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, chance
from vitapps.pipelines.face.face_views import FaceReader, FaceView
from vitapps.pipelines.face.liveness_model import LivenessModel
from vitapps.pipelines.face.margin import Margin, Score, find_margin
from vitapps.pipelines.face.verify import Recogniser

ModelName = Literal["liveness", "deepfake", "embed"]
Target = tuple[Score, NDArray[np.uint8], float]  # what is attacked, the face it starts from, the threshold


def attack(
    path: Path, name: ModelName, *, weights: str | None, crop: bool, queries: int, options: RunOptions,
    against: Path | None = None, patches: bool = False,
) -> Margin:  # fmt: skip
    """The margin of the first face of a picture or clip at the model's own threshold; for "embed" that of the decision
    whether it shows the person of the picture `against`. `patches`: of a sticker in place of faint changes."""
    if (against is None) == (name == "embed"):
        raise UsageError("--against goes with --model embed, and only there", hint="give the other person's picture")
    if against is not None:
        score, face, threshold = _embed_target(path, against, weights, options)
    else:
        search = liveness_target if name == "liveness" else deepfake_target
        score, face, threshold = search(path, weights, crop, options)
    return find_margin(score, face, threshold, queries=queries, seed=options.seed, patches=patches)


def _embed_target(path: Path, against: Path, weights: str | None, options: RunOptions) -> Target:
    """The similarity to the other picture as score of aligned crops, the crop to change, and the threshold at one false
    match in a hundred."""
    recogniser = Recogniser.load(weights, options)
    point = recogniser.embedder.point(0.01)
    if point is None:
        raise UsageError(f"no threshold was measured for {recogniser.embedder.facts.name}", hint="use an own card")
    other = recogniser.template(against).vector
    crop = recogniser.crop(read_picture(path).pixels, recogniser.template(path).face)
    return lambda pixels: float(recogniser.embedder.embed([pixels])[0] @ other), crop, point.threshold


def liveness_target(path: Path, weights: str | None, crop: bool, options: RunOptions) -> Target:
    """The live score of a face cut out of the picture."""
    model = LivenessModel.load(weights, options)
    view = _face_of(path, FaceReader(options, crop=crop, frames=1))
    return lambda pixels: float(model.point.scores(model.logits([pixels]))[0]), view.pixels, model.point.live_from


def deepfake_target(path: Path, weights: str | None, crop: bool, options: RunOptions) -> Target:
    """The fake score of an aligned face."""
    model = DeepfakeModel.load(weights, options)
    view = _face_of(path, FaceReader(options, crop=crop, margin=MARGIN, frames=1, marks=True))
    face = view.aligned(model.size)
    return lambda pixels: float(chance(model.logits([pixels]))[0]), face, model.tested.fake_from


def _face_of(path: Path, reader: FaceReader) -> FaceView:
    """The first face of an input; UnreadableInputError where there is none to attack."""
    view = reader.views(path)[0][0]
    if view.missed:
        raise UnreadableInputError(f"{path}: no face found", hint="give a face, or --crop for one that is cut out")
    return view
