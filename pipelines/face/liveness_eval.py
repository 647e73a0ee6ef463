"""`vitapps face eval liveness`: ISO/IEC 30107-3 rates by source, with colour LBP and an SVM beside in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.presentation_attacks import Presentation, read_presentations
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.liveness_data import crop_of, smooth, two_features_of
from vitapps.pipelines.face.liveness_model import LivenessModel, OperatingPoint
from vitapps.pipelines.face.liveness_rows import Answers, Row, answers, calibrated_row, foreign_row
from vitapps.pipelines.face.scores import Bools, Floats
from vitapps.pipelines.face.train_liveness import unseen_logits
from vitapps.progress import Progress, null_progress

_LBP = 354  # the first features of `texture`: colour LBP of radius 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Rows of the scores, the verdicts that users get (the baseline gives none), and for the DET plot each method's
    scores and labels over all sources."""

    rows: list[Row]
    answers: list[Answers]
    curves: dict[str, tuple[Floats, Bools]]


def evaluate(
    data: Path, *, weights: str | None = None, point: OperatingPoint | None = None, leave_out: bool = False,
    network_steps: int = 0, options: RunOptions | None = None, progress: Progress = null_progress,
) -> Report:  # fmt: skip
    """Score the embedded model, or with `leave_out` machines that are fitted here, each without the source it scores.

    The baseline (colour LBP, RBF support vectors) is fitted in the same way with `leave_out`; without it there is none,
    since it would have seen what it is scored on. `network_steps`: also networks of `face train liveness-net`, trained
    here for so many steps a source, each without the source it scores. Beside each row stands the same method after a
    calibration on other people of the source.
    """
    options = options or RunOptions()
    items = read_presentations(data)
    if network_steps and not leave_out:
        raise UsageError("--network-steps without --leave-one-source-out", hint="give both, or --weights CARD")
    if leave_out and len({item.source for item in items}) < 2:
        raise UsageError("--leave-one-source-out: there is one source", hint="give a folder with several sources")
    live = np.array([item.live for item in items])
    both: dict[str, Floats] = {}  # method: logits 2 N of the faces and of the same smoothed
    baseline: dict[str, Floats] = {}
    if leave_out:
        features = two_features_of(items, progress)
        both["texture"] = unseen_logits(items, features)[0]
        baseline["colour LBP + SVM"] = _lbp_svm(items, features[0, :, :_LBP])
        if network_steps:
            both["network"] = _networks(items, network_steps, options, progress)
    else:
        model = LivenessModel.load(weights, options)
        point = point or model.point
        with progress.task("faces", total=len(items)) as task:
            found = []
            for item in items:
                crop = crop_of(item)
                found.append(model.logits([crop, smooth(crop)]))
                task.advance()
        both[model.facts.name] = np.array(found).T
    methods = {method: logits[0] for method, logits in both.items()} | baseline
    rows, said = [], []
    for source in sorted({item.source for item in items}):
        for method, logits in methods.items():
            rows.append(foreign_row(items, source, method, logits, point))
            after = calibrated_row(items, source, method, logits)
            rows += [after] if after is not None else []
        for method, pairs in both.items():
            said += answers(items, source, method, pairs, point)
    return Report(
        rows=rows, answers=said, curves={method: (logits, live) for method, logits in methods.items()}
    )  # fmt: skip


def _networks(items: Sequence[Presentation], steps: int, options: RunOptions, progress: Progress) -> Floats:
    """Logits of networks that are trained and dropped again."""
    from vitapps.pipelines.face.train_liveness_net import LivenessFit, unseen_net_logits

    config = LivenessFit(steps=steps, seed=options.seed, threads=options.threads or 1)
    with TemporaryDirectory() as folder:
        return unseen_net_logits(items, Path(folder), config, progress)


def _lbp_svm(items: Sequence[Presentation], features: NDArray[np.float32]) -> Floats:
    """Boulkenafet et al. 2016 in small: RBF support vectors on colour LBP, fitted without the source it scores."""
    from vitapps.require import require

    machine = require("sklearn.svm", extra="face", package="scikit-learn").SVC
    live = np.array([item.live for item in items])
    sources = np.array([item.source for item in items])
    logits = np.zeros(len(items))
    for source in np.unique(sources):
        held = sources == source
        fitted = machine(C=10.0, gamma="scale").fit(features[~held], live[~held])
        logits[held] = fitted.decision_function(features[held])
    return logits
