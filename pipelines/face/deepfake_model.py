"""The deepfake model: blending cues, a linear machine, and the range in which it may speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.blend_cues import blend_cues
from vitapps.pipelines.face.linear_card import read_linear
from vitapps.pipelines.face.scores import Floats
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "face-deepfake"


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTested:
    """`smallest` side of a face in pixels; `swap_auc` on real swaps never trained on with its 95 % interval (low, high)
    drawn by video. From `fake_from` up lie 5 % of the untouched faces of people never trained on, below `none_below`
    5 % of their self-blends; between the two the answer is unsure."""

    smallest: float
    swap_auc: float
    low: float
    high: float
    fake_from: float
    none_below: float

    @property
    def speaks(self) -> bool:
        """A verdict needs an interval that leaves chance out."""
        return self.low > 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakeModel:
    """`weights` D and `bias` of the linear machine on `blend_cues`; positive logits are fake."""

    weights: NDArray[np.float32]
    bias: float
    tested: RangeTested
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str | None = None) -> DeepfakeModel:
        """By card name or path; raises MissingError for what is no deepfake card."""
        found = read_linear(weights or DEFAULT_WEIGHTS, "face.deepfake", lambda table: RangeTested(**table["tested"]))
        return cls(weights=found.weights, bias=found.bias, tested=found.extra, facts=found.facts)

    def logits(self, crops: Sequence[NDArray[np.uint8]]) -> Floats:
        """One logit a crop H W 3 with a margin of `blend_cues.MARGIN`, positive is fake."""
        return np.array([float(blend_cues(crop) @ self.weights) + self.bias for crop in crops])


def chance(logits: Floats) -> Floats:
    """Logits -> 0..1."""
    return np.asarray(1 / (1 + np.exp(-logits.clip(-60, 60))))
