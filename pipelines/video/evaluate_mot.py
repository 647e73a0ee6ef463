"""`vitapps video eval mot`: our association and the published ones on public detections, in MOTChallenge's layout."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.tracks import TrackRow, read_tracks
from vitapps.datasets.formats.video_read import VIDEO_SUFFIXES, open_clip
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.video.associate import AssociateSettings
from vitapps.pipelines.video.looks import looks_of
from vitapps.pipelines.video.mot import MotSettings, associate, rows_of
from vitapps.pipelines.video.mot_baselines import BASELINES, Sighted
from vitapps.pipelines.video.mot_detections import NOTHING, Detections, by_frame
from vitapps.pipelines.video.mot_scores import Boxes, MotScores, mot_scores, without_ignored
from vitapps.progress import Progress, null_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class MotRow:
    """One way of tracking one sequence."""

    sequence: str
    tracker: str
    scores: MotScores


def evaluate_mot(
    data: Path, *, options: RunOptions | None = None, progress: Progress = null_progress
) -> list[MotRow]:  # fmt: skip
    """Rows by sequence: the defaults, the same without smoothing and filling, SORT, ByteTrack and OC-SORT
    (`mot_baselines.py`) on the same detections, and overlap alone (a track per chain of overlapping boxes). Raises
    UnreadableInputError for a folder without gt/gt.txt and det/det.txt."""
    folders = sorted(
        path.parent.parent for path in data.rglob("gt/gt.txt") if (path.parent.parent / "det/det.txt").exists()
    )
    if not folders:
        raise UnreadableInputError(f"{data}: no sequence with gt/gt.txt and det/det.txt", hint="MOTChallenge layout")
    rows = []
    with progress.task("tracking", total=len(folders)) as task:
        for folder in folders:
            rows += _sequence(folder, options or RunOptions())
            task.advance()
    return rows


def _sequence(folder: Path, options: RunOptions) -> list[MotRow]:
    truth = read_tracks(folder / "gt/gt.txt")
    found = by_frame(read_tracks(folder / "det/det.txt"))
    number = max(max(row.frame for row in truth), max(found, default=0)) + 1
    looks = _looks(folder, found, options)
    default = MotSettings(detections=folder / "det/det.txt")
    plain = replace(default, smooth=(0.0, 0.0), associate=AssociateSettings(fill=0))
    simple = replace(
        plain, least=1, associate=AssociateSettings(fill=0, enlarge=0.0, keep=1, confirm=1, appearance=0.0)
    )
    kinds = {"vitapps": default, "vitapps, not smoothed": plain, "overlap of neighbouring frames": simple}
    every = [found.get(place, NOTHING) for place in range(number)]
    rows = [
        MotRow(sequence=folder.name, tracker=name, scores=score(truth, as_rows(follow(every)), number))
        for name, follow in BASELINES.items()
    ]
    for name, settings in kinds.items():
        wanted = settings.associate.appearance > 0
        frames = [(item, looks(place) if wanted else None) for place, item in enumerate(every)]
        tracks = rows_of(associate(frames, settings.associate), settings)
        rows.append(MotRow(sequence=folder.name, tracker=name, scores=score(truth, tracks, number)))
    return sorted(rows, key=lambda row: not row.tracker.startswith("vitapps"))


def as_rows(frames: Sequence[Sighted]) -> list[TrackRow]:
    """The rows of a published tracker."""
    return [
        TrackRow(frame=frame, id=number, x=x0, y=y0, w=x1 - x0, h=y1 - y0)
        for frame, sighted in enumerate(frames) for number, (x0, y0, x1, y1) in sighted
    ]  # fmt: skip


def score(truth: Sequence[TrackRow], tracks: Sequence[TrackRow], frames: int) -> MotScores:
    """Scores of `tracks`; drawn rows of confidence 0 count neither for nor against (MOT16)."""
    drawn = _boxes([row for row in truth if row.score > 0], frames)
    ignored = _boxes([row for row in truth if row.score <= 0], frames)
    found = _boxes(tracks, frames)
    kept = [without_ignored(a, b.boxes, c) for a, b, c in zip(drawn, ignored, found, strict=True)]
    return mot_scores(drawn, kept)


def _boxes(rows: Sequence[TrackRow], frames: int) -> list[Boxes]:
    """Rows by frame; those beyond the last are dropped."""
    groups: list[list[TrackRow]] = [[] for _ in range(frames)]
    for row in rows:
        if 0 <= row.frame < frames:
            groups[row.frame].append(row)
    return [
        Boxes(
            ids=np.array([row.id for row in group], np.int64),
            boxes=np.array([[row.x, row.y, row.x + row.w, row.y + row.h] for row in group], np.float64).reshape(-1, 4),
        )
        for group in groups
    ]


def _looks(
    folder: Path, found: dict[int, Detections], options: RunOptions
) -> Callable[[int], np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None]:
    """Looks by frame number, where the folder has the clip or the pictures that its seqinfo.ini names."""
    source = clip_of(folder)
    if source is None:
        return lambda place: None
    with open_clip(source, threads=options.threads) as clip:
        known = {frame.index: looks_of(frame.pixels, found.get(frame.index, NOTHING).boxes) for frame in clip.frames()}
    return lambda place: known.get(place)


def clip_of(folder: Path) -> Path | None:
    """The clip of a sequence, or the pictures that its seqinfo.ini names; None where there are none."""
    info = configparser.ConfigParser()
    try:
        info.read(folder / "seqinfo.ini")
        named = folder / info.get("Sequence", "imDir", fallback="img1")
    except (configparser.Error, UnicodeDecodeError):
        named = folder / "img1"
    if named.exists():
        return named
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    return clips[0] if clips else None
