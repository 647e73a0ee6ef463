"""`vitapps video probe`: how good frozen features are for your classes (TWLV-I, arXiv:2408.11318, section 4).

Every clip of both lists is seen under the one sampling rule of its network. Three protocols: a logistic regression or
the nearest neighbours on the mean of its windows' embeddings, or a learned query over their tokens (`attentive_probe`).
`direction` asks another question of the same clips: does it run forwards or backwards? Features of single frames,
however good, answer it no better than chance, so it tells what a network knows of motion. Sources that stand in both
lists are told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.action_lists import LabelledClip, read_list
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS, load_action_model
from vitapps.pipelines.video.action_scores import ActionScore, score_action
from vitapps.pipelines.video.clip_input import ClipInput
from vitapps.pipelines.video.clip_sampling import Windows
from vitapps.progress import Progress, Task, null_progress
from vitapps.require import require

CARD = {
    "id": "S007",
    "name": "probe",
    "family": "video",
    "paper": "Lee et al. 2024, TWLV-I, arXiv:2408.11318",
    "equation": "section 4 (linear, attentive and nearest-neighbour probes under one sampling rule for all networks)",
    "deviations": "motion is asked for by the direction of time (`--ask direction`), not by pairs of data sets; no "
    "temporal detection; no published network was at hand, so none of its figures is reproduced",
    "slots": [],
    "cost": "one pass of the network a window; then a regression on N embeddings",
    "status": "paper",
}
log = logging.getLogger("vitapps.video")
Protocol = Literal["linear", "knn", "attentive"]
Question = Literal["labels", "direction"]
Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Views = Callable[[Floats], Floats]
WAYS = ("forwards", "backwards")
_STRENGTHS = np.geomspace(1e-3, 10, 5)
_NEIGHBOURS = 10
_LONGEST = 512  # frames of a clip that are looked at
_MOST_WINDOWS = 4  # of a clip, for tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """`protocol` of the classifier, and what is asked of it."""

    protocol: Protocol = "linear"
    question: Question = "labels"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """`shared_sources`: groups (or files) that stand in both lists: above 0 the score is too good."""

    protocol: Protocol
    classes: list[str]
    train_clips: int
    score: ActionScore
    shared_sources: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def probe(
    train: Path, test: Path, *, root: Path | None = None, weights: str = DEFAULT_WEIGHTS,
    settings: ProbeSettings | None = None, options: RunOptions | None = None, progress: Progress = null_progress,
) -> ProbeResult:  # fmt: skip
    """Fit on the clips of the list `train`, score on those of `test`. Raises UsageError where the classes differ."""
    settings, options = settings or ProbeSettings(), options or RunOptions()
    shown, held = read_list(train, root), read_list(test, root)
    names = _classes(shown, held, train, test) if settings.question == "labels" else list(WAYS)
    shared = {clip.group for clip in shown} & {clip.group for clip in held} - {""}
    if shared:
        log.warning("%d sources stand in both lists: the score is too good", len(shared))
    seen, features = _features(weights, settings, options)
    with progress.task("looking at clips", total=len(shown) + len(held)) as task:
        known, labels = _described(shown, names, settings, seen, features, task)
        asked, truth = _described(held, names, settings, seen, features, task)
    logits = _PROTOCOLS[settings.protocol](known, labels, asked, len(names), options.seed)
    return ProbeResult(
        protocol=settings.protocol, classes=names, train_clips=len(shown), score=score_action(logits, truth),
        shared_sources=len(shared),
    )  # fmt: skip


def _classes(shown: Sequence[LabelledClip], held: Sequence[LabelledClip], train: Path, test: Path) -> list[str]:
    names = sorted({clip.label for clip in shown})
    strange = sorted({clip.label for clip in held} - set(names))
    if strange or len(names) < 2:
        what = f"class {strange[0]} of {test} is not in {train}" if strange else f"{train}: one class only"
        raise UsageError(what, hint="both lists need the same two classes or more")
    return names


def _features(weights: str, settings: ProbeSettings, options: RunOptions) -> tuple[ClipInput, Views]:
    """What the network sees, and what a window's views V C *size give: the mean of their tokens N C, or 1 C."""
    model = load_action_model(weights, options)
    if settings.protocol != "attentive":
        return model.input, lambda views: model.predict(views)[1].mean(axis=0, keepdims=True)
    require("torch", extra="train")
    from vitapps.pipelines.video.attentive_probe import clip_tokens

    tokens = clip_tokens(weights, options)
    return model.input, lambda views: tokens(views).mean(axis=0)


