"""`vitapps video mot`: detections of many objects joined to tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.tracks import (
    TrackFormat,
    TrackMeta,
    TrackRow,
    choose_format,
    read_tracks,
    write_tracks,
)
from vitapps.datasets.formats.video_read import ClipMeta, Frame, is_url, open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.associate import AssociateSettings, Associator, Track, filled
from vitapps.pipelines.video.draw import ContactSheet, draw_rows
from vitapps.pipelines.video.looks import looks_of
from vitapps.pipelines.video.track_smooth import smoothed
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

Floats = NDArray[np.float64]
SMOOTHING = (1.5, 4.0)  # frames: of the centre, of the sides


@dataclass(frozen=True, kw_only=True, slots=True)
class MotSettings:
    """`detections` in any format of `tracks.py`; `smooth` frames over which (centre, sides) of finished tracks are
    smoothed; `least`: sightings of a track that is written."""

    detections: Path
    associate: AssociateSettings = field(default_factory=AssociateSettings)
    smooth: tuple[float, float] = SMOOTHING
    least: int = 3
    format: TrackFormat | None = None
    video: Path | None = None
    preview: bool = False
    image_rate: float = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MotResult:
    """`tracks` written, `rows`, of which `filled` stand between sightings; `mean_length` frames a track."""

    input: str
    out: Path
    video: Path | None
    preview: Path | None
    record: Path
    frames: int
    detections: int
    tracks: int
    rows: int
    filled: int
    mean_length: float
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name; paths stay paths."""
        return asdict(self)


def mot(
    source: str | Path, out: Path, settings: MotSettings, *, options: RunOptions | None = None,
    progress: Progress = null_progress, command: str = "",
) -> MotResult:  # fmt: skip
    """Join the detections of clip `source` to tracks and write them to `out`, with a run record beside it.

    The clip is decoded once for looks (unless their weight is 0) and times, and once more only to be drawn. Raises
    UsageError, UnreadableInputError or OutputError; then no output is left and older ones are untouched.
    """
    options = options or RunOptions()
    check_settings(settings.associate)
    form = choose_format(out, settings.format)
    outputs = _outputs(out, settings)
    sources = [settings.detections, *([] if is_url(source) else [Path(source)])]
    for path in outputs.values():
        check_output(path, overwrite=options.overwrite, sources=sources)
    found = by_frame(read_tracks(settings.detections))
    record = new_record([], options=options, settings=_facts(settings), command=command, inputs=[settings.detections])
    with ExitStack() as stack:
        paths = {
            name: stack.enter_context(atomic_path(path, overwrite=options.overwrite)) for name, path in outputs.items()
        }
        with record.timed("associate"):
            meta, tracks, times, notes = _tracks(source, found, settings, options, progress)
        rows = rows_of(tracks, settings, times)
        with record.timed("write"):
            write_tracks(paths["out"], rows, _meta(meta, len(times)), form)
            if len(paths) > 1:
                _draw(stack, source, rows, paths, settings, options)
    record.warnings = notes
    figures = {
        "frames": len(times),
        "detections": sum(len(boxes.scores) for boxes in found.values()),
        "tracks": len({row.id for row in rows}),
        "rows": len(rows),
        "filled": sum(row.state == "uncertain" for row in rows),
        "mean_length": round(len(rows) / max(1, len({row.id for row in rows})), 2),
    }
    record.results = {**figures, "output": str(out)}
    return MotResult(
        input=str(source), out=out, video=settings.video, preview=outputs.get("preview"),
        record=write_run_record(out, record), timings=record.timings, warnings=record.warnings, **figures,  # type: ignore[arg-type]
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """Of one frame: `boxes` n 4 as x0 y0 x1 y1, `scores` n."""

    boxes: Floats
    scores: Floats


NOTHING = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0))


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


