"""`vitapps face eval deepfake`: AUC on real swaps with intervals by video, generation apart, robustness, baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.face_fakes import FakeCase, read_fakes
from vitapps.options import RunOptions
from vitapps.pipelines.face.blend_cues import fine_detail
from vitapps.pipelines.face.deepfake import Verdict, judgement
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, chance
from vitapps.pipelines.face.evidence.ela import compressed
from vitapps.pipelines.face.face_views import FaceReader, FaceView
from vitapps.pipelines.face.scores import Bools, Floats, auc, auc_interval
from vitapps.pipelines.face.verdicts import Verdicts, count_verdicts
from vitapps.progress import Progress, null_progress

Pixels = NDArray[np.uint8]
SIZE = 192  # pixels a side at which the measures without training are taken
Change = Callable[[Pixels], Pixels]
HOLDS = 0.65  # AUC: below it a change has taken the traces away
SWAPS, CLIPS = "all swaps", "all swaps, by video"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """AUC of a method on a source with its 95 % interval, `videos` drawn whole."""

    source: str
    method: str
    pictures: int
    videos: int
    auc: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`rows` by source and method; `verdicts` of each picture alone; `robustness`: change -> AUC of the
    model on all swaps after it; `detail` 5 and 95 % quantile of the `fine_detail` of the faces after changes under
    which the AUC holds (`HOLDS`); `unmarked` pictures in which the finder saw no face, so that usual places of the
    landmarks are assumed."""

    rows: list[Row]
    verdicts: list[Verdicts]
    robustness: dict[str, float]
    unmarked: int
    detail: tuple[float, float]


def evaluate(
    data: Path, *, model: DeepfakeModel | None = None, weights: str | None = None, robustness: bool = False,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> Report:  # fmt: skip
    """Score every picture as a face crop. Groups of the intervals are the videos; the last rows score whole videos, by
    the mean over their frames."""
    options = options or RunOptions()
    model = model or DeepfakeModel.load(weights, options)
    cases = read_fakes(data)
    views = _views(cases, options, progress)
    crops = [_even(view.pixels) for view in views]
    with progress.task("scores", total=1) as task:
        methods = {
            model.facts.name: model.of_views(views),
            "fine detail (no training)": -np.array([_detail(crop) for crop in crops]),
            "inner/outer sharpness (no training)": -np.array([_ratio(crop) for crop in crops]),
        }
        task.advance()
    rows = [_row(source, method, cases, scores) for source in _sources(cases) for method, scores in methods.items()]
    rows += [_row(SWAPS, method, *_by_video(cases, scores), label=CLIPS) for method, scores in methods.items()]
    swaps = [number for number, case in enumerate(cases) if not case.generated]
    fake = np.array([cases[number].fake for number in swaps])
    table: dict[str, float] = {}
    details: list[float] = []
    for label, change in (_changes() if robustness else {"as it is": _unchanged}).items():
        changed = [replace(views[number], pixels=change(views[number].pixels)) for number in swaps]
        faces = [view.aligned(model.size) for view in changed]
        table[label] = round(auc(model.of_views(changed), fake), 3)
        if table[label] >= HOLDS:
            details += [fine_detail(face) for face in faces]
    scored = chance(methods[model.facts.name])
    said = [
        (case.source, "fake" if case.fake else "real", judgement(model, [view], score)[0])
        for case, view, score in zip(cases, views, scored.tolist(), strict=True)
    ]
    said += [(SWAPS, truth, verdict) for (source, truth, verdict), case in zip(said, cases, strict=True)
             if not case.generated]  # fmt: skip
    unmarked = sum(view.landmarks is None for view in views)
    low, high = (float(value) for value in np.quantile(details or [0.0, 255.0], (0.05, 0.95)))
    verdicts = count_verdicts(said, get_args(Verdict))
    return Report(rows=rows, verdicts=verdicts, robustness=table, unmarked=unmarked, detail=(low, high))


def _unchanged(crop: Pixels) -> Pixels:
    return crop


def _views(cases: list[FakeCase], options: RunOptions, progress: Progress) -> list[FaceView]:
    """Every picture as a crop with landmarks."""
    reader = FaceReader(options, crop=True, marks=True)
    found = []
    with progress.task("faces", total=len(cases)) as task:
        for case in cases:
            found.append(reader.views(case.path)[0][0])
            task.advance()
    return found


def _by_video(cases: list[FakeCase], scores: Floats) -> tuple[list[FakeCase], Floats]:
    """One case and the mean score of each video."""
    first = {case.video: case for case in reversed(cases)}
    videos = np.array([case.video for case in cases])
    return list(first.values()), np.array([scores[videos == name].mean() for name in first])


def _sources(cases: list[FakeCase]) -> list[str]:
    """Every source, then all swaps together."""
    return [*dict.fromkeys(case.source for case in cases), SWAPS]


def _row(source: str, method: str, cases: list[FakeCase], scores: Floats, label: str = "") -> Row:
    """A source of generated faces is set against the real faces of all others."""
    generated = any(case.generated for case in cases if case.source == source)
    chosen = np.array([
        (case.source == source or (generated and not case.fake)) if source != SWAPS else not case.generated
        for case in cases
    ])  # fmt: skip
    used = [case for case, keep in zip(cases, chosen, strict=True) if keep]
    fake: Bools = np.array([case.fake for case in used])
    videos = [case.video for case in used]
    low, high = auc_interval(scores[chosen], fake, videos)
    return Row(
        source=label or (f"{source} (generated)" if generated else source), method=method, pictures=len(used),
        videos=len(set(videos)), auc=auc(scores[chosen], fake), low=low, high=high,
    )  # fmt: skip


def _even(pixels: Pixels) -> Pixels:
    """One size for all, so that real and fake of different sizes pass the same resampling."""
    way = cv2.INTER_AREA if pixels.shape[0] > SIZE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=way), np.uint8)


def _detail(crop: Pixels) -> float:
    """Log energy of the finest detail of the whole crop: swaps are mostly the softer pictures."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(np.log(cv2.Laplacian(grey, cv2.CV_32F).var() + 1))


def _ratio(crop: Pixels) -> float:
    """Log variance of the Laplacian of the inner half over that of the rest."""
    change = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    inner = np.zeros(change.shape, bool)
    inner[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = True
    return float(np.log(change[inner].var() + 1) - np.log(change[~inner].var() + 1))


def _changes() -> dict[str, Change]:
    rng = np.random.default_rng(0)

    def jpeg(quality: int) -> Change:
        return lambda crop: compressed(crop, quality)

    def blur(sigma: float) -> Change:
        return lambda crop: np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)

    def shrink(factor: float) -> Change:
        def change(crop: Pixels) -> Pixels:
            small = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            return np.asarray(cv2.resize(small, (crop.shape[1], crop.shape[0])), np.uint8)

        return change

    def noise(level: float) -> Change:
        return lambda crop: (crop + rng.normal(0, level, crop.shape)).clip(0, 255).astype(np.uint8)

    return {
        "as it is": _unchanged, **{f"JPEG {quality}": jpeg(quality) for quality in (100, 90, 80, 70, 60, 50)},
        "blur 1 px": blur(1.0), "blur 2 px": blur(2.0), "half size": shrink(0.5),
        "noise 3": noise(3), "noise 8": noise(8),
    }  # fmt: skip
