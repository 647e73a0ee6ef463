"""`vitapps video mot`: detections of many objects joined to tracks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, fields
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
    write_tracks,
)
from vitapps.datasets.formats.video_read import Clip, ClipMeta, Decoder, Frame, is_url, open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.associate import AssociateSettings, Associator, Track, filled
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet, draw_rows
from vitapps.pipelines.video.looks import looks_of
from vitapps.pipelines.video.mot_detections import Detections, Finder, make_finder
from vitapps.pipelines.video.starts import check_span
from vitapps.pipelines.video.track import AHEAD, sound_of
from vitapps.pipelines.video.track_smooth import smoothed
from vitapps.pipelines.windows.prefetch import ahead
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

Floats = NDArray[np.float64]
SMOOTHING = (1.5, 4.0)  # frames: of the centre, of the sides


@dataclass(frozen=True, kw_only=True, slots=True)
class MotSettings:
    """`detections` in any format of `tracks.py`, else by the detector `weights`, else people (`mot_detections.py`);
    `words`: what is sought, of weights that are asked by words;
    `start`, `end` seconds of the part that is tracked, every `stride`-th frame of it; `smooth` frames over which
    (centre, sides) of finished tracks are smoothed; `least`: sightings of a track that is written."""

    detections: Path | None = None
    weights: str | None = None
    words: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    stride: int = 1
    associate: AssociateSettings = field(default_factory=AssociateSettings)
    smooth: tuple[float, float] = SMOOTHING
    least: int = 3
    format: TrackFormat | None = None
    video: Path | None = None
    preview: bool = False
    image_rate: float = 25.0
    decoder: Decoder = "auto"


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

    The clip is decoded once, and once more only to be drawn or, without detections, to learn its background. Raises
    UsageError, UnreadableInputError, MissingError or OutputError; then no output is left and older ones are untouched.
    """
    options = options or RunOptions()
    check_settings(settings.associate)
    check_part(settings)
    form = choose_format(out, settings.format)
    outputs = _outputs(out, settings)
    given = [settings.detections] if settings.detections else []
    for path in outputs.values():
        check_output(path, overwrite=options.overwrite, sources=[*given, *([] if is_url(source) else [Path(source)])])
    with ExitStack() as stack:
        clip = stack.enter_context(
            open_clip(source, decoder=settings.decoder, threads=options.threads, image_rate=settings.image_rate)
        )
        check_drawing(clip.meta, settings)
        finder = make_finder(settings.detections, settings.weights, clip, options, settings.words)
        record = new_record(finder.networks, options=options, settings=_facts(settings), command=command, inputs=given)
        paths = {
            name: stack.enter_context(atomic_path(path, overwrite=options.overwrite)) for name, path in outputs.items()
        }
        with record.timed("associate"):
            tracks, seen, number = _tracks(clip, finder, settings, progress)
        rows = rows_of(tracks, settings, seen)
        with record.timed("write"):
            write_tracks(paths["out"], rows, _meta(clip.meta, len(seen)), form)
            if len(paths) > 1:
                _draw(stack, clip, rows, paths, settings)
    note_clips(record, clip.meta)
    record.warnings = [*finder.notes, *clip.warnings]
    figures = {
        "frames": len(seen),
        "detections": number,
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


def check_drawing(meta: ClipMeta, settings: MotSettings) -> None:
    """Tracks are drawn when they are finished: UsageError for a stream that cannot be read a second time."""
    live = is_url(meta.source) or meta.source.startswith("/dev/")
    if live and not meta.duration_s and (settings.video is not None or settings.preview):
        raise UsageError(
            f"--video, --preview: {meta.source} cannot be read a second time",
            hint="record it first: ffmpeg -i URL -c copy CLIP.mkv",
        )


def check_settings(settings: AssociateSettings) -> None:
    """Refuse thresholds that no detection could fit."""
    for name in ("strong", "weak", "begin", "overlap", "appearance"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise UsageError(f"--set {name}={value:g}: outside 0 to 1", hint="leave it out to use the default")
    if settings.enlarge < 0:
        raise UsageError(f"--set enlarge={settings.enlarge:g}: below 0", hint="a share of a box's sides")
    for name, least in (("confirm", 1), ("keep", 0), ("fill", 0)):
        if getattr(settings, name) < least:
            raise UsageError(f"--set {name}={getattr(settings, name)}: {least} or more", hint="a number of frames")


def association(pairs: Sequence[str]) -> AssociateSettings:
    """The settings that texts NAME=VALUE change; UsageError for another name or a value that is no number."""
    known: dict[str, type[Any]] = {item.name: type(item.default) for item in fields(AssociateSettings)}
    changed: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known:
            raise UsageError(f"--set {pair}: no setting '{name}'", hint=f"NAME=VALUE, one of {', '.join(known)}")
        try:
            changed[name] = known[name](text)
        except ValueError:
            kind = "a whole number" if known[name] is int else "a number"
            raise UsageError(f"--set {pair}: '{text}' is not {kind}", hint=f"{name}=VALUE") from None
    return AssociateSettings(**changed)


def check_part(settings: MotSettings) -> None:
    """Refuse a part of the clip that holds no time."""
    if settings.stride < 1:
        raise UsageError(f"--stride {settings.stride}: starts at 1", hint="1 takes every frame")
    start = settings.start or 0.0
    check_span("--start", start, settings.end)
    if settings.image_rate <= 0:
        raise UsageError(f"--image-rate {settings.image_rate:g}: above 0", hint="pictures a second")


def associate(frames: Iterable[tuple[Detections, Floats | None]], settings: AssociateSettings) -> list[Track]:
    """The tracks of frames 0, 1, …: the detections of each, and their looks or None."""
    associator = Associator(settings)
    for number, (found, looks) in enumerate(frames):
        associator.step(number, found.boxes, found.scores, looks)
    return associator.tracks


def rows_of(
    tracks: Sequence[Track], settings: MotSettings, seen: Sequence[tuple[int, float]] = ()
) -> list[TrackRow]:  # fmt: skip
    """Rows of the tracks, numbered from 1 without gaps; filled-in ones are `uncertain`. `seen`: number in the clip and
    seconds of every frame that was associated, else they count from 0 and have no time."""
    rows = []
    real = [track for track in tracks if len(track.frames) >= settings.least]
    for number, track in enumerate(real, 1):
        parts = filled(track, settings.associate.fill)
        frames = np.array([part[0] for part in parts], np.float64)
        sighted = np.array([part[3] for part in parts], bool)
        boxes = smoothed(frames, np.array([part[1] for part in parts]), sighted, *settings.smooth)
        for (frame, _, score, sure), (x0, y0, x1, y1) in zip(parts, boxes.tolist(), strict=True):
            index, time = seen[frame] if seen else (frame, 0.0)
            state = "tracked" if sure else "uncertain"
            rows.append(
                TrackRow(
                    frame=index, time_s=time, id=number, x=x0, y=y0, w=x1 - x0, h=y1 - y0, score=score, state=state
                )
            )
    return sorted(rows, key=lambda row: (row.frame, row.id))


def _tracks(
    clip: Clip, finder: Finder, settings: MotSettings, progress: Progress
) -> tuple[list[Track], list[tuple[int, float]], int]:
    """Tracks, number and seconds of the frames that were looked at, and how many detections they had."""
    seen: list[tuple[int, float]] = []
    number = 0
    needs_looks = settings.associate.appearance > 0

    def looked() -> Generator[tuple[Detections, Floats | None], None, None]:
        nonlocal number
        total = clip.meta.frames / settings.stride if clip.meta.frames else None
        frames = ahead(clip.frames(settings.start, settings.end, settings.stride), AHEAD)
        with closing(frames), progress.task("tracking", total=total) as task:
            for frame in frames:
                seen.append((frame.index, frame.time_s))
                found = finder.find(frame)
                number += len(found.scores)
                yield found, looks_of(frame.pixels, found.boxes) if needs_looks else None
                task.advance()

    with closing(looked()) as watched:
        tracks = associate(watched, settings.associate)
    if not seen:
        raise UnreadableInputError(f"{clip.meta.source}: no frame in the part asked for", hint="--start, --end")
    if settings.end is None and finder.last >= seen[-1][0] + settings.stride:
        raise UnreadableInputError(
            f"{settings.detections}: has frame {finder.last + 1}, the clip has {seen[-1][0] + 1}",
            hint="MOT files count frames from 1, CSV and JSON from 0; is it the right clip?",
        )
    return tracks, seen, number


def _draw(
    stack: ExitStack, clip: Clip, rows: Sequence[TrackRow], paths: dict[str, Path], settings: MotSettings
) -> None:  # fmt: skip
    frames: dict[int, list[TrackRow]] = {}
    for row in rows:
        frames.setdefault(row.frame, []).append(row)
    sheet = ContactSheet(number=6, columns=3, width=480)
    writer = (
        stack.enter_context(
            open_writer(
                paths["video"], rate=(clip.meta.rate or 25.0) / settings.stride,
                sound=sound_of(clip.meta),
            )
        )
        if "video" in paths
        else None
    )  # fmt: skip
    for frame in clip.frames(settings.start, settings.end, settings.stride):
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
