"""`vitapps video detect`: objects in every frame of a clip, by a card's detector in two passes (`two_pass.py`), or
what words name, by a published OWL-ViT (`word_detector.py`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.tracks import TrackMeta, TrackRow, choose_format, write_tracks
from vitapps.datasets.formats.video_read import Decoder, is_url, open_clip
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.draw import ContactSheet, draw_rows
from vitapps.pipelines.video.people import DEFAULT_WEIGHTS
from vitapps.pipelines.video.two_pass import FrameFound, Pixels, Predict, TwoPassConfig, TwoPassDetector, scales_for
from vitapps.pipelines.video.word_detector import (
    MIN_SCORE,
    WholeFrames,
    WordNetwork,
    is_word_weights,
    load_word_network,
)
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

_LOGGER = logging.getLogger("vitapps.video")
_VISIBLE = 12.0  # pixels of the smallest object that a detector sees where its card does not say
_TOGETHER = 4  # frames whose windows share batches on a GPU
_ROUGH = 0.25  # of the frame's size in the first pass
_VISIBLE_TO_OWL = 1.5  # patches
_FACES = "face.detect"  # whose detectors mark an object in one cell, its peak


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectSettings:
    """`rough`, `scale` and `refresh` as in `TwoPassConfig` (None: by the card, else 0.25 and 1); `smallest`: side in
    pixels of the smallest object that is sought, which sets both; `together`: frames whose windows share batches
    (None: 1, or 4 on a GPU); `tiles`: search every window of every frame. `words`: what is sought, of weights that are
    asked by words; `carry` 0..1: how far their objects are carried from frame to frame (`carried_queries.py`)."""

    min_score: float | None = None
    rough: float | None = None
    scale: float | None = None
    smallest: float | None = None
    refresh: int = 30
    together: int | None = None
    tiles: bool = False
    words: tuple[str, ...] = ()
    carry: float = 0.0
    start: float | None = None
    end: float | None = None
    stride: int = 1
    decoder: Decoder = "auto"
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """A network for windows B 3 S S in 0..1 and what its card says; `names` by class index. `whole`: the network where
    it takes frames as a whole unless windows are asked for. `notes` are warnings of every run."""

    predict: Predict
    config: TwoPassConfig
    names: tuple[str, ...]
    facts: NetworkFacts
    whole: WordNetwork | None = None
    notes: tuple[str, ...] = ()


class Search(Protocol):
    """What goes through the frames of a clip."""

    def steps(self, frames: Sequence[Pixels]) -> list[FrameFound]:
        """Search the next frames, H W 3 of one size."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectResult:
    """`work`: windows computed, as a share of those that tiling every frame takes."""

    input: str
    out: Path
    preview: Path | None
    record: Path
    frames: int
    boxes: int
    work: float
    ms_per_frame: float
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def load_detector(
    weights: str, settings: DetectSettings, options: RunOptions, *, longest: int | None = None
) -> Detector:  # fmt: skip
    """A card whose graph gives score and box maps, or OWL-ViT, for frames of `longest` pixels at their longer side;
    MissingError for another, UsageError for words where none are understood, or none where they are needed."""
    if is_word_weights(weights):
        return _by_words(weights, settings, options)
    if settings.words or settings.carry:
        raise UsageError(
            f"{weights} knows its own classes: no --words, no --carry", hint="-w hf:google/owlvit-base-patch32"
        )
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights)
    found = card.preprocess.get("window")
    sides = set(found) if isinstance(found, list) else {found}
    if card.arch != "plain_detector" or len(sides) != 1 or not isinstance(window := sides.pop(), int):
        raise MissingError(f"weights '{card.name}' are no detector of square windows", hint="vitapps models list")
    model = load_model(card, options)
    thresholds = tuple(
        float(label.get("threshold", 0.5)) if settings.min_score is None else settings.min_score
        for label in card.labels
    )
    visible = float(card.preprocess.get("smallest", _VISIBLE))
    share = card.preprocess.get("share_of_frame")  # of the longer side, which the smallest object has as a rule
    rough, scale = _scales(settings, visible, share * longest if share and longest else None)
    config = TwoPassConfig(
        window=window, thresholds=thresholds, overlap=float(card.preprocess.get("overlap", 0.25)),
        nms_iou=float(card.preprocess.get("nms_iou", 0.5)), rough=rough, scale=scale, refresh=settings.refresh,
        peaks=bool(card.preprocess.get("peaks", card.task == _FACES)),
    )  # fmt: skip
    names = tuple(str(label["name"]) for label in card.labels)
    notes = tuple(f"{card.name}: {limit}" for limit in card.limits[:1] if card.name == DEFAULT_WEIGHTS)
    for note in notes:  # who asked for no weights has not read their card
        _LOGGER.warning(note)
    return Detector(
        predict=lambda windows: model(windows)[:2], config=config, names=names, facts=NetworkFacts.of(card, model),
        notes=notes,
    )  # fmt: skip


def _scales(settings: DetectSettings, visible: float, usual: float | None = None) -> tuple[float, float]:
    """Those of the settings, or what makes their smallest object, or the `usual` one (frame pixels), `visible` pixels
    large."""
    if settings.smallest is not None:
        return scales_for(settings.smallest, visible)
    rough, scale = scales_for(usual, visible) if usual else (_ROUGH, 1.0)
    return settings.rough or rough, settings.scale or scale


