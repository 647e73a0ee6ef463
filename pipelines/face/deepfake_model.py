"""The deepfake model: a ViT on blending cues or on the face itself, and the range in which it may speak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.blend_cues import blend_cues
from vitapps.pipelines.face.calibration_file import calibration_table
from vitapps.pipelines.face.face_views import FaceView
from vitapps.pipelines.face.scores import Floats
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "face-deepfake"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTested:
    """`smallest` side of a face in pixels; `swap_auc` on real swaps never trained on with its 95 % interval (low, high)
    drawn by video. From `fake_from` up lie few of the untouched faces of `source`, below `none_below` few of their
    blends; between the two the answer is unsure. `softest` and `roughest`: the range of `fine_detail` of the faces that
    were scored, blurred and noisy ones among them as far as the AUC held."""

    smallest: float
    swap_auc: float
    low: float
    high: float
    fake_from: float
    none_below: float
    softest: float = 0.0
    roughest: float = 255.0
    source: str = ""

    @property
    def speaks(self) -> bool:
        """A verdict needs an interval that leaves chance out."""
        return self.low > 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakeModel:
    """`logits`: aligned faces `size` `size` 3 -> one logit each, positive is fake."""

    logits: Callable[[Sequence[Pixels]], Floats]
    size: int
    tested: RangeTested
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> DeepfakeModel:
        """By card name or path; raises MissingError for what is no deepfake card."""
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        name = weights or DEFAULT_WEIGHTS
        if name.startswith(("timm:", "hf:")):
            raise MissingError(
                f"{name}: a tower that knows no fakes yet",
                hint=f"train its norms and a head: `vitapps face train deepfake-tower --tower {name} …`",
            )
        card = load_card(name, "face.deepfake")
        try:
            size, kind = int(card.preprocess["size"]), _INPUTS[card.preprocess["input"]]
            tested = RangeTested(**card.preprocess["tested"])
        except (KeyError, TypeError, ValueError) as error:
            raise MissingError(
                f"weights {card.name!r}: the card is not usable ({error})", hint="train again"
            ) from error
        model = load_model(card, options or RunOptions())

        def logits(faces: Sequence[Pixels]) -> Floats:
            inputs = np.stack([kind(face) for face in faces])  # N C *size
            pairs = [model(np.ascontiguousarray(view))[0] for view in (inputs, inputs[..., ::-1])]
            mean = (pairs[0] + pairs[1]) / 2  # N 2: real, fake
            return np.asarray(mean[:, 1] - mean[:, 0], np.float64)

        return cls(logits=logits, size=size, tested=tested, facts=NetworkFacts.of(card, model))

    def of_views(self, views: Sequence[FaceView]) -> Floats:
        """One logit a view: the mean over its alignments, since much hangs on where the landmarks lie."""
        faces = [view.alignments(self.size) for view in views]
        logits = self.logits([face for each in faces for face in each])
        ends = np.cumsum([len(each) for each in faces])[:-1]
        return np.array([part.mean() for part in np.split(logits, ends)])


def with_band(model: DeepfakeModel, path: Path | None) -> DeepfakeModel:
    """The model with the band of a file of `face calibrate deepfake`, as it is without one. Raises
    UnreadableInputError, or UsageError for another model's file."""
    if path is None:
        return model
    with calibration_table(path, "deepfake") as table:
        numbers = {key: float(table[key]) for key in ("fake_from", "none_below")}
        name, source = str(table["model"]), str(table["source"])
    if name != model.facts.name:
        raise UsageError(
            f"{path}: measured on {name}, not on {model.facts.name}", hint="calibrate again with the same --weights"
        )
    return replace(model, tested=replace(model.tested, **numbers, source=source))


def chance(logits: Floats) -> Floats:
    """Logits -> 0..1."""
    return np.asarray(1 / (1 + np.exp(-logits.clip(-60, 60))))


def colours(face: Pixels) -> NDArray[np.float32]:
    """A face H W 3 as 3 H W in 0..1, which a tower takes."""
    return np.asarray(face.transpose(2, 0, 1) / np.float32(255), np.float32)


_INPUTS: dict[str, Any] = {"cues": blend_cues, "face": colours}
