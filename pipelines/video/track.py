"""`vitapps video track`: one or several objects followed through a clip from boxes, points or a mask."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.tracks import TrackFormat, TrackMeta, TrackRow, choose_format, write_tracks
from vitapps.datasets.formats.video_read import Clip, ClipMeta, Decoder, Frame, is_url, open_clip
from vitapps.datasets.formats.video_write import ClipWriter, open_writer
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet, draw_rows
from vitapps.pipelines.video.followers import Follower, Maker, make_trackers
from vitapps.pipelines.video.single import Sighting
from vitapps.pipelines.video.starts import Prompt, Roster, check_span
from vitapps.pipelines.video.track_choices import TrackerKind
from vitapps.pipelines.windows.prefetch import ahead
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

log = logging.getLogger("vitapps.video")
Picture = NDArray[np.uint8]
AHEAD = 3  # frames that are decoded while one is worked on


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackSettings:
    """What to follow and where. `boxes` and `points` in pixels of the frame as a player shows it, `mask` a PNG of
    object numbers; `at` seconds where they hold, if they do not say it themselves, and tracking begins; `end` seconds
    before which it ends; every `stride`-th frame is followed and written. `tracker` as in `followers.py`."""

    boxes: tuple[Prompt, ...] = ()
    points: tuple[Prompt, ...] = ()
    mask: Path | None = None
    at: float = 0.0
    end: float | None = None
    stride: int = 1
    tracker: TrackerKind = "auto"
    decoder: Decoder = "auto"
    image_rate: float = 25.0
    format: TrackFormat | None = None
    video: Path | None = None
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackResult:
    """`frames` followed, `objects`; `lost` share of rows by object that are lost; `p50_ms`, `p95_ms` wall time of a
    frame's tracking, all objects together, without decoding."""

    input: str
    out: Path
    video: Path | None
    preview: Path | None
    record: Path
    frames: int
    objects: int
    lost: dict[str, float]
    mean_score: float
    p50_ms: float
    p95_ms: float
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name; paths stay paths."""
        return asdict(self)


def track(
    source: str | Path, out: Path, settings: TrackSettings, *, weights: str | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress, command: str = "",
) -> TrackResult:  # fmt: skip
    """Follow the objects of `settings` and write one row an object and frame to `out`, with a run record beside it.

    By correlation filter, flow and colours (`single.py`) with the embedded network, or by the network `weights`: a
    card, or a published tracker as `lorat:FILE` or `ostrack:FILE` (`followers.py`).

    Raises UsageError, UnreadableInputError or OutputError; then no output is left and older ones are untouched.
    """
    options = options or RunOptions()
    check_settings(settings)
    form = _check_outputs(source, out, settings, options)
    maker, networks = make_trackers(settings.tracker, weights, options)
    with open_clip(source, decoder=settings.decoder, threads=options.threads, image_rate=settings.image_rate) as clip:
        facts = {**asdict(settings), "source": str(source)}
        given = [settings.mask] if settings.mask else []
        record = new_record(networks, options=options, settings=facts, command=command, inputs=given)
        with ExitStack() as stack:
            paths = _temporaries(stack, out, settings, options)
            sink = _Sink(stack, paths, clip.meta, settings)
            with record.timed("track"):
                rows, times = _follow(clip, settings, maker, sink, progress)
            with record.timed("write"):
                write_tracks(paths["out"], rows, _meta(clip.meta, rows), form)
                sink.finish()
        note_clips(record, clip.meta)
        record.warnings = list(clip.warnings)
        if len({row.frame for row in rows}) == 1:
            record.warnings.append("one frame alone: nothing was followed")
            log.warning("%s: one frame alone: nothing was followed; is --stride too large?", source)
    return _report(source, out, settings, rows, times, record)


def check_settings(settings: TrackSettings) -> None:
    """Refuse what no clip could fit."""
    if not settings.boxes and not settings.points and settings.mask is None:
        raise UsageError("nothing to follow is given", hint="--box x,y,w,h, --point x,y or --mask first.png")
    for box in settings.boxes:
        if min(box.where[2:]) <= 0:
            raise UsageError(f"--box {box}: no width or height", hint="--box x,y,w,h")
    if settings.stride < 1:
        raise UsageError(f"--stride {settings.stride}: starts at 1", hint="1 writes every frame")
    check_span("--at", settings.at, settings.end)
    check_span("--box or --point @", _roster(settings).seconds[-1], settings.end)
    if settings.image_rate <= 0:
        raise UsageError(f"--image-rate {settings.image_rate:g}: above 0", hint="pictures a second")


def sound_of(meta: ClipMeta) -> str | None:
    """Where the annotated clip takes its sound from: None for a silent clip or a stream."""
    return meta.source if meta.has_audio and not is_url(meta.source) else None


def _follow(
    clip: Clip, settings: TrackSettings, maker: Maker, sink: _Sink, progress: Progress
) -> tuple[list[TrackRow], list[float]]:
    """All rows, and the milliseconds of each frame."""
    rows: list[TrackRow] = []
    times: list[float] = []
    trackers: dict[int, Follower] = {}
    roster = _roster(settings)
    total = clip.meta.frames / settings.stride if clip.meta.frames else None
    frames = ahead(clip.frames(start=roster.seconds[0], end=settings.end, stride=settings.stride), AHEAD)
    with closing(frames), progress.task(f"tracking in {Path(clip.meta.source).name}", total=total) as task:
        for frame in frames:
            begin = time.perf_counter()
            seen = {number: tracker.update(frame.pixels) for number, tracker in trackers.items()}
            if seen:
                times.append(1000 * (time.perf_counter() - begin))
            for number, start in roster.due(frame.pixels, frame.time_s).items():
                trackers[number] = maker(frame.pixels, start.box)
                seen[number] = Sighting(box=start.box, score=1.0, state="tracked")
            new = [_row(frame, number, seen[number]) for number in sorted(seen)]
            rows += new
            sink.add(frame, new)
            task.advance()
    if late := roster.seconds:
        raise UnreadableInputError(
            f"{clip.meta.source}: has no frame at {late[0]:g} s", hint=f"it lasts {clip.meta.duration_s:g} s"
        )
    return rows, times


def _roster(settings: TrackSettings) -> Roster:
    return Roster(settings.boxes, settings.points, settings.mask, settings.at)


def _row(frame: Frame, number: int, sighting: Sighting) -> TrackRow:
    x0, y0, x1, y1 = (float(value) for value in sighting.box)
    return TrackRow(
        frame=frame.index, time_s=frame.time_s, id=number, x=x0, y=y0, w=x1 - x0, h=y1 - y0, score=sighting.score,
        state=sighting.state,
    )  # fmt: skip


class _Sink:
    """The annotated clip and the sheet, where they are asked for."""

    def __init__(self, stack: ExitStack, paths: dict[str, Path], meta: ClipMeta, settings: TrackSettings) -> None:
        self._sheet = ContactSheet() if settings.preview else None
        self._sheet_path = paths.get("preview")
        self._writer: ClipWriter | None = None
        if settings.video is not None:
            self._writer = stack.enter_context(
                open_writer(
                    paths["video"], rate=(meta.rate or 25.0) / settings.stride, sound=sound_of(meta)
                )
            )  # fmt: skip

    def add(self, frame: Frame, rows: Sequence[TrackRow]) -> None:
        wanted = self._sheet is not None and self._sheet.wants()
        drawn = draw_rows(frame.pixels, rows) if wanted or self._writer else None
        if self._writer and drawn is not None:
            self._writer.add(drawn, frame.time_s)
        if self._sheet is not None:
            self._sheet.add(drawn if wanted else None)

    def finish(self) -> None:
        if self._sheet is not None and self._sheet_path is not None:
            self._sheet.save(self._sheet_path)


def _check_outputs(source: str | Path, out: Path, settings: TrackSettings, options: RunOptions) -> TrackFormat:
    form = choose_format(out, settings.format)
    sources = [Path(source), *([settings.mask] if settings.mask else [])]
    for path in _outputs(out, settings).values():
        check_output(path, overwrite=options.overwrite, sources=[] if is_url(source) else sources)
    return form


def _outputs(out: Path, settings: TrackSettings) -> dict[str, Path]:
    found = {"out": out}
    if settings.video is not None:
        found["video"] = settings.video
    if settings.preview:
        found["preview"] = preview_path(out)
    return found


def _temporaries(
    stack: ExitStack, out: Path, settings: TrackSettings, options: RunOptions
) -> dict[str, Path]:  # fmt: skip
    return {
        name: stack.enter_context(atomic_path(path, overwrite=options.overwrite))
        for name, path in _outputs(out, settings).items()
    }


def _meta(meta: ClipMeta, rows: Sequence[TrackRow]) -> TrackMeta:
    frames = len({row.frame for row in rows})
    return TrackMeta(source=meta.source, width=meta.width, height=meta.height, rate=meta.rate, frames=frames)


def _report(
    source: str | Path,
    out: Path,
    settings: TrackSettings,
    rows: Sequence[TrackRow],
    times: Sequence[float],
    record: Any,
) -> TrackResult:
    objects = sorted({row.id for row in rows})
    lost = {
        str(number): round(float(np.mean([row.state == "lost" for row in rows if row.id == number])), 4)
        for number in objects
    }
    figures: dict[str, Any] = {
        "frames": len({row.frame for row in rows}),
        "objects": len(objects),
        "lost": lost,
        "mean_score": round(float(np.mean([row.score for row in rows])), 4),
        "p50_ms": round(float(np.percentile(times, 50)), 2) if times else 0.0,
        "p95_ms": round(float(np.percentile(times, 95)), 2) if times else 0.0,
    }
    record.results = {**figures, "output": str(out)}
    return TrackResult(
        input=str(source), out=out, video=settings.video, preview=preview_path(out) if settings.preview else None,
        record=write_run_record(out, record), timings=record.timings, warnings=record.warnings, **figures,
    )  # fmt: skip