def _described(
    clips: Sequence[LabelledClip], names: Sequence[str], settings: ProbeSettings, seen: ClipInput, features: Views,
    task: Task,
) -> tuple[list[Floats], Labels]:  # fmt: skip
    """(windows W N C of every clip, class indices); for `direction` every clip comes twice, the second backwards."""
    found, labels = [], []
    for item in clips:
        with closing(open_clip(item.path)) as clip:
            frames = [seen.shrink(frame.pixels) for frame in islice(clip.frames(), _LONGEST)]
        if not frames:
            raise UnreadableInputError(f"{item.path}: no frame", hint="leave it out of the list")
        played = [(frames, item.label)]
        if settings.question == "direction":
            played = [(frames, WAYS[0]), (frames[::-1], WAYS[1])]
        for order, label in played:
            walk: Windows[NDArray[np.uint8]] = Windows(seen.rule)
            windows = [pictures for _, _, pictures in walk.over(order)]
            if settings.protocol == "attentive":
                places = np.linspace(0, len(windows) - 1, min(len(windows), _MOST_WINDOWS)).round().astype(int)
                windows = [windows[place] for place in places]
            found.append(np.stack([features(seen.views(pictures, 1)) for pictures in windows]))
            labels.append(names.index(label))
        task.advance()
    return found, np.array(labels)


def _linear(known: list[Floats], labels: Labels, asked: list[Floats], classes: int, seed: int) -> Floats:
    """Logistic regression, its strength by cross-validation on the known clips."""
    linear = require("sklearn.linear_model", extra="train", package="scikit-learn")
    features, unseen = _means(known), _means(asked)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    fewest = int(np.bincount(labels).min())
    if fewest >= 2:
        fitted = linear.LogisticRegressionCV(Cs=_STRENGTHS, cv=min(5, fewest), max_iter=500)
    else:
        fitted = linear.LogisticRegression(C=0.1, max_iter=500)
    fitted.fit((features - mean) / spread, labels)
    return np.asarray(np.log(fitted.predict_proba((unseen - mean) / spread) + 1e-9), np.float32)


def _knn(known: list[Floats], labels: Labels, asked: list[Floats], classes: int, seed: int) -> Floats:
    """Votes of the nearest by cosine, weighed by exp(cosine / 0.07) (Wu et al. 2018, arXiv:1805.01978, section 3.4)."""
    features, unseen = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (_means(known), _means(asked)))
    alike = unseen @ features.T  # asked known
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(labels))]
    weights = np.exp(np.take_along_axis(alike, nearest, axis=1) / 0.07 - 1 / 0.07)
    votes = np.stack([(weights * (labels[nearest] == label)).sum(axis=1) for label in range(classes)], axis=1)
    return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True) + 1e-6), np.float32)


def _attentive(known: list[Floats], labels: Labels, asked: list[Floats], classes: int, seed: int) -> Floats:
    from vitapps.pipelines.video.attentive_probe import ProbeFit, fit_probe, tell

    return tell(fit_probe(known, labels, classes, ProbeFit(seed=seed)), asked)


def _means(clips: Sequence[Floats]) -> Floats:
    """W 1 C of every clip -> N C."""
    return np.stack([windows.mean(axis=(0, 1)) for windows in clips])


_PROTOCOLS = {"linear": _linear, "knn": _knn, "attentive": _attentive}
