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
from vitapps.datasets.formats.mask_series import VOID, read_index_png
from vitapps.datasets.formats.video_read import Clip, Decoder, Frame, is_url, open_clip
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet
from vitapps.pipelines.video.propagate import MaskPropagator
from vitapps.pipelines.video.segment_outputs import check_mask_output, draw_masks, open_sink
from vitapps.pipelines.windows.prefetch import ahead
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

log = logging.getLogger("vitapps.video")
Labels = NDArray[np.uint8]
Begin = Callable[[NDArray[np.uint8], Labels], "Propagator"]
AHEAD = 3  # frames that are decoded while one is worked on
_MOST_OBJECTS = 32  # more different values are shades of grey
_ASPECT = 0.02  # by how much the shape of a mask may differ from the frame's before it cannot belong to it


class Propagator(Protocol):
    """Made from the first frame H W 3 and its labels H W."""

    def step(self, pixels: NDArray[np.uint8]) -> Labels:
        """Labels of the next frame."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentSettings:
    """`start`, `end` seconds of the clip; the mask belongs to the first frame of that part."""

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
    source: str, mask: Path, out: Path, *, settings: SegmentSettings | None = None, weights: str | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress, command: str = "",
) -> SegmentResult:  # fmt: skip
    """Follow the objects that `mask` marks in the first frame of `source` and write their masks to `out`.

    `mask`: object numbers as PNG (0 and 255 alone: one object). Raises UsageError for options without sense or a mask
    of another shape, UnreadableInputError, OutputError; then no output is left and older ones are untouched. `weights`:
    a card of `video train segment` does it, else flow, colour, motion and edges.
    """
    settings, options = settings or SegmentSettings(), options or RunOptions()
    sources = tuple(path for path in (Path(source), mask) if not is_url(source) or path is mask)
    check_mask_output(out, overwrite=options.overwrite, sources=sources)
    if settings.preview:
        check_output(preview_path(out), overwrite=options.overwrite, sources=sources)
    given = read_first_mask(mask)
    begin, facts = _follower(weights, options)
    record = new_record(facts, options=options, settings=settings, command=command)
    limit_threads(options)
    with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
        tally = _Tally(settings)
        with record.timed("segment"), progress.task(f"segmenting {source}", total=_total(clip)) as task:
            frames = ahead(clip.frames(settings.start, settings.end, settings.stride), AHEAD)
            sink = open_sink(
                out, overwrite=options.overwrite, rate=clip.meta.rate / settings.stride, source=source,
                start=settings.start or 0.0,
            )  # fmt: skip
            with closing(frames), sink as target:
                for frame, labels in follow(frames, given, source, begin):
                    target.add(frame.index, frame.time_s, frame.pixels, labels)
                    tally.add(frame, labels)
                    task.advance(settings.stride)
        record.warnings += clip.warnings
    note_clips(record, clip.meta)
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
    frames: Iterable[Frame], given: Labels, name: str, begin: Begin = MaskPropagator
) -> Iterator[tuple[Frame, Labels]]:
    """Each frame with its labels H W, the first with those given. UnreadableInputError where there is no frame."""
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise UnreadableInputError(f"{name}: no frame in the part asked for", hint="check --start and --end")
    labels = fit_mask(given, first.pixels.shape[:2])
    propagator = begin(first.pixels, labels)
    yield first, labels
    for frame in source:
        yield frame, propagator.step(frame.pixels)


def read_first_mask(path: Path) -> Labels:
    """H W of object numbers; UnreadableInputError where no object is marked."""
    labels = read_index_png(path)
    if len(np.unique(labels)) > _MOST_OBJECTS:  # soft edges of a painted mask, not object numbers
        log.warning("%s: grey edges are cut at half brightness: one object", path)
        labels = (labels > 127).astype(np.uint8)
    labels[labels == VOID] = 0
    if not labels.any():
        raise UnreadableInputError(f"{path}: marks no object", hint="paint the object white, or number several 1, 2, 3")
    return labels


def fit_mask(labels: Labels, size: tuple[int, int]) -> Labels:
    """The mask at the frame's H W; UsageError where its shape says that it belongs to another clip."""
    if labels.shape == size:
        return labels
    height, width = labels.shape
    if abs(width / height * size[0] / size[1] - 1) > _ASPECT:
        raise UsageError(
            f"the mask has {width} x {height} pixels, the frame {size[1]} x {size[0]}",
            hint="draw it on the first frame as a player shows it: a phone's clip may be turned",
        )
    log.warning("the mask of %d x %d pixels is scaled to the frame", width, height)
    import cv2

    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


class _Tally:
    """What a run record says, gathered while frames pass."""

    def __init__(self, settings: SegmentSettings) -> None:
        self.frames = 0
        self.areas: dict[int, int] = {}
        self.lost: dict[int, float] = {}
        self.sheet = ContactSheet() if settings.preview else None

    def add(self, frame: Frame, labels: Labels) -> None:
        counts = np.bincount(labels.reshape(-1), minlength=256)
        if not self.frames:
            self.areas = {int(number): 0 for number in np.flatnonzero(counts) if number}
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
        "objects": list(tally.areas),
        "areas": tally.areas,
        "lost_s": tally.lost,
        "ms_per_frame": round(1000 * record.timings["segment"] / tally.frames, 1),
    }
    record.results = {**result, "output": str(out)}
    return SegmentResult(
        input=source, out=out, preview=picture, record=write_run_record(out, record),
        timings=record.timings, warnings=record.warnings, **result,
    )  # fmt: skip
