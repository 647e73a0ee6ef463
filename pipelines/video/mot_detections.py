"""Where the boxes of `video mot` come from: a file, a detector's network, or, without either, people or what moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.tracks import TrackRow, read_tracks
from vitapps.datasets.formats.video_read import Clip, Frame, is_url
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.people import DEFAULT_WEIGHTS

log = logging.getLogger("vitapps.video")
Floats = NDArray[np.float64]
MOTION = "moving"  # said in the place of weights: whatever moves
DRIFTING = "the camera moves: people are found by the network alone, and things that stand still among them"
MOVING = "what moves before a still camera is followed, whatever it is"


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """Of one frame: `boxes` n 4 as x0 y0 x1 y1, `scores` n."""

    boxes: Floats
    scores: Floats


NOTHING = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finder:
    """`find(frame)` gives the boxes of the next frame; `last` is the highest frame number that a file has (-1: none);
    `notes` are warnings of the run."""

    find: Callable[[Frame], Detections]
    last: int = -1
    networks: tuple[NetworkFacts, ...] = ()
    notes: list[str] = field(default_factory=list)


def make_finder(
    detections: Path | None, weights: str | None, clip: Clip, options: RunOptions, words: tuple[str, ...] = ()
) -> Finder:
    """By the file `detections`, else the detector `weights` (a card, a YOLO graph `.onnx`, or an OWL-ViT that is asked
    for `words`; "moving": motion alone), else people by the embedded finder.

    Raises UnreadableInputError, MissingError or UsageError as the readers and loaders do.
    """
    knows_words = weights not in (None, MOTION, DEFAULT_WEIGHTS) and not str(weights).endswith(".onnx")
    if words and (detections is not None or not knows_words):
        raise UsageError(
            "--words without a network that knows words", hint="--detect-weights hf:google/owlvit-base-patch32"
        )
    if detections is not None:
        found = by_frame(read_tracks(detections))
        return Finder(find=lambda frame: found.get(frame.index, NOTHING), last=max(found, default=-1))
    if weights == MOTION:
        return _by_motion(clip)
    if weights is not None and weights != DEFAULT_WEIGHTS:
        return _by_network(weights, clip, options, words)
    return find_people(clip, options)


def find_people(clip: Clip, options: RunOptions, *, weights: str = "", still: bool = True) -> Finder:
    """The embedded finder of people (or the card `weights`), with what moves beside it where the clip can be looked
    through beforehand, its camera stands still and `still` lets it."""
    from vitapps.pipelines.video.detect import DetectSettings, load_detector
    from vitapps.pipelines.video.moving import MovingThings
    from vitapps.pipelines.video.people import DOUBT, PeopleSearch
    from vitapps.pipelines.video.two_pass import TwoPassDetector

    longest = max(clip.meta.width, clip.meta.height)
    detector = load_detector(weights or DEFAULT_WEIGHTS, DetectSettings(), options, longest=longest)
    threshold = detector.config.thresholds[0]
    doubting = replace(detector.config, thresholds=(DOUBT * threshold,))
    moving = MovingThings(clip) if still and not is_url(clip.meta.source) else None
    search = TwoPassDetector(detector.predict, doubting)
    people = PeopleSearch(search, threshold, moving if moving is not None and moving.still else None)
    notes = [*detector.notes, *([DRIFTING] if moving is not None and not moving.still else [])]
    return Finder(
        find=lambda frame: _as_detections(*people.find(frame.pixels)), networks=(detector.facts,), notes=notes
    )


def _by_motion(clip: Clip) -> Finder:
    from vitapps.pipelines.video.moving import MovingThings

    moving = MovingThings(clip)
    log.warning(MOVING)
    return Finder(find=lambda frame: _as_detections(*moving.find(frame.pixels)), notes=[MOVING])


def by_frame(rows: Sequence[TrackRow]) -> dict[int, Detections]:
    """Rows as arrays by frame number. Scores outside 0..1 (some detectors give logits or percent) are brought there by
    their own range."""
    scores = np.array([row.score for row in rows], np.float64)
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        spread = scores.max() - scores.min()
        scores = (scores - scores.min()) / spread if spread > 0 else np.ones(len(scores))
    frames: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        frames.setdefault(row.frame, []).append(place)
    boxes = np.array([[row.x, row.y, row.x + row.w, row.y + row.h] for row in rows], np.float64).reshape(-1, 4)
    return {frame: Detections(boxes=boxes[places], scores=scores[places]) for frame, places in frames.items()}


def _by_network(weights: str, clip: Clip, options: RunOptions, words: tuple[str, ...]) -> Finder:
    if weights.endswith(".onnx"):
        from vitapps.pipelines.video.yolo import load_yolo

        yolo = load_yolo(Path(weights), options)
        return Finder(find=lambda frame: _as_detections(*yolo.find(frame.pixels)), networks=(yolo.facts,))
    from vitapps.pipelines.video.detect import DetectSettings, load_detector, make_search

    settings = DetectSettings(words=words)
    detector = load_detector(weights, settings, options, longest=max(clip.meta.width, clip.meta.height))
    search = make_search(detector, settings)

    def find(frame: Frame) -> Detections:
        (found,) = search.steps([frame.pixels])
        return _as_detections(found.boxes, found.scores)

    return Finder(find=find, networks=(detector.facts,))


def _as_detections(boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> Detections:
    return Detections(boxes=np.asarray(boxes, np.float64).reshape(-1, 4), scores=np.asarray(scores, np.float64))
