"""`vitapps face deepfake`: does a face carry traces of blending? A verdict only where the model has been tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.options import NO_REDUCTION, RunOptions
from vitapps.pipelines.face.blend_cues import fine_detail
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, chance, with_band
from vitapps.pipelines.face.face_views import NO_FACE, FaceReader, FaceView
from vitapps.pipelines.face.heat_map import overlay
from vitapps.pipelines.face.judged import FaceJudge
from vitapps.pipelines.face.occlusion import occlusion_map

MARGIN = 1.6  # side of the cut-out over that of the box: all of the aligned face
Verdict = Literal["fake", "no trace", "unsure", "withheld"]
LIMITS = (
    "looks for blending only: faces generated whole, lips or expressions moved by a network are not its subject",
    "compression, scaling and filters of an honest picture can look the same",
    "no evidence against a person; a low score is no proof that a picture is genuine",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakeSettings:
    """`crop`: pictures are faces (with margin) already; `band` a file of `face calibrate deepfake`."""

    crop: bool = False
    band: Path | None = None
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakeResult:
    """`score` 0..1 (1: fake) of the mean logit over `frames`; `verdict` withheld where `withheld` gives reasons;
    `frame_scores` (time in s, score); `tested` what is known of the model on real swaps."""

    input: Path
    out: Path | None
    preview: Path | None
    verdict: Verdict
    withheld: list[str]
    score: float
    frames: int
    frame_scores: list[tuple[float, float]]
    box: tuple[float, float, float, float] | None
    tested: dict[str, Any]
    warnings: list[str]
    limits: tuple[str, ...] = LIMITS

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def judgement(model: DeepfakeModel, views: Sequence[FaceView], score: float) -> tuple[Verdict, list[str]]:
    """The verdict of a score 0..1 of some views, and why it is withheld where it is."""
    tested = model.tested
    withheld = [NO_FACE] if any(view.missed for view in views) else []
    if not tested.speaks:
        interval = f"{tested.swap_auc:.2f} ({tested.low:.2f} to {tested.high:.2f})"
        withheld.append(f"on real swaps the model's AUC is {interval}, which includes chance")
    if min(view.side() for view in views) < tested.smallest:
        withheld.append(f"the face is smaller than {tested.smallest:.0f} pixels")
    detail = [fine_detail(view.aligned(model.size)) for view in views]
    if min(detail) < tested.softest or max(detail) > tested.roughest:
        withheld.append("the face is softer or rougher than any that the model was tested on")
    spoken: Verdict = "fake" if score >= tested.fake_from else "no trace" if score < tested.none_below else "unsure"
    return ("withheld" if withheld else spoken), withheld


class Deepfake(FaceJudge[DeepfakeResult]):
    """A loaded model with its reader: `Deepfake(...).judge(path, out)` for one input after another."""

    def __init__(self, weights: str | None, settings: DeepfakeSettings, options: RunOptions) -> None:
        self.model = with_band(DeepfakeModel.load(weights, options), settings.band)
        self._notes = []
        if options.reduce != NO_REDUCTION and settings.band is None:
            self._notes.append("the scores at which it speaks were measured without --reduce: face calibrate deepfake")
        super().__init__(
            self.model.facts, FaceReader(options, crop=settings.crop, margin=MARGIN, marks=True), settings, options
        )

    def _result(self, path: Path, out: Path | None, drawn: Path | None, views: list[FaceView]) -> DeepfakeResult:
        tested = self.model.tested
        logits = self.model.of_views(views)
        scores, score = chance(logits), float(chance(logits.mean(keepdims=True))[0])
        verdict, withheld = judgement(self.model, views, score)
        return DeepfakeResult(
            input=path, out=out, preview=drawn, verdict=verdict, withheld=withheld,
            score=round(score, 4), frames=len(views), box=views[0].rounded_box(), tested=asdict(tested),
            warnings=list(self._notes),
            frame_scores=[(round(view.time_s, 3), round(float(s), 4)) for view, s in zip(views, scores, strict=True)],
        )  # fmt: skip

    def _picture(self, view: FaceView) -> NDArray[np.uint8]:
        """Which parts of the aligned face speak for a fake."""
        face = view.aligned(self.model.size)
        return overlay(face, occlusion_map(lambda changed: float(self.model.logits([changed])[0]), face))
