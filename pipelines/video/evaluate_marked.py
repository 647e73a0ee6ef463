"""`video eval people`, second table: people in single frames of surveillance clips, marked by eye and kept back from
training: found by the embedded finder with and without motion, by what moves, and by HOG with a linear machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.video_read import Clip, open_clip
from vitapps.datasets.sets.people_in_clips import MarkedFrame, read_marked_frames
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.video.hog_people import train_hog
from vitapps.pipelines.video.mot_detections import MOTION, Finder, find_people, make_finder
from vitapps.pipelines.video.people import BEGINS
from vitapps.pipelines.video.people_frames import Find, Floats, search_frames
from vitapps.pipelines.video.people_scores import PeopleScores, people_scores
from vitapps.progress import Progress, null_progress

log = logging.getLogger("vitapps.video")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedRow:
    """One way of finding people in `frames` frames with `people` marked; recall and precision are of boxes that the way
    is sure of (those that begin a track; a margin above 0); `cpu_ms` a frame, with what of its clip had to be seen."""

    way: str
    frames: int
    people: int
    boxes: PeopleScores
    cpu_ms: float


def evaluate_marked(
    data: Path, *, weights: str = "", options: RunOptions | None = None, progress: Progress = null_progress
) -> list[MarkedRow]:  # fmt: skip
    """A row a way; the last is left out where scikit-learn is missing. Raises UnreadableInputError for a folder without
    the clips."""
    chosen = options or RunOptions()
    kept, train = read_marked_frames(data, "kept"), read_marked_frames(data, "train")
    ways: dict[str, tuple[Callable[[], Find], float]] = {
        "people and motion": (lambda: _in_clip(lambda clip: find_people(clip, chosen, weights=weights)), BEGINS),
        "people": (lambda: _in_clip(lambda clip: find_people(clip, chosen, weights=weights, still=False)), BEGINS),
        "what moves": (lambda: _in_clip(lambda clip: make_finder(None, MOTION, clip, chosen)), BEGINS),
        "HOG and SVM": (lambda: train_hog(train).find, 0.0),
    }
    rows = []
    with progress.task("people in marked frames", total=len(ways)) as task:
        for name, (make, sure) in ways.items():
            try:
                rows.append(_row(name, make(), kept, sure))
            except MissingError as error:
                log.warning("%s is left out: %s", name, error)
            task.advance()
    return rows


def _row(name: str, find: Find, frames: list[MarkedFrame], sure: float) -> MarkedRow:
    clock = time.process_time()
    with _quiet():
        searched = search_frames(find, frames)
    spent = 1000 * (time.process_time() - clock) / len(frames)
    return MarkedRow(
        way=name, frames=len(frames), people=sum(len(frame.boxes) for frame in frames),
        boxes=people_scores(searched, sure), cpu_ms=round(spent, 1),
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """What every clip would be told again is not told."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _in_clip(make: Callable[[Clip], Finder]) -> Find:
    """A finder made anew for the clip of each frame, which it sees as if the clip began there."""

    def find(marked: MarkedFrame) -> tuple[Floats, Floats]:
        with open_clip(marked.path) as clip:
            finder = make(clip)
            found = [finder.find(frame) for frame in clip.frames_at([marked.number])]
        return np.asarray(found[0].boxes, np.float64), np.asarray(found[0].scores, np.float64)

    return find
