"""`vitapps video eval track`: the tracker and what a user would otherwise pick, on sequences with ground truth."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.sets.tracking import TrackedSequence, read_sequences
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.video.flow import follow
from vitapps.pipelines.video.followers import make_trackers
from vitapps.pipelines.video.track_choices import TrackerKind
from vitapps.pipelines.video.track_scores import TrackScores, mean_scores, track_scores
from vitapps.pipelines.video.window import crop
from vitapps.progress import Progress, null_progress

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Step = Callable[[Picture], Floats]
Maker = Callable[[Picture, Floats], Step]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackRowOfScores:
    """One tracker on one group of sequences; `ms` CPU milliseconds a frame, decoding apart."""

    tracker: str
    group: str
    sequences: int
    scores: TrackScores
    ms: float


def evaluate_track(
    data: Path, *, trackers: Sequence[str] = (), weights: str | None = None, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[TrackRowOfScores]:  # fmt: skip
    """Rows for each of `trackers` (none: all that are installed): all sequences below `data`, the families apart, and
    every sequence; `weights`: of the trackers "vitapps" (fused) and "network", else the embedded ones. Raises
    UsageError for an unknown tracker, MissingError for weights that are not there, UnreadableInputError for a folder
    without sequences."""
    options = options or RunOptions()
    known = makers(weights, options)
    if unknown := set(trackers) - set(known):
        raise UsageError(f"--tracker {', '.join(sorted(unknown))}: not known here", hint=f"one of {', '.join(known)}")
    sequences = read_sequences(data)
    chosen = {name: known[name] for name in trackers or known}
    measured: dict[str, list[tuple[TrackScores, float]]] = {name: [] for name in chosen}
    with progress.task("tracking", total=len(sequences) * len(chosen)) as task:
        for sequence in sequences:
            frames = read_frames(sequence, options)
            for name, maker in chosen.items():
                measured[name].append(one_pass(maker, frames, sequence.boxes))
                task.advance()
    return [row for name in chosen for row in _rows(name, sequences, measured[name])]


def read_frames(sequence: TrackedSequence, options: RunOptions) -> list[Picture]:
    """The pictures that have a drawn box."""
    with open_clip(sequence.source, threads=options.threads) as clip:
        return [frame.pixels for frame in clip.frames() if frame.index < len(sequence.boxes)]


def one_pass(maker: Maker, frames: Sequence[Picture], drawn: Floats) -> tuple[TrackScores, float]:
    """Scores, and CPU milliseconds a frame, from the first drawn box on."""
    first = drawn[0]
    begin = time.process_time()
    step = maker(frames[0], np.concatenate([first[:2], first[:2] + first[2:]]))
    boxes = [step(frame) for frame in frames[1:]]
    spent = time.process_time() - begin
    found = np.array([first, *(np.concatenate([box[:2], box[2:] - box[:2]]) for box in boxes)])
    return track_scores(found, drawn[: len(found)]), 1000 * spent / max(1, len(frames) - 1)


def makers(weights: str | None, options: RunOptions) -> dict[str, Maker]:
    """The trackers by name: ours, baselines, and what the installed OpenCV has without further files."""
    found: dict[str, Maker] = {
        "vitapps": _follower("fused", weights, options), "filter": _follower("filter", None, options),
        "network": _follower("network", weights, options),
    }  # fmt: skip
    found |= {"static": _static, "template": _template, "flow": _flow}
    for name in ("CSRT", "KCF", "MIL"):
        creator = getattr(cv2, f"Tracker{name}_create", None)
        if creator is not None:
            found[f"cv2-{name}"] = _of_opencv(creator)
    return found


def _rows(
    name: str, sequences: Sequence[TrackedSequence], measured: Sequence[tuple[TrackScores, float]]
) -> list[TrackRowOfScores]:
    groups = {"all": list(range(len(sequences)))}
    for place, sequence in enumerate(sequences):
        groups.setdefault("DAVIS" if sequence.family == "DAVIS" else "OTB/VOT/GOT", []).append(place)
        groups[sequence.name] = [place]
    return [
        TrackRowOfScores(
            tracker=name,
            group=group,
            sequences=len(places),
            scores=mean_scores([measured[i][0] for i in places]),
            ms=float(np.mean([measured[i][1] for i in places])),
        )
        for group, places in groups.items()
    ]


def _follower(kind: TrackerKind, weights: str | None, options: RunOptions) -> Maker:
    """One of ours; its network is loaded when it is first wanted."""
    load = functools.cache(lambda: make_trackers(kind, weights, options)[0])

    def make(frame: Picture, box: Floats) -> Step:
        tracker = load()(frame, box)
        return lambda picture: tracker.update(picture).box

    return make


def _static(frame: Picture, box: Floats) -> Step:
    """The box never moves."""
    return lambda picture: box


def _template(frame: Picture, box: Floats) -> Step:
    """Normalised cross-correlation with the first look, at three sizes, within twice the box."""
    middle, size, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2], float(max(box[2:] - box[:2]))
    look = crop(frame, middle, extent, 48)
    state = {"middle": middle, "size": size}

    def step(picture: Picture) -> Floats:
        best: tuple[float, Any, float] = (-2.0, state["middle"], 1.0)
        for growth in (0.97, 1.0, 1.03):
            reach = float(max(state["size"])) * growth
            answer = cv2.matchTemplate(crop(picture, state["middle"], 2.5 * reach, 120), look, cv2.TM_CCOEFF_NORMED)
            _, value, _, place = cv2.minMaxLoc(answer)
            if value > best[0]:
                best = (value, state["middle"] + (np.array(place) - 36) * reach / 48, growth)
        state["middle"], state["size"] = best[1], state["size"] * best[2]
        return np.concatenate([state["middle"] - state["size"] / 2, state["middle"] + state["size"] / 2])

    return step


def _flow(frame: Picture, box: Floats) -> Step:
    """Points followed by optical flow alone."""
    state: dict[str, Any] = {"grey": cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), "box": box}

    def step(picture: Picture) -> Floats:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        state["box"], state["grey"] = follow(state["grey"], grey, state["box"]).box, grey
        return np.asarray(state["box"])

    return step


def _of_opencv(creator: Callable[[], Any]) -> Maker:
    def make(frame: Picture, box: Floats) -> Step:
        tracker = creator()
        tracker.init(frame[..., ::-1].copy(), tuple(round(float(v)) for v in (*box[:2], *(box[2:] - box[:2]))))
        last = {"box": box}

        def step(picture: Picture) -> Floats:
            seen, (x, y, w, h) = tracker.update(picture[..., ::-1].copy())
            if seen:
                last["box"] = np.array([x, y, x + w, y + h], np.float64)
            return last["box"]

        return step

    return make
