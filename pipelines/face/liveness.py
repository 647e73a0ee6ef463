"""`vitapps face liveness`: is this a face before the camera, or a print or a screen that shows one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.face.face_views import NO_FACE, FaceReader, FaceView
from vitapps.pipelines.face.heat_map import overlay
from vitapps.pipelines.face.judged import FaceJudge
from vitapps.pipelines.face.liveness_data import smooth
from vitapps.pipelines.face.liveness_model import LivenessModel, OperatingPoint, Verdict
from vitapps.pipelines.face.occlusion import occlusion_map

SMALLEST = 64  # pixels a side of a face: below it the texture is the resampler's
GREYEST = 4.0  # grey levels between a pixel's channels, on average: below it a picture has no colours
LIMITS = (
    "trained on prints of nine people and screen replays of one: masks, cut-outs and other cameras were never seen",
    "scores do not carry from site to site: run `vitapps face calibrate liveness` on your own pictures first",
    "no proof of identity or presence by itself; never the only gate of an entry, a payment or an account",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessSettings:
    """`crop`: pictures are faces already; `point` replaces the card's operating point."""

    crop: bool = False
    point: OperatingPoint | None = None
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessResult:
    """`score` 0..1 (1: live) of the mean logit over `frames`; `frame_scores` (time in s, score); `box` of the first."""

    input: Path
    out: Path | None
    preview: Path | None
    verdict: Verdict
    score: float
    frames: int
    frame_scores: list[tuple[float, float]]
    box: tuple[float, float, float, float] | None
    operating_point: dict[str, Any]
    warnings: list[str]
    limits: tuple[str, ...] = LIMITS

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


class Liveness(FaceJudge[LivenessResult]):
    """A loaded model with its reader: `Liveness(...).judge(path, out)` for one input after another."""

    def __init__(self, weights: str | None, settings: LivenessSettings, options: RunOptions) -> None:
        self.model = LivenessModel.load(weights, options)
        if settings.point is not None:
            self.model = replace(self.model, point=settings.point)
        super().__init__(self.model.facts, FaceReader(options, crop=settings.crop), settings, options)

    def _result(self, path: Path, out: Path | None, drawn: Path | None, views: list[FaceView]) -> LivenessResult:
        point = self.model.point
        logits = self.model.logits([view.pixels for view in views])
        score = float(point.scores(logits.mean(keepdims=True))[0])
        smoothed = self.model.logits([smooth(view.pixels) for view in views])
        verdict = point.verdict(score, float(point.scores(smoothed.mean(keepdims=True))[0]))
        doubts = _doubts(views, own_site=self.settings.point is not None)
        if verdict == "unsure" and score >= point.live_from:
            doubts.append("live by its finest noise alone: the smoothed face is not")
        by_frame = zip(views, point.scores(logits), strict=True)
        return LivenessResult(
            input=path, out=out, preview=drawn, verdict="unsure" if doubts else verdict,
            score=round(score, 4), frames=len(views), box=views[0].rounded_box(), operating_point=asdict(point),
            frame_scores=[(round(view.time_s, 3), round(float(value), 4)) for view, value in by_frame],
            warnings=[f"no verdict: {doubt}" for doubt in doubts],
        )  # fmt: skip

    def _picture(self, view: FaceView) -> NDArray[np.uint8]:
        """Which parts speak for a spoof."""
        return overlay(view.pixels, occlusion_map(lambda crop: -float(self.model.logits([crop])[0]), view.pixels))


def _doubts(views: Sequence[FaceView], *, own_site: bool) -> list[str]:
    """Why nothing is said of some views; grey ones are judged at the point of one's `own_site` alone, whose camera may
    have no colours."""
    found = [NO_FACE] if any(view.missed for view in views) else []
    if min(min(view.pixels.shape[:2]) for view in views) < SMALLEST:
        found.append(f"the face is smaller than {SMALLEST} pixels")
    if not own_site and any(np.ptp(view.pixels, axis=2).mean() < GREYEST for view in views):
        found.append("the face has no colours, by which the model judges")
    return found
