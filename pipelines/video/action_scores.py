"""Scores of clip classification, and the temperature that makes probabilities honest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.runtime.reliability import calibration_error, reliability

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionScore:
    """`accuracy` top-1, `mean_class` accuracy averaged over classes, `auc` of the second class where there are two,
    `ece` expected calibration error in ten bins; all 0..1."""

    clips: int
    accuracy: float
    mean_class: float
    auc: float | None
    ece: float

    def row(self) -> dict[str, Any]:
        """The numbers by name, rounded."""
        return {key: round(value, 4) for key, value in asdict(self).items() if value is not None}

    def card_rows(self, data: str, command: str) -> list[dict[str, Any]]:
        """For a weight card, one row a metric."""
        named = {"accuracy": self.accuracy, "AUC": self.auc, "expected calibration error": self.ece}
        return [
            {"metric": name, "value": round(value, 4), "data": data, "n": self.clips, "command": command}
            for name, value in named.items()
            if value is not None
        ]


def score_action(logits: Floats, labels: Labels) -> ActionScore:
    """Of logits N K and class indices N."""
    right = logits.argmax(axis=1) == labels
    shares = shares_of(logits)
    classes = [right[labels == label].mean() for label in np.unique(labels)]
    return ActionScore(
        clips=len(labels),
        accuracy=float(right.mean()),
        mean_class=float(np.mean(classes)),
        auc=area_under_curve(logits[:, 1] - logits[:, 0], labels) if logits.shape[1] == 2 else None,
        ece=calibration_error(reliability(shares.max(axis=1), right)),
    )


def area_under_curve(scores: Floats, labels: Labels) -> float:
    """Probability that a clip of class 1 scores above one of class 0, ties half (Mann-Whitney); nan without both."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not len(positive) or not len(negative):
        return float("nan")
    gap = positive[:, None] - negative[None]
    return float((gap > 0).mean() + 0.5 * (gap == 0).mean())


def best_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature of least negative log likelihood, among 0.3 to 5 (Guo et al. 2017, arXiv:1706.04599, eq. 9)."""
    tried = np.geomspace(0.3, 5, 60)
    losses = [-np.log(shares_of(logits / t)[np.arange(len(labels)), labels] + 1e-9).mean() for t in tried]
    return float(tried[int(np.argmin(losses))])


def shares_of(logits: NDArray[np.floating[Any]]) -> Floats:
    """Softmax over classes, N K -> N K."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