def check_settings(settings: AssociateSettings) -> None:
    """Refuse thresholds that no detection could fit."""
    for name in ("strong", "weak", "start", "overlap", "appearance"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise UsageError(f"--{name} {value:g}: outside 0 to 1", hint="leave it out to use the default")
    for name, least in (("confirm", 1), ("keep", 0), ("fill", 0)):
        if getattr(settings, name) < least:
            raise UsageError(f"--{name} {getattr(settings, name)}: {least} or more", hint="a number of frames")


def associate(
    frames: Iterator[tuple[int, Floats | None]] | Sequence[tuple[int, Floats | None]], found: dict[int, Detections],
    settings: AssociateSettings,
) -> list[Track]:  # fmt: skip
    """The tracks of all frames: pairs of number and looks of its detections, or None."""
    associator = Associator(settings)
    for number, looks in frames:
        seen = found.get(number, NOTHING)
        associator.step(number, seen.boxes, seen.scores, looks)
    return associator.tracks


def rows_of(tracks: Sequence[Track], settings: MotSettings, times: Sequence[float] = ()) -> list[TrackRow]:
    """Rows of the tracks, numbered from 1 without gaps; filled-in ones are `uncertain`."""
    rows = []
    real = [track for track in tracks if len(track.frames) >= settings.least]
    for number, track in enumerate(real, 1):
        parts = filled(track, settings.associate.fill)
        frames = np.array([part[0] for part in parts], np.float64)
        seen = np.array([part[3] for part in parts], bool)
        boxes = smoothed(frames, np.array([part[1] for part in parts]), seen, *settings.smooth)
        for (frame, _, score, sure), (x0, y0, x1, y1) in zip(parts, boxes.tolist(), strict=True):
            time = times[frame] if frame < len(times) else 0.0
            state = "tracked" if sure else "uncertain"
            rows.append(
                TrackRow(
                    frame=frame, time_s=time, id=number, x=x0, y=y0, w=x1 - x0, h=y1 - y0, score=score, state=state
                )
            )
    return sorted(rows, key=lambda row: (row.frame, row.id))


def _tracks(
    source: str | Path, found: dict[int, Detections], settings: MotSettings, options: RunOptions, progress: Progress
) -> tuple[ClipMeta, list[Track], list[float], list[str]]:
    """Meta of the clip, tracks, times of all frames and warnings."""
    times: list[float] = []
    with open_clip(source, threads=options.threads, image_rate=settings.image_rate) as clip:
        needs_looks = settings.associate.appearance > 0

        def looked() -> Iterator[tuple[int, Floats | None]]:
            with progress.task("tracking", total=clip.meta.frames or None) as task:
                for frame in clip.frames():
                    times.append(frame.time_s)
                    seen = found.get(frame.index, NOTHING)
                    yield frame.index, looks_of(frame.pixels, seen.boxes) if needs_looks else None
                    task.advance()

        tracks = associate(looked(), found, settings.associate)
        beyond = max(found, default=0) - len(times) + 1
        if beyond > 0:
            raise UnreadableInputError(
                f"{settings.detections}: has frame {len(times) + beyond}, the clip has {len(times)}",
                hint="MOT files count frames from 1, CSV and JSON from 0; is it the right clip?",
            )
        return clip.meta, tracks, times, list(clip.warnings)


def _draw(
    stack: ExitStack, source: str | Path, rows: Sequence[TrackRow], paths: dict[str, Path], settings: MotSettings,
    options: RunOptions,
) -> None:  # fmt: skip
    frames: dict[int, list[TrackRow]] = {}
    for row in rows:
        frames.setdefault(row.frame, []).append(row)
    sheet = ContactSheet(number=6, columns=3, width=480)
    with open_clip(source, threads=options.threads, image_rate=settings.image_rate) as clip:
        sound = clip.meta.source if clip.meta.has_audio else None
        writer = (
            stack.enter_context(open_writer(paths["video"], rate=clip.meta.rate or 25.0, sound=sound))
            if "video" in paths
            else None
        )
        for frame in clip.frames():
            drawn = _drawn(frame, frames)
            if writer:
                writer.add(drawn, frame.time_s)
            sheet.add(drawn)
    if "preview" in paths:
        sheet.save(paths["preview"])


def _drawn(frame: Frame, rows: dict[int, list[TrackRow]]) -> NDArray[np.uint8]:
    return draw_rows(frame.pixels, rows.get(frame.index, []))


def _outputs(out: Path, settings: MotSettings) -> dict[str, Path]:
    video = {"video": settings.video} if settings.video is not None else {}
    return {"out": out, **video, **({"preview": preview_path(out)} if settings.preview else {})}


def _facts(settings: MotSettings) -> dict[str, Any]:
    values = asdict(settings)
    return {**values.pop("associate"), **values}


def _meta(meta: ClipMeta, frames: int) -> TrackMeta:
    return TrackMeta(source=meta.source, width=meta.width, height=meta.height, rate=meta.rate, frames=frames)
