"""`vitapps video eval track`: the tracker and what a user would otherwise pick, on sequences with ground truth."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.tracking import read_sequences
from vitapps.datasets.synth.tracked_scenes import TrackedScene
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.reliability import ReliabilityBin, calibration_error, reliability
from vitapps.pipelines.video.followers import make_trackers
from vitapps.pipelines.video.track_baselines import BoxMaker, baselines
from vitapps.pipelines.video.track_choices import TrackerKind
from vitapps.pipelines.video.track_elsewhere import Elsewhere, measured_elsewhere
from vitapps.pipelines.video.track_scores import TrackScores, mean_scores, pair_iou, track_scores
from vitapps.progress import Progress, null_progress

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Step = Callable[[Picture], tuple[Floats, float]]  # the box x0 y0 x1 y1 and its score; nan where none is told
Maker = Callable[[Picture, Floats], Step]
GENERATED = "generated"
_BINS = 5
_FIRST = 1000  # seed of the drawn scenes


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackRowOfScores:
    """One tracker on one group of sequences; `ms` CPU milliseconds a frame, decoding apart, the start with it;
    `p50_ms`, `p95_ms` wall milliseconds of its frames after the first."""

    tracker: str
    group: str
    sequences: int
    scores: TrackScores
    ms: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreCurve:
    """How often the boxes of a tracker overlapped by more than half, by the score that it gave them, over the frames
    that have a drawn box; `error` is the expected calibration error in ten bins."""

    tracker: str
    frames: int
    bins: tuple[ReliabilityBin, ...]
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackTable:
    """`rows` a tracker and group; `curves` a tracker that gives scores; `elsewhere` trackers that were not run."""

    rows: list[TrackRowOfScores]
    curves: list[ScoreCurve]
    elsewhere: list[Elsewhere]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A sequence as it is scored: `boxes` n 4, x y w h; `read` its first n frames."""

    name: str
    family: str
    boxes: Floats
    read: Callable[[], list[Picture]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One pass over a sequence: `told` score a frame after the first, `right` whether the box overlaps by more than
    half, both of the frames with a drawn box; `times` wall milliseconds of each frame after the first."""

    scores: TrackScores
    ms: float
    times: Floats
    told: Floats
    right: NDArray[np.bool_]


def evaluate_track(
    data: Path | None, *, generated: int = 0, trackers: Sequence[str] = (), weights: str | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> TrackTable:  # fmt: skip
    """Each of `trackers` (none: all that are installed) on all sequences below `data`, the families apart, and every
    sequence; on the first `generated` drawn scenes (`tracked_scenes.py`) besides. `weights`: of the trackers
    "vitapps" (fused) and "network", else the embedded ones. Raises UsageError for an unknown tracker or no sequence,
    MissingError for weights that are not there, UnreadableInputError for a folder without sequences."""
    options = options or RunOptions()
    known = makers(weights, options)
    if unknown := set(trackers) - set(known):
        raise UsageError(f"--tracker {', '.join(sorted(unknown))}: not known here", hint=f"one of {', '.join(known)}")
    cases = [*(real_cases(data, options) if data else ()), *drawn_cases(generated)]
    if not cases:
        raise UsageError("no sequences are given", hint="--data DIR, or --generated 16")
    chosen = {name: known[name] for name in trackers or known}
    measured: dict[str, list[Pass]] = {name: [] for name in chosen}
    with progress.task("tracking", total=len(cases) * len(chosen)) as task:
        for case in cases:
            frames = case.read()
            for name, maker in chosen.items():
                measured[name].append(one_pass(maker, frames, case.boxes))
                task.advance()
    rows = [row for name in chosen for row in _rows(name, cases, measured[name])]
    curves = [curve for name in chosen if (curve := _curve(name, measured[name])) is not None]
    elsewhere = measured_elsewhere(case.name for case in cases if case.family != GENERATED)
    return TrackTable(rows=rows, curves=curves, elsewhere=elsewhere)


def real_cases(data: Path, options: RunOptions) -> Iterator[Case]:
    """The sequences below a folder; only frames that have a drawn box are read."""

    def read(source: str, count: int) -> list[Picture]:
        with open_clip(source, threads=options.threads) as clip:
            return [frame.pixels for frame in clip.frames() if frame.index < count]

    for item in read_sequences(data):
        family = "DAVIS" if item.family == "DAVIS" else "OTB/VOT/GOT"
        reader = functools.partial(read, item.source, len(item.boxes))
        yield Case(name=item.name, family=family, boxes=item.boxes, read=reader)


def drawn_cases(number: int) -> Iterator[Case]:
    """Scenes of pieces of the bundled pictures; to the seeds from 0 on the score of the fused tracker was fitted."""
    from vitapps.datasets.samples import read_scene_pictures

    pictures = read_scene_pictures() if number else []
    for seed in range(_FIRST, _FIRST + number):
        scene = TrackedScene(pictures, seed)
        yield Case(name=f"scene {seed}", family=GENERATED, boxes=scene.boxes(), read=functools.partial(_drawn, scene))


def _drawn(scene: TrackedScene) -> list[Picture]:
    return list(scene.frames())


def one_pass(maker: Maker, frames: Sequence[Picture], drawn: Floats) -> Pass:
    """From the first drawn box on, without a reset."""
    first = drawn[0]
    begin = time.process_time()
    step = maker(frames[0], np.concatenate([first[:2], first[:2] + first[2:]]))
    seen, stamps = [], [time.perf_counter()]
    for frame in frames[1:]:
        seen.append(step(frame))
        stamps.append(time.perf_counter())
    spent = time.process_time() - begin
    found = np.array([first, *(np.concatenate([box[:2], box[2:] - box[:2]]) for box, _ in seen)])
    drawn = drawn[: len(found)]
    known = np.isfinite(drawn[1:]).all(axis=1) & (drawn[1:, 2:] > 0).all(axis=1)
    return Pass(
        scores=track_scores(found, drawn), ms=1000 * spent / max(1, len(frames) - 1), times=1000 * np.diff(stamps),
        told=np.array([score for _, score in seen])[known], right=pair_iou(found[1:][known], drawn[1:][known]) > 0.5,
    )  # fmt: skip


def makers(weights: str | None, options: RunOptions) -> dict[str, Maker]:
    """The trackers by name: ours, then the baselines."""
    found: dict[str, Maker] = {
        "vitapps": _follower("fused", weights, options), "filter": _follower("filter", None, options),
        "network": _follower("network", weights, options),
    }  # fmt: skip
    return found | {name: _without_score(maker) for name, maker in baselines().items()}


def _rows(name: str, cases: Sequence[Case], measured: Sequence[Pass]) -> list[TrackRowOfScores]:
    groups = {"all": list(range(len(cases)))}
    for place, case in enumerate(cases):
        groups.setdefault(case.family, []).append(place)
        if case.family != GENERATED:
            groups[case.name] = [place]
    return [_row(name, group, [measured[place] for place in places]) for group, places in groups.items()]


def _row(name: str, group: str, passes: Sequence[Pass]) -> TrackRowOfScores:
    times = np.concatenate([item.times for item in passes])
    middle, late = np.percentile(times, [50, 95]) if len(times) else (0.0, 0.0)
    return TrackRowOfScores(
        tracker=name, group=group, sequences=len(passes), scores=mean_scores([item.scores for item in passes]),
        ms=float(np.mean([item.ms for item in passes])), p50_ms=float(middle), p95_ms=float(late),
    )  # fmt: skip


def _curve(name: str, measured: Sequence[Pass]) -> ScoreCurve | None:
    """None for a tracker without scores."""
    told, right = (np.concatenate(parts) for parts in zip(*((item.told, item.right) for item in measured), strict=True))
    if not len(told) or np.isnan(told).any():
        return None
    return ScoreCurve(
        tracker=name, frames=len(told), bins=reliability(told, right, _BINS),
        error=calibration_error(reliability(told, right)),
    )  # fmt: skip


def _follower(kind: TrackerKind, weights: str | None, options: RunOptions) -> Maker:
    """One of ours; its network is loaded when it is first wanted."""
    load = functools.cache(lambda: make_trackers(kind, weights, options)[0])

    def make(frame: Picture, box: Floats) -> Step:
        tracker = load()(frame, box)

        def step(picture: Picture) -> tuple[Floats, float]:
            seen = tracker.update(picture)
            return seen.box, seen.score

        return step

    return make


def _without_score(maker: BoxMaker) -> Maker:
    def make(frame: Picture, box: Floats) -> Step:
        step = maker(frame, box)
        return lambda picture: (step(picture), float("nan"))

    return make
