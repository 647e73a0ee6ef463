"""The liveness model: texture features, a linear kernel machine, and the points at which it speaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.face.calibration_file import calibration_table, toml_text
from vitapps.pipelines.face.linear_card import read_linear
from vitapps.pipelines.face.liveness_data import as_input, face_of
from vitapps.pipelines.face.scores import Bools, Floats
from vitapps.pipelines.face.texture import texture
from vitapps.pipelines.face.unsure_band import fit_band
from vitapps.pipelines.runtime.network_facts import NetworkFacts

if TYPE_CHECKING:
    from vitapps.shared_backbones.weights.cards import Card

DEFAULT_WEIGHTS = "face-liveness"
Verdict = Literal["live", "spoof", "unsure"]
TARGET = 0.05  # error rate of each kind that the two thresholds allow on the data of the calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """`score = 1 / (1 + exp(-slope (logit - offset)))`; live from `live_from` up, spoof below `spoof_below`, between
    them unsure. Live also asks `smoothed_from` of the smoothed face's score, nan: `live_from`. `source`: the data it
    was fitted on."""

    slope: float
    offset: float
    live_from: float
    spoof_below: float
    source: str
    smoothed_from: float = math.nan

    def scores(self, logits: Floats) -> Floats:
        """Logits -> 0..1, 1 is live."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * (logits - self.offset)).clip(-60, 60))))

    def verdict(self, score: float, smoothed: float = 1.0) -> Verdict:
        """Of a face's score and that of the same face `smoothed`: live only if both say so."""
        if score >= self.live_from:
            least = self.live_from if math.isnan(self.smoothed_from) else self.smoothed_from
            return "live" if smoothed >= least else "unsure"
        return "spoof" if score < self.spoof_below else "unsure"


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessModel:
    """`logits`: crops H W 3 -> one logit each, positive is live; `point` where the model was calibrated."""

    logits: Callable[[Sequence[NDArray[np.uint8]]], Floats]
    point: OperatingPoint
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> LivenessModel:
        """By card name or path: the texture machine, computed by numpy alone, or a network of `face train
        liveness-net`. Raises MissingError for what is no liveness card."""
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights or DEFAULT_WEIGHTS, "face.liveness")
        if card.arch == "liveness_vit":
            return _network(card, options or RunOptions())
        found = read_linear(
            weights or DEFAULT_WEIGHTS, "face.liveness", lambda table: OperatingPoint(**table["operating_point"])
        )

        def logits(crops: Sequence[NDArray[np.uint8]]) -> Floats:
            return np.array([float(texture(crop) @ found.weights) + found.bias for crop in crops])

        return cls(logits=logits, point=found.extra, facts=found.facts)


def _network(card: Card, options: RunOptions) -> LivenessModel:
    from vitapps.shared_backbones.engines.load import load_model

    model = load_model(card, options)
    size = int(card.preprocess["size"])

    def logits(crops: Sequence[NDArray[np.uint8]]) -> Floats:
        pairs = model(as_input([face_of(crop, size) for crop in crops]))[0]  # B 2: attack, live
        return np.asarray(pairs[:, 1] - pairs[:, 0], np.float64)

    point = OperatingPoint(**card.preprocess["operating_point"])
    return LivenessModel(logits=logits, point=point, facts=NetworkFacts.of(card, model))


def fit_point(logits: Floats, live: Bools, source: str, *, target: float = TARGET) -> OperatingPoint:
    """Platt's curve (1999) through the logits and the two thresholds: at `live_from` the share `target` of the attacks
    pass, below `spoof_below` that share of the live faces lies; where the two cross, both become their mean."""
    from vitapps.pipelines.face.logistic import fit_logistic

    spread = max(float(logits.std()), 1e-9)
    slopes, bias = fit_logistic(logits[:, None] / spread, live, penalty=0.1)
    slope = max(float(slopes[0]) / spread, 1e-6)
    point = OperatingPoint(slope=slope, offset=-bias / slope, live_from=0.5, spoof_below=0.5, source=source)
    scores = point.scores(logits)
    band = fit_band(scores, live, false_alarms=target, missed=target)
    return OperatingPoint(
        slope=round(slope, 6), offset=round(-bias / slope, 6), live_from=band.upper, spoof_below=band.lower,
        source=source,
    )  # fmt: skip


def with_smoothed(point: OperatingPoint, logits: Floats, live: Bools, *, target: float = TARGET) -> OperatingPoint:
    """The point with the score below which the share `target` of the live faces lies once they are smoothed; `logits`
    are those of smoothed faces. Never above `live_from`."""
    kept = float(np.quantile(point.scores(logits)[live], target, method="lower"))
    return replace(point, smoothed_from=round(min(point.live_from, kept), 6))


def point_text(point: OperatingPoint) -> str:
    """As TOML."""
    return toml_text(asdict(point))


def read_point(path: Path) -> OperatingPoint:
    """A file of `face calibrate liveness`; raises UnreadableInputError."""
    with calibration_table(path, "liveness") as table:
        numbers = {key: float(table[key]) for key in ("slope", "offset", "live_from", "spoof_below")}
        smoothed = float(table.get("smoothed_from", math.nan))
        return OperatingPoint(**numbers, source=str(table["source"]), smoothed_from=smoothed)
