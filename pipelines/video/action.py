"""`vitapps video action`: what happens in a clip of any length, over time and as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.video_read import Decoder, Frame, is_url, open_clip
from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS, ActionModel, load_action_model
from vitapps.pipelines.video.action_outputs import check_action_output, write_actions
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet
from vitapps.pipelines.video.windows import look
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

log = logging.getLogger("vitapps.video")


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionSettings:
    """`hop` frames between windows (None: half a window); `crops` squares of each; `top` classes that are told."""

    start: float | None = None
    end: float | None = None
    hop: int | None = None
    crops: int = 1
    top: int = 5
    decoder: Decoder = "auto"
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A class and its probability."""

    label: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A part of the clip in which the same class is the likeliest; `score` is its mean probability there."""

    start_s: float
    end_s: float
    label: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionResult:
    """`clip`: the likeliest classes of the whole (mean over windows); `segments`: over time."""

    input: str
    out: Path | None
    preview: Path | None
    record: Path | None
    windows: int
    clip: list[Told]
    segments: list[Segment]
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def action(
    source: str, out: Path | None = None, *, weights: str = DEFAULT_WEIGHTS, settings: ActionSettings | None = None,
    options: RunOptions | None = None, model: ActionModel | None = None, progress: Progress = null_progress,
    command: str = "",
) -> ActionResult:  # fmt: skip
    """Classify `source`; `out` (.json .csv .srt) is written where one is given. `model`: loaded before, else by
    `weights`. Raises UsageError, UnreadableInputError, MissingError or OutputError; then no output is left."""
    settings, options = settings or ActionSettings(), options or RunOptions()
    _check(source, out, settings, options)
    with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
        model = model or load_action_model(weights, options)
        if not model.labels:
            raise MissingError(f"weights '{model.facts.name}' have no classes", hint="vitapps video embed, or probe")
        record = new_record([model.facts], options=options, settings=settings, command=command)
        sheet = ContactSheet() if settings.preview else None
        with record.timed("classify"), progress.task(f"classifying {source}") as task:
            frames = _shown(clip.frames(settings.start, settings.end), sheet)
            seen = []
            for window in look(frames, model, name=source, hop=settings.hop, crops=settings.crops):
                seen.append(window)
                task.advance()
        record.warnings += clip.warnings
    if seen[-1].end_s == seen[0].start_s:
        record.warnings.append("one frame alone: no motion to be seen")
        log.warning("%s: one frame alone: no motion to be seen", source)
    shares = model.probabilities(np.stack([window.logits for window in seen]))
    whole = ranked(shares.mean(axis=0), model.labels, settings.top)
    segments = merge([(window.start_s, window.end_s) for window in seen], shares, model.labels)
    record.results = {"windows": len(seen), "clip": [asdict(item) for item in whole]}
    if out is not None:
        note_clips(record, clip.meta)
        with atomic_path(out, overwrite=options.overwrite) as temporary:
            write_actions(temporary, whole, segments)
            if sheet:
                sheet.save(preview_path(temporary))
    return ActionResult(
        input=source, out=out, preview=preview_path(out) if out and sheet else None,
        record=write_run_record(out, record) if out else None, windows=len(seen), clip=whole, segments=segments,
        timings=record.timings, warnings=record.warnings,
    )  # fmt: skip


def ranked(shares: NDArray[np.float32], labels: Sequence[str], top: int) -> list[Told]:
    """The `top` likeliest classes of K probabilities."""
    order = np.argsort(-shares, kind="stable")[:top]
    return [Told(label=labels[place], score=round(float(shares[place]), 4)) for place in order]


def merge(times: Sequence[tuple[float, float]], shares: NDArray[np.float32], labels: Sequence[str]) -> list[Segment]:
    """Neighbouring windows with the same likeliest class as one segment; where two overlap, the middle divides."""
    best = shares.argmax(axis=1)
    segments: list[Segment] = []
    first = 0
    for place in range(1, len(best) + 1):
        if place < len(best) and best[place] == best[first]:
            continue
        begin = times[first][0] if first == 0 else (times[first - 1][1] + times[first][0]) / 2
        end = times[-1][1] if place == len(best) else (times[place - 1][1] + times[place][0]) / 2
        score = float(shares[first:place, best[first]].mean())
        segments.append(
            Segment(start_s=round(begin, 3), end_s=round(end, 3), label=labels[int(best[first])], score=round(score, 4))
        )
        first = place
    return segments


def _check(source: str, out: Path | None, settings: ActionSettings, options: RunOptions) -> None:
    if settings.crops not in (1, 3, 5):
        raise UsageError(f"--crops {settings.crops}", hint="1, 3 or 5 squares along the longer side")
    if out is None:
        if settings.preview:
            raise UsageError("--preview without -o", hint="the picture is written beside the output: give -o")
        return
    sources = () if is_url(source) else (Path(source),)
    check_action_output(out)
    for path in (out, *([preview_path(out)] if settings.preview else [])):
        check_output(path, overwrite=options.overwrite, sources=sources)


def _shown(frames: Iterator[Frame], sheet: ContactSheet | None) -> Iterator[Frame]:
    for frame in frames:
        if sheet:
            sheet.add(frame.pixels)
        yield frame
