"""`vitapps video eval action`: the recipe of `train action` on unseen sources, beside HOG and flow features."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.action_lists import LabelledClip, group_folds, read_list
from vitapps.pipelines.video.action_scores import ActionScore, best_temperature, score_action
from vitapps.pipelines.video.motion_descriptor import small_grey
from vitapps.pipelines.video.train_action import ActionFit, Described, cross_validate, describe_clips
from vitapps.progress import Progress, null_progress
from vitapps.require import require

OURS, BASELINE, LEAK = "vitapps", "HOG + flow, random forest", "one frame, HOG, logistic"
MOVES = "flow alone, random forest"  # what `vitapps` sees
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A method's score over all clips, each judged by a fold that has not seen its source."""

    method: str
    score: ActionScore

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        return {"method": self.method, **self.score.row()}


def evaluate(
    clips: Path, *, root: Path | None = None, config: ActionFit | None = None, device: str = "cpu",
    progress: Progress = null_progress,
) -> list[Row]:  # fmt: skip
    """Rows of our recipe, a forest on the same motion, on motion and looks, and what one frame alone gives away of the
    place."""
    config = config or ActionFit()
    listed = read_list(clips, root)
    names = sorted({clip.label for clip in listed})
    data = describe_clips(listed, names, progress)
    with tempfile.TemporaryDirectory() as folder:
        logits, labels = cross_validate(listed, data, len(names), Path(folder), config, device)
    rows = [Row(method=OURS, score=score_action(logits / best_temperature(logits, labels), labels))]
    looks = np.stack([_hog(clip) for clip in listed])
    moves = np.stack([_summary(item) for item in data])
    ensemble = require("sklearn.ensemble", extra="train", package="scikit-learn")
    linear = require("sklearn.linear_model", extra="train", package="scikit-learn")
    folds = group_folds(listed, config.folds)
    forest = ensemble.RandomForestClassifier(300, min_samples_leaf=2, random_state=config.seed)
    rows.append(_row(MOVES, forest, moves, labels, folds))
    rows.append(_row(BASELINE, forest, np.concatenate([looks, moves], axis=1), labels, folds))
    rows.append(_row(LEAK, linear.LogisticRegression(C=0.1, max_iter=300), looks, labels, folds))
    return rows


def _row(method: str, model: Any, features: Floats, labels: NDArray[np.int64], folds: Sequence[Sequence[int]]) -> Row:
    logits = np.zeros((len(labels), int(labels.max()) + 1), np.float32)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(labels)), fold)
        mean, spread = features[rest].mean(axis=0), features[rest].std(axis=0) + 1e-6
        model.fit((features[rest] - mean) / spread, labels[rest])
        logits[fold] = np.log(model.predict_proba((features[fold] - mean) / spread) + 1e-6)
    return Row(method=method, score=score_action(logits, labels))


def _summary(item: Described) -> Floats:
    """Mean, deviation and high quantile of each descriptor, and its mean change from step to step."""
    steps = item.windows.transpose(0, 2, 1).reshape(-1, item.windows.shape[1])  # W C T -> W*T C
    change = np.abs(np.diff(item.windows, axis=2)).mean(axis=(0, 2))
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0), np.quantile(steps, 0.9, axis=0), change])


def _hog(clip: LabelledClip) -> Floats:
    """Histograms of gradients of the middle frame (Dalal and Triggs 2005): 8 x 8 cells, 9 unsigned directions."""
    with closing(open_clip(clip.path)) as frames:
        grey = [small_grey(frame.pixels) for frame in frames.frames(stride=4)]
    middle = grey[len(grey) // 2].astype(np.float32)
    across, down = cv2.Sobel(middle, cv2.CV_32F, 1, 0), cv2.Sobel(middle, cv2.CV_32F, 0, 1)
    strength, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi
    bins = [strength * (np.floor(angle / np.pi * 9) == place) for place in range(9)]
    cells = np.stack([cv2.resize(part, (8, 8), interpolation=cv2.INTER_AREA) for part in bins])  # 9 8 8
    length = np.linalg.norm(cells, axis=0, keepdims=True)
    return np.asarray(cells / (length + 1), np.float32).reshape(-1)
