"""`vitapps video probe`: how good frozen features are for your classes (TWLV-I, arXiv:2408.11318, section 4).

Every clip of both lists is embedded under the one sampling rule of its network; a logistic regression on the mean of
its windows is fitted on the first list and scored on the second. Sources that stand in both lists are told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.action_lists import LabelledClip, read_list
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS, ActionModel, load_action_model
from vitapps.pipelines.video.action_scores import ActionScore, score_action
from vitapps.pipelines.video.windows import look
from vitapps.progress import Progress, Task, null_progress
from vitapps.require import require

log = logging.getLogger("vitapps.video")
Floats = NDArray[np.float32]
_STRENGTHS = np.geomspace(1e-3, 10, 5)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """`shared_sources`: groups (or files) that stand in both lists: above 0 the score is too good."""

    classes: list[str]
    train_clips: int
    score: ActionScore
    shared_sources: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def probe(
    train: Path, test: Path, *, root: Path | None = None, weights: str = DEFAULT_WEIGHTS,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> ProbeResult:  # fmt: skip
    """Fit on the clips of the list `train`, score on those of `test`. Raises UsageError where the classes differ."""
    linear = require("sklearn.linear_model", extra="train", package="scikit-learn")
    shown, held = read_list(train, root), read_list(test, root)
    names = sorted({clip.label for clip in shown})
    strange = sorted({clip.label for clip in held} - set(names))
    if strange or len(names) < 2:
        what = f"class {strange[0]} of {test} is not in {train}" if strange else f"{train}: one class only"
        raise UsageError(what, hint="both lists need the same two classes or more")
    shared = {clip.group for clip in shown} & {clip.group for clip in held} - {""}
    if shared:
        log.warning("%d sources stand in both lists: the score is too good", len(shared))
    model = load_action_model(weights, options or RunOptions())
    with progress.task("embedding clips", total=len(shown) + len(held)) as task:
        features, unseen = (_embedded(clips, model, task) for clips in (shown, held))
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    labels, truth = (np.array([names.index(clip.label) for clip in clips]) for clips in (shown, held))
    fewest = int(np.bincount(labels).min())
    if fewest >= 2:
        fitted = linear.LogisticRegressionCV(Cs=_STRENGTHS, cv=min(5, fewest), max_iter=500)
    else:
        fitted = linear.LogisticRegression(C=0.1, max_iter=500)
    fitted.fit((features - mean) / spread, labels)
    logits = np.log(fitted.predict_proba((unseen - mean) / spread) + 1e-9).astype(np.float32)
    return ProbeResult(
        classes=names, train_clips=len(shown), score=score_action(logits, truth), shared_sources=len(shared)
    )  # fmt: skip


def _embedded(clips: Sequence[LabelledClip], model: ActionModel, task: Task) -> Floats:
    """The mean over windows of each clip's embedding: N D."""
    found = []
    for item in clips:
        with closing(open_clip(item.path)) as clip:
            windows = [window.embedding for window in look(clip.frames(), model, name=str(item.path))]
        found.append(np.mean(windows, axis=0))
        task.advance()
    return np.stack(found)