def _by_words(weights: str, settings: DetectSettings, options: RunOptions) -> Detector:
    network = load_word_network(weights, settings.words, options)
    rough, scale = _scales(settings, _VISIBLE_TO_OWL * network.side / network.grid[0])
    least = MIN_SCORE if settings.min_score is None else settings.min_score
    config = TwoPassConfig(
        window=network.side, thresholds=(least,) * len(network.words), rough=rough, scale=scale,
        refresh=settings.refresh, peaks=False, batch=4,
    )  # fmt: skip
    return Detector(
        predict=network.predict, config=config, names=network.words, facts=network.facts, whole=network
    )  # fmt: skip


def make_search(detector: Detector, settings: DetectSettings) -> Search:
    """Two passes, or whole frames where the network takes them so and neither --tiles nor --smallest says otherwise."""
    if detector.whole is not None and not settings.tiles and settings.smallest is None:
        return WholeFrames(detector.whole, detector.config.thresholds[0], settings.carry)
    if settings.carry:
        raise UsageError("--carry follows objects over whole frames", hint="leave --tiles and --smallest out")
    return TwoPassDetector(detector.predict, detector.config, everywhere=settings.tiles)


def detect(
    source: str, out: Path, *, weights: str, settings: DetectSettings | None = None,
    options: RunOptions | None = None, detector: Detector | None = None, progress: Progress = null_progress,
    command: str = "",
) -> DetectResult:  # fmt: skip
    """Search `source` and write its boxes to `out` (.csv .txt .json .jsonl). `detector`: loaded before, else by
    `weights`. Raises UsageError, UnreadableInputError, MissingError or OutputError; then no output is left."""
    settings, options = settings or DetectSettings(), options or RunOptions()
    _check(settings)
    form = choose_format(out, option="")
    sources = () if is_url(source) else (Path(source),)
    picture = preview_path(out) if settings.preview else None
    for path in (out, *([picture] if picture else [])):
        check_output(path, overwrite=options.overwrite, sources=sources)
    with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
        detector = detector or load_detector(weights, settings, options, longest=max(clip.meta.width, clip.meta.height))
        record = new_record([detector.facts], options=options, settings=settings, command=command)
        search = make_search(detector, settings)
        together = settings.together or (1 if detector.facts.device == "cpu" else _TOGETHER)
        sheet = ContactSheet() if picture else None
        rows: list[TrackRow] = []
        frames = calls = tiles = 0
        with record.timed("detect"), progress.task(f"searching {source}", total=clip.meta.frames or None) as task:
            source_frames = clip.frames(settings.start, settings.end, settings.stride)
            while group := list(islice(source_frames, together)):
                for frame, found in zip(group, search.steps([frame.pixels for frame in group]), strict=True):
                    fresh = rows_of(found, frame.index, frame.time_s, detector.names)
                    rows += fresh
                    frames, calls, tiles = frames + 1, calls + found.calls, tiles + found.tiles
                    if sheet:
                        sheet.add(draw_rows(frame.pixels, fresh) if sheet.wants() else None)
                    task.advance(settings.stride)
        record.warnings += [*detector.notes, *clip.warnings]
        meta = TrackMeta(
            source=source, width=clip.meta.width, height=clip.meta.height, rate=clip.meta.rate, frames=frames
        )
    if not frames:
        raise UnreadableInputError(f"{source}: no frame in the part asked for", hint="check --start and --end")
    note_clips(record, clip.meta)
    result: dict[str, Any] = {
        "frames": frames,
        "boxes": len(rows),
        "work": round(calls / tiles, 4),
        "ms_per_frame": round(1000 * record.timings["detect"] / frames, 1),
    }
    record.results = {**result, "output": str(out)}
    with atomic_path(out, overwrite=options.overwrite) as temporary:
        write_tracks(temporary, rows, meta, form)
        if sheet:
            sheet.save(preview_path(temporary))
    return DetectResult(
        input=source, out=out, preview=picture, record=write_run_record(out, record), timings=record.timings,
        warnings=record.warnings, **result,
    )  # fmt: skip


def rows_of(found: FrameFound, index: int, time_s: float, names: tuple[str, ...]) -> list[TrackRow]:
    """The boxes of a frame as rows, the way `video mot` takes them; -1 for an object without a number."""
    ids = [-1] * len(found.boxes) if found.ids is None else found.ids.tolist()
    return [
        TrackRow(
            frame=index, time_s=time_s, id=number, x=x0, y=y0, w=x1 - x0, h=y1 - y0, score=float(score),
            label=names[int(label)],
        )
        for (x0, y0, x1, y1), score, label, number in zip(
            found.boxes.tolist(), found.scores, found.labels, ids, strict=True
        )
    ]  # fmt: skip


def _check(settings: DetectSettings) -> None:
    rough, scale = (1.0 if value is None else value for value in (settings.rough, settings.scale))
    if not 0 < rough <= 1 or not 0 < scale <= 4:
        raise UsageError(f"--scales {rough:g},{scale:g}", hint="shares of the frame's size, above 0")
    if settings.smallest is not None and settings.smallest <= 0:
        raise UsageError(f"--smallest {settings.smallest:g}", hint="pixels of the smallest object, above 0")
    if not 0 <= settings.carry <= 1:
        raise UsageError(f"--carry {settings.carry:g}: outside 0 to 1", hint="0 searches every frame for itself")
    if settings.together is not None and settings.together < 1:
        raise UsageError(f"{settings.together} frames together", hint="1 or more")
    if settings.min_score is not None and not 0 <= settings.min_score <= 1:
        raise UsageError(f"--min-score {settings.min_score:g}: outside 0 to 1", hint="leave it out for the card's")
