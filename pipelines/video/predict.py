"""`vitapps video predict`: the frames that follow a moment of a clip, beside those that came where the clip goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.video_read import Decoder, is_url, open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.predict_model import NAME, PredictModel, load_predict_model
from vitapps.pipelines.video.predict_scores import PredictScore, copy_last, score_frames
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SUFFIXES = (".npz", ".mp4")
_SHOWN = 4  # times the network's size in a written clip and in the preview
_GAP = 4  # pixels between the pictures of the preview
_ARRAY_RATE = 25.0  # frames a second of an array, which has no times


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictSettings:
    """`horizon` frames; `at` seconds: the first predicted frame, None for what follows the end of the clip."""

    horizon: int = 10
    at: float | None = None
    stride: int = 1
    decoder: Decoder = "auto"
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictResult:
    """`score` and `copy_last` where the clip goes on after `at_s`: this prediction, and its last frame again."""

    input: str
    out: Path
    preview: Path | None
    record: Path
    frames: int
    at_s: float
    score: PredictScore | None
    copy_last: PredictScore | None
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """`seen` T H W before a moment, `after` what the clip shows then (may be empty), `times` of all of them."""

    seen: Floats
    after: Floats
    times: list[float]


def predict(
    source: str, out: Path, *, weights: str = NAME, settings: PredictSettings | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress, command: str = "",
) -> PredictResult:  # fmt: skip
    """Predict frames of `source` (a clip, or an .npy of T H W) into `out`: .npz (`frames` in 0..1, `time_s`) or .mp4.

    Raises UsageError, UnreadableInputError, MissingError or OutputError; then no output is left."""
    settings, options = settings or PredictSettings(), options or RunOptions()
    _check(source, out, settings, options)
    model = load_predict_model(weights, options)
    record = new_record([model.facts], options=options, settings=settings, command=command)
    with record.timed("read"):
        part = _read(source, model, settings, options, record)
    with record.timed("predict"), progress.task("predicting", total=1) as task:
        found = model.go_on(part.seen, settings.horizon)
        task.advance()
    scores: list[PredictScore | None] = [None, None]
    if count := len(part.after):
        scores = [
            score_frames(frames[:count], part.after) for frames in (found, copy_last(part.seen, settings.horizon))
        ]
    times = _times(part, len(found))
    record.results = {"frames": len(found), "score": scores[0], "copy_last": scores[1]}
    with atomic_path(out, overwrite=options.overwrite) as temporary:
        _write(temporary, found, times)
        if settings.preview:
            draw_rows_of_frames(preview_path(temporary), [part.seen, found, part.after])
    return PredictResult(
        input=source, out=out, preview=preview_path(out) if settings.preview else None,
        record=write_run_record(out, record), frames=len(found), at_s=round(times[0], 3), score=scores[0],
        copy_last=scores[1], timings=record.timings, warnings=record.warnings,
    )  # fmt: skip


def _check(source: str, out: Path, settings: PredictSettings, options: RunOptions) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {out}: frames are not written as '{out.suffix}'", hint=f"one of {', '.join(SUFFIXES)}")
    if settings.horizon < 1 or settings.stride < 1:
        raise UsageError(
            f"--horizon {settings.horizon} --stride {settings.stride}", hint="both are whole numbers from 1"
        )
    sources = () if is_url(source) else (Path(source),)
    for path in (out, *([preview_path(out)] if settings.preview else [])):
        check_output(path, overwrite=options.overwrite, sources=sources)


def _read(
    source: str, model: PredictModel, settings: PredictSettings, options: RunOptions, record: RunRecord
) -> _Part:  # fmt: skip
    """The frames that the network sees, and up to `horizon` after them; only these are held."""
    at = np.inf if settings.at is None else settings.at
    before: deque[tuple[float, Floats]] = deque(maxlen=model.frames)
    after: list[tuple[float, Floats]] = []
    for time_s, pixels in _frames(source, settings, options, record):
        if time_s >= at and len(after) == settings.horizon:
            break
        (before if time_s < at else after).append((time_s, model.shrink(pixels)))
    if len(before) < model.frames:
        when = "the end" if settings.at is None else f"{settings.at:g} s"
        raise UnreadableInputError(
            f"{source}: {len(before)} frames before {when}, {model.frames} are needed",
            hint="a later --at, a smaller --stride, or a longer clip",
        )
    times = [time_s for time_s, _ in (*before, *after)]
    if settings.at is not None and settings.at > times[-1] + 2 * float(np.median(np.diff(times))):
        raise UnreadableInputError(
            f"{source}: has no frame at {settings.at:g} s, its last one is that of {times[-1]:g} s",
            hint="leave --at out for what follows the end",
        )
    seen, came = ([frame for _, frame in part] for part in (before, after))
    return _Part(
        seen=np.stack(seen), after=np.stack(came) if came else np.zeros((0, *model.size), np.float32),
        times=times,
    )  # fmt: skip


def _frames(
    source: str, settings: PredictSettings, options: RunOptions, record: RunRecord
) -> Iterator[tuple[float, Pixels]]:
    """Seconds and pixels H W or H W 3 of every `stride`-th frame; `record` is told what was read."""
    if source.endswith(".npy"):
        record.inputs[source] = sha256_file(Path(source))
        for number, frame in enumerate(_read_array(Path(source))[:: settings.stride]):
            yield number * settings.stride / _ARRAY_RATE, frame
        return
    with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
        note_clips(record, clip.meta)
        try:
            yield from ((frame.time_s, frame.pixels) for frame in clip.frames(stride=settings.stride))
        finally:  # also where the caller has seen enough
            record.warnings += clip.warnings


def _read_array(path: Path) -> Pixels:
    """T H W uint8 of an .npy; UnreadableInputError for another."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableInputError(f"{path}: no array: {error}", hint="an .npy of T H W, unsigned bytes") from None
    if array.ndim != 3 or array.dtype != np.uint8 or not array.size:
        raise UnreadableInputError(f"{path}: {array.dtype} of shape {array.shape}", hint="T H W, unsigned bytes")
    return np.asarray(array)


