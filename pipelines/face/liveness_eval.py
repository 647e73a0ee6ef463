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
from vitapps.pipelines.face.liveness_data import crop_of, features_of
from vitapps.pipelines.face.liveness_model import LivenessModel, OperatingPoint
from vitapps.pipelines.face.liveness_rows import Row, calibrated_row, foreign_row
from vitapps.pipelines.face.scores import Bools, Floats
from vitapps.pipelines.face.train_liveness import unseen_logits
from vitapps.progress import Progress, null_progress

_LBP = 354  # the first features of `texture`: colour LBP of radius 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Rows, and for the DET plot each method's scores and labels over all sources."""

    rows: list[Row]
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
    methods: dict[str, Floats] = {}
    if leave_out:
        features = features_of(items, progress)
        methods["texture"] = unseen_logits(items, features)[0]
        methods["colour LBP + SVM"] = _lbp_svm(items, features[:, :_LBP])
        if network_steps:
            methods["network"] = _networks(items, network_steps, options, progress)
    else:
        model = LivenessModel.load(weights, options)
        point = point or model.point
        with progress.task("faces", total=len(items)) as task:
            found = []
            for item in items:
                found.append(float(model.logits([crop_of(item)])[0]))
                task.advance()
        methods[model.facts.name] = np.array(found)
    rows = []
    for source in sorted({item.source for item in items}):
        for method, logits in methods.items():
            rows.append(foreign_row(items, source, method, logits, point))
            after = calibrated_row(items, source, method, logits)
            rows += [after] if after is not None else []
    return Report(rows=rows, curves={method: (logits, live) for method, logits in methods.items()})


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
