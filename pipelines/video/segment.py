"""`vitapps video segment`: the objects of a first mask, followed through a clip of any length, one frame in memory."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.video_read import Clip, Decoder, Frame, is_url, open_clip
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet
from vitapps.pipelines.video.first_mask import GROWN, FirstMasks
from vitapps.pipelines.video.propagate import MaskPropagator
from vitapps.pipelines.video.segment_outputs import check_mask_output, draw_masks, open_sink
from vitapps.pipelines.video.starts import Prompt, check_span
from vitapps.pipelines.windows.prefetch import ahead
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

log = logging.getLogger("vitapps.video")
Labels = NDArray[np.uint8]
Begin = Callable[[NDArray[np.uint8], Labels], "Propagator"]
AHEAD = 3  # frames that are decoded while one is worked on


class Propagator(Protocol):
    """Made from the first frame H W 3 and its labels H W."""

    def step(self, pixels: NDArray[np.uint8]) -> Labels:
        """Labels of the next frame."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentSettings:
    """`start`, `end` seconds of the clip; the mask belongs to the first frame of that part, as do `boxes` (x y w h) and
    `points` (x y, pixels), from which masks are grown, where they do not say their own second."""

    boxes: tuple[Prompt, ...] = ()
    points: tuple[Prompt, ...] = ()
    start: float | None = None
    end: float | None = None
    stride: int = 1
    decoder: Decoder = "auto"
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentResult:
    """`areas` pixels of each object in the last frame; `lost_s` seconds at which an object's mask became empty."""

    input: str
    out: Path
    preview: Path | None
    record: Path
    frames: int
    objects: list[int]
    areas: dict[int, int]
    lost_s: dict[int, float]
    ms_per_frame: float
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def default_output(source: str) -> Path:
    """`dog.mp4` -> the folder `dog_masks` beside it; of a stream `clip_masks` here."""
    path = Path("clip") if is_url(source) else Path(source)
    return path.parent / f"{re.sub(r'[%*?].*', '', path.stem).rstrip('_-. ') or 'clip'}_masks"


def segment(
    source: str, mask: Path | None, out: Path, *, settings: SegmentSettings | None = None, weights: str | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress, command: str = "",
) -> SegmentResult:  # fmt: skip
    """Follow the objects that `mask` marks in the first frame of `source` and write their masks to `out`.

    `mask`: object numbers as PNG (0 and 255 alone: one object); None: by boxes and points of `settings`. Raises
    UsageError for options without sense or a mask of another shape, UnreadableInputError, OutputError; then no output
    is left and older ones are untouched. `weights`: a card of `video train segment` does it, else flow, colour, motion
    and edges.
    """
    settings, options = settings or SegmentSettings(), options or RunOptions()
    sources = (*(() if is_url(source) else (Path(source),)), *((mask,) if mask else ()))
    check_mask_output(out, overwrite=options.overwrite, sources=sources)
    if settings.preview:
        check_output(preview_path(out), overwrite=options.overwrite, sources=sources)
    given = FirstMasks(mask, settings.boxes, settings.points, at=settings.start or 0.0)
    check_span("--start or @", given.seconds[-1], settings.end)
    begin, facts = _follower(weights, options)
    record = new_record(facts, options=options, settings=settings, command=command)
    limit_threads(options)
    with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
        tally = _Tally(settings)
        with record.timed("segment"), progress.task(f"segmenting {source}", total=_total(clip)) as task:
            frames = ahead(clip.frames(given.seconds[0] or None, settings.end, settings.stride), AHEAD)
            sink = open_sink(
                out, overwrite=options.overwrite, rate=clip.meta.rate / settings.stride, source=source
            )  # fmt: skip
            with closing(frames), sink as target:
                for frame, labels in follow(frames, given, source, begin):
                    target.add(frame.index, frame.time_s, frame.pixels, labels)
                    tally.add(frame, labels)
                    task.advance(settings.stride)
        record.warnings += clip.warnings
    note_clips(record, clip.meta)
    if mask is None:
        record.warnings.append(GROWN)
    else:
        record.inputs[str(mask)] = sha256_file(mask)
    return _report(source, out, settings, tally, record, options)


def limit_threads(options: RunOptions) -> None:
    """OpenCV's own threads follow `--threads`."""
    import cv2

    cv2.setNumThreads(options.threads if options.threads else -1)


def _follower(weights: str | None, options: RunOptions) -> tuple[Begin, list[NetworkFacts]]:
    """What follows masks, and the networks in it."""
    if weights is None:
        return MaskPropagator, []
    from vitapps.pipelines.video.segment_network import load_segmenter

    begin, facts = load_segmenter(weights, options)
    return begin, [facts]


def follow(
    frames: Iterable[Frame], given: FirstMasks, name: str, begin: Begin = MaskPropagator
) -> Iterator[tuple[Frame, Labels]]:
    """Each frame with its labels H W, from the first that are given on. Objects that begin together share a propagator;
    a pixel that two of these claim goes to the one that began later. UnreadableInputError where an object's second does
    not come."""
    running: list[Propagator] = []
    for frame in frames:
        found = [runner.step(frame.pixels) for runner in running]
        new = given.due(frame.pixels, frame.time_s)
        if new is not None:
            running.append(begin(frame.pixels, new))
            found.append(new)
        labels = found[0]
        for later in found[1:]:
            labels = np.where(later > 0, later, labels)
        yield frame, labels
    if late := given.seconds:
        hint = "check --start, --end and the seconds after @"
        raise UnreadableInputError(f"{name}: has no frame at {late[0]:g} s", hint=hint)


class _Tally:
    """What a run record says, gathered while frames pass."""

    def __init__(self, settings: SegmentSettings) -> None:
        self.frames = 0
        self.areas: dict[int, int] = {}
        self.lost: dict[int, float] = {}
        self.sheet = ContactSheet() if settings.preview else None

    def add(self, frame: Frame, labels: Labels) -> None:
        counts = np.bincount(labels.reshape(-1), minlength=256)
        self.areas = {int(number): 0 for number in np.flatnonzero(counts) if number} | self.areas
        for number in self.areas:
            self.areas[number] = int(counts[number])
            if counts[number]:
                self.lost.pop(number, None)
            else:
                self.lost.setdefault(number, round(frame.time_s, 3))
        if self.sheet:
            self.sheet.add(draw_masks(frame.pixels, labels) if self.sheet.wants() else None)
        self.frames += 1


def _total(clip: Clip) -> float | None:
    return float(clip.meta.frames) if clip.meta.frames else None


def _report(
    source: str, out: Path, settings: SegmentSettings, tally: _Tally, record: RunRecord, options: RunOptions
) -> SegmentResult:
    picture = preview_path(out) if tally.sheet else None
    if tally.sheet and picture:
        with atomic_path(picture, overwrite=options.overwrite) as temporary:
            tally.sheet.save(temporary)
    for number, time_s in tally.lost.items():
        record.warnings.append(f"object {number} is lost from {time_s:g} s on")
        log.warning("%s: object %d is lost from %g s on", source, number, time_s)
    result: dict[str, Any] = {
        "frames": tally.frames,
        "objects": sorted(tally.areas),
        "areas": tally.areas,
        "lost_s": tally.lost,
        "ms_per_frame": round(1000 * record.timings["segment"] / tally.frames, 1),
    }
    record.results = {**result, "output": str(out)}
    return SegmentResult(
        input=source, out=out, preview=picture, record=write_run_record(out, record),
        timings=record.timings, warnings=record.warnings, **result,
    )  # fmt: skip