def _times(part: _Part, count: int) -> list[float]:
    """Seconds of the predicted frames: those of the clip while it lasts, then on at its pace."""
    known = part.times[len(part.seen) :][:count]
    pace = float(np.median(np.diff(part.times)))
    last = part.times[: len(part.seen) + len(known)][-1]
    return known + [last + pace * (step + 1) for step in range(count - len(known))]


def _write(path: Path, frames: Floats, times: Sequence[float]) -> None:
    if path.suffix.lower() == ".npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, frames=frames, time_s=np.array(times))
        return
    with open_writer(path, rate=1 / max(times[1] - times[0], 1e-3) if len(times) > 1 else _ARRAY_RATE) as writer:
        for frame, time_s in zip(frames, times, strict=True):
            writer.add(np.repeat(_enlarged(frame)[..., None], 3, axis=2), time_s)


def _enlarged(frame: Floats) -> Pixels:
    """H W in 0..1 -> uint8, `_SHOWN` times as large."""
    grey = np.round(255 * np.clip(frame, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.resize(grey, None, fx=_SHOWN, fy=_SHOWN, interpolation=cv2.INTER_NEAREST), np.uint8)


def draw_rows_of_frames(path: Path, rows: Sequence[Floats]) -> None:
    """Rows of frames T H W as one PNG, white between them; rows without frames are left out."""
    from PIL import Image

    shown = [[_enlarged(frame) for frame in row] for row in rows if len(row)]
    height, width = (side + _GAP for side in shown[0][0].shape)
    sheet = np.full((height * len(shown), width * max(map(len, shown))), 255, np.uint8)
    for y, row in enumerate(shown):
        for x, frame in enumerate(row):
            sheet[y * height : (y + 1) * height - _GAP, x * width : (x + 1) * width - _GAP] = frame
    Image.fromarray(sheet).save(path, format="PNG")
