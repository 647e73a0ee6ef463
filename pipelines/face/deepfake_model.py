"""The deepfake model: blending cues, a linear machine, and the range in which it may speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.face.blend_cues import blend_cues
from vitapps.pipelines.face.scores import Floats
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.require import require

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
        from vitapps.shared_backbones.weights.cards import load_card, weights_path

        card = load_card(weights or DEFAULT_WEIGHTS)
        if card.task != "face.deepfake":
            raise MissingError(f"weights {card.name!r} are for {card.task}", hint="`vitapps models list`")
        state = require("safetensors.numpy", package="safetensors").load_file(str(weights_path(card)))
        try:
            tested = RangeTested(**card.preprocess["tested"])
            vector = state["linear.weight"][0].astype(np.float32)
            bias = float(state["linear.bias"][0])
        except (KeyError, TypeError, IndexError) as error:
            raise MissingError(f"weights {card.name!r}: not usable ({error})", hint="`vitapps doctor`") from error
        facts = NetworkFacts(name=card.name, sha256=card.sha256, engine="numpy", precision="exact", device="cpu")
        return cls(weights=vector, bias=bias, tested=tested, facts=facts)

    def logits(self, crops: Sequence[NDArray[np.uint8]]) -> Floats:
        """One logit a crop H W 3 with a margin of `blend_cues.MARGIN`, positive is fake."""
        return np.array([float(blend_cues(crop) @ self.weights) + self.bias for crop in crops])


def chance(logits: Floats) -> Floats:
    """Logits -> 0..1."""
    return np.asarray(1 / (1 + np.exp(-logits.clip(-60, 60))))
