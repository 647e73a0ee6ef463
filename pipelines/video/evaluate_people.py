"""`vitapps video eval people`: boxes and tracks of people from pixels alone, beside what moves.

MOTChallenge folders with clips; no detections are given: each way finds its own boxes in the clip, and the same
association makes tracks of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.tracks import TrackRow, read_tracks
from vitapps.datasets.formats.video_read import Clip, open_clip
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.video.evaluate_mot import clip_of, score
from vitapps.pipelines.video.looks import looks_of
from vitapps.pipelines.video.mot import MotSettings, associate, rows_of
from vitapps.pipelines.video.mot_detections import MOTION, Finder, find_people, make_finder
from vitapps.pipelines.video.mot_scores import MotScores
from vitapps.pipelines.video.people import BEGINS
from vitapps.pipelines.video.people_scores import PeopleScores, people_scores
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.progress import Progress, null_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleRow:
    """One way of finding people in one sequence; recall and precision are of boxes that may begin a track; `cpu_ms` a
    frame, of this process."""

    sequence: str
    way: str
    boxes: PeopleScores
    tracks: MotScores
    cpu_ms: float


def evaluate_people(
    data: Path, *, weights: str = "", options: RunOptions | None = None, progress: Progress = null_progress
) -> list[PeopleRow]:  # fmt: skip
    """Rows by sequence: the finder with motion, without, and motion alone. Raises UnreadableInputError for a folder
    without gt/gt.txt beside a clip."""
    folders = _sequences(data)
    if not folders:
        raise UnreadableInputError(f"{data}: no sequence with gt/gt.txt and a clip", hint="MOTChallenge layout")
    chosen = options or RunOptions()
    ways: dict[str, Callable[[Clip], Finder]] = {
        "people and motion": lambda clip: find_people(clip, chosen, weights=weights),
        "people": lambda clip: find_people(clip, chosen, weights=weights, still=False),
        "what moves": lambda clip: make_finder(None, MOTION, clip, chosen),
    }
    rows = []
    with progress.task("finding people", total=len(folders) * len(ways)) as task:
        for folder in folders:
            for name, way in ways.items():
                rows.append(_row(folder, name, way, chosen))
                task.advance()
    return rows


def has_sequences(data: Path) -> bool:
    """Whether there is a folder with gt/gt.txt beside a clip."""
    return bool(_sequences(data))


def _sequences(data: Path) -> list[Path]:
    return [path.parent.parent for path in sorted(data.rglob("gt/gt.txt")) if clip_of(path.parent.parent)]


def _row(folder: Path, name: str, way: Callable[[Clip], Finder], options: RunOptions) -> PeopleRow:
    truth = read_tracks(folder / "gt/gt.txt")
    settings = MotSettings()
    searched, sighted = [], []
    clock = time.process_time()
    with open_clip(str(clip_of(folder)), threads=options.threads) as clip:
        finder = way(clip)
        for frame in clip.frames():
            found = finder.find(frame)
            sighted.append((found, looks_of(frame.pixels, found.boxes)))
            searched.append(FoundBoxes(boxes=found.boxes, scores=found.scores, drawn=_drawn(truth, frame.index)))
    tracks = rows_of(associate(sighted, settings.associate), settings)
    spent = 1000 * (time.process_time() - clock) / max(1, len(searched))
    return PeopleRow(
        sequence=folder.name, way=name, boxes=people_scores(searched, BEGINS),
        tracks=score(truth, tracks, len(searched)), cpu_ms=round(spent, 1),
    )  # fmt: skip


def _drawn(truth: list[TrackRow], frame: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    boxes = [[row.x, row.y, row.x + row.w, row.y + row.h] for row in truth if row.frame == frame and row.score > 0]
    return np.array(boxes, np.float64).reshape(-1, 4)
