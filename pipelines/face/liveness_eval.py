"""`vitapps face eval liveness`: ISO/IEC 30107-3 rates by source, with colour LBP and an SVM beside in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.presentation_attacks import Presentation, read_presentations
from vitapps.errors import UsageError
from vitapps.pipelines.face.liveness_data import features_of
from vitapps.pipelines.face.liveness_model import LivenessModel, OperatingPoint, fit_point
from vitapps.pipelines.face.scores import AttackRates, Bools, Floats, attack_rates
from vitapps.pipelines.face.train_liveness import unseen_logits
from vitapps.progress import Progress, null_progress

_LBP = 354  # the first features of `texture`: colour LBP of radius 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method on one source. `threshold` was chosen without it (the card's, or of the other sources); `unsure` share
    that gets no verdict; rates at `threshold`."""

    source: str
    method: str
    live: int
    attacks: int
    unsure: float
    rates: AttackRates


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Rows, and for the DET plot each method's scores and labels over all sources."""

    rows: list[Row]
    curves: dict[str, tuple[Floats, Bools]]


def evaluate(
    data: Path, *, weights: str | None = None, point: OperatingPoint | None = None, leave_out: bool = False,
    progress: Progress = null_progress,
) -> Report:  # fmt: skip
    """Score the embedded model, or with `leave_out` machines that are fitted here, each without the source it scores.

    The baseline (colour LBP, RBF support vectors) is fitted in the same way with `leave_out`; without it there is none,
    since it would have seen what it is scored on.
    """
    items = read_presentations(data)
    if leave_out and len({item.source for item in items}) < 2:
        raise UsageError("--leave-one-source-out: there is one source", hint="give a folder with several sources")
    features = features_of(items, progress)
    live = np.array([item.live for item in items])
    methods: dict[str, Floats] = {}
    if leave_out:
        methods["texture"] = unseen_logits(items, features)[0]
        methods["colour LBP + SVM"] = _lbp_svm(items, features[:, :_LBP])
    else:
        model = LivenessModel.load(weights)
        point = point or model.point
        methods[model.facts.name] = features.astype(np.float64) @ model.weights + model.bias
    rows = [
        _row(items, live, source, method, logits, point)
        for source in sorted({item.source for item in items}) for method, logits in methods.items()
    ]  # fmt: skip
    return Report(rows=rows, curves={method: (logits, live) for method, logits in methods.items()})


def _row(
    items: Sequence[Presentation], live: Bools, source: str, method: str, logits: Floats, point: OperatingPoint | None
) -> Row:
    """The operating point is `point`, or one fitted on the other sources' logits."""
    held = np.array([item.source == source for item in items])
    used = point or fit_point(logits[~held], live[~held], "the other sources")
    scores = used.scores(logits[held])
    middle = (used.live_from + used.spoof_below) / 2
    species = [item.species for item in items if item.source == source]
    return Row(
        source=source, method=method, live=int(live[held].sum()), attacks=int((~live[held]).sum()),
        unsure=float(((scores >= used.spoof_below) & (scores < used.live_from)).mean()),
        rates=attack_rates(scores, live[held], species, middle),
    )  # fmt: skip


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
