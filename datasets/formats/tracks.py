"""Boxes of objects over time: CSV, MOTChallenge text, JSON, JSON lines, COCO-video; and reading them and detections.

Boxes are x y w h in pixels, origin at the outer corner of the first pixel. Frames count from 0 here, in CSV and in
JSON, from 1 in MOTChallenge files; their x and y are taken and written as they are, as TrackEval does. In a file of
detections the id is -1 (MOTChallenge) or absent.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.jsonable import json_text

TrackFormat = Literal["csv", "mot", "json", "jsonl", "coco"]
SUFFIXES: dict[str, TrackFormat] = {
    ".csv": "csv",
    ".txt": "mot",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COLUMNS = ("frame", "time_s", "id", "x", "y", "w", "h", "score", "state", "label")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackRow:
    """One object in one frame: `frame` from 0, `id` from 1 (-1: a detection of nobody yet), `score` 0..1 or as the
    detector gives it, `state` tracked, uncertain or lost; a lost object has the box where it was last seen."""

    frame: int
    x: float
    y: float
    w: float
    h: float
    time_s: float = 0.0
    id: int = -1
    score: float = 1.0
    state: str = "tracked"
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackMeta:
    """What the formats say of the clip; zeros where it is not known."""

    source: str = ""
    width: int = 0
    height: int = 0
    rate: float = 0.0
    frames: int = 0


def choose_format(path: Path, form: TrackFormat | None = None, *, option: str = "--format") -> TrackFormat:
    """`form`, or by the suffix; UsageError for a suffix that says nothing, which names the `option` that could."""
    if form:
        return form
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"{path.name}: no track format has this suffix",
            hint=f"use {', '.join(SUFFIXES)}{', or ' + option if option else ''}",
        )
    return found


def write_tracks(path: Path, rows: Sequence[TrackRow], meta: TrackMeta, form: TrackFormat) -> None:
    """Write the rows, by frame and id, to `path` (a temporary file of the caller)."""
    ordered = sorted(rows, key=lambda row: (row.frame, row.id))
    path.write_text(_WRITERS[form](ordered, meta), encoding="utf-8")


def read_tracks(path: Path) -> list[TrackRow]:
    """The rows of a file in any of the formats, found by its content; UnreadableInputError that names the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UnreadableInputError(f"{path}: no such file", hint="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"{path}: not a text file: {error}", hint="give CSV, MOT text or JSON") from None
    if not text.strip():
        raise UnreadableInputError(f"{path}: the file is empty", hint="give CSV, MOT text or JSON")
    if text.lstrip()[0] in "[{":
        return _read_json(text, path)
    first = text.lstrip().splitlines()[0]
    return (
        _read_csv(text, path) if any(letter.isalpha() for letter in first.replace("nan", "")) else _read_mot(text, path)
    )


def _csv(rows: Iterable[TrackRow], meta: TrackMeta) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        numbers = (f"{value:.2f}" for value in (row.x, row.y, row.w, row.h))
        writer.writerow([row.frame, f"{row.time_s:.6f}", row.id, *numbers, f"{row.score:.4f}", row.state, row.label])
    return out.getvalue()


def _mot(rows: Iterable[TrackRow], meta: TrackMeta) -> str:
    """`frame,id,x,y,w,h,conf,-1,-1,-1`; a lost object has no row, since every row counts as a claim."""
    return "".join(
        f"{row.frame + 1},{row.id},{row.x:.2f},{row.y:.2f},{row.w:.2f},{row.h:.2f},{row.score:.4f},-1,-1,-1\n"
        for row in rows
        if row.state != "lost"
    )


def _json(rows: Iterable[TrackRow], meta: TrackMeta) -> str:
    return json_text({"clip": _mapping(meta), "boxes": "x y w h, pixels", "tracks": [_mapping(row) for row in rows]})


def _jsonl(rows: Iterable[TrackRow], meta: TrackMeta) -> str:
    return "".join(json.dumps(_mapping(row), ensure_ascii=False) + "\n" for row in rows)


def _coco(rows: Sequence[TrackRow], meta: TrackMeta) -> str:
    """COCO-video as in TAO and MMTracking: videos, images with video_id and frame_id, annotations with instance_id."""
    names = sorted({row.label or "object" for row in rows}) or ["object"]
    frames = sorted({row.frame for row in rows})
    size = {"width": meta.width, "height": meta.height}
    images = [
        {"id": frame + 1, "video_id": 1, "frame_id": frame, "file_name": f"{frame:06d}.jpg", **size} for frame in frames
    ]
    annotations = [
        {
            "id": number, "image_id": row.frame + 1, "video_id": 1, "instance_id": row.id, "iscrowd": 0,
            "category_id": names.index(row.label or "object") + 1, "bbox": [row.x, row.y, row.w, row.h],
            "area": row.w * row.h, "score": row.score, "state": row.state,
        }
        for number, row in enumerate(rows, 1)
    ]  # fmt: skip
    return json_text({
        "videos": [{"id": 1, "name": meta.source, "fps": meta.rate, **size}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    })  # fmt: skip


_WRITERS = {"csv": _csv, "mot": _mot, "json": _json, "jsonl": _jsonl, "coco": _coco}


def _mapping(item: TrackRow | TrackMeta) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in item.__slots__}
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def _read_mot(text: str, path: Path) -> list[TrackRow]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.replace(",", " ").replace(";", " ").split()
        if not parts:
            continue
        if len(parts) < 6:
            raise UnreadableInputError(f"{path}: line {number} has {len(parts)} values, not 6 or more", hint=_MOT_HINT)
        values = _floats(parts, path, number)
        score = values[6] if len(values) > 6 else 1.0
        row = _row({"frame": values[0] - 1, "id": values[1], "score": score}, values[2:6], path, number)
        rows.append(row)
    return rows


_MOT_HINT = "frame,id,x,y,w,h,score with frames from 1 (MOTChallenge), or CSV with a header"


def _read_csv(text: str, path: Path) -> list[TrackRow]:
    reader = csv.DictReader(io.StringIO(text))
    names = {name.strip().lower(): name for name in reader.fieldnames or []}
    if missing := {"frame", "x", "y", "w", "h"} - set(names):
        raise UnreadableInputError(
            f"{path}: no column {', '.join(sorted(missing))}", hint=f"columns: {', '.join(COLUMNS)}"
        )
    rows = []
    for number, line in enumerate(reader, 2):
        found = {key: line[name] for key, name in names.items() if line[name] not in (None, "")}
        box = _floats([found.get(key, "") for key in "xywh"], path, number)
        rows.append(_row(found, box, path, number))
    return rows


def _read_json(text: str, path: Path) -> list[TrackRow]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return _read_jsonl(text, path)
    except RecursionError:
        raise UnreadableInputError(f"{path}: nested too deeply", hint="write it again") from None
    if isinstance(content, Mapping) and "annotations" in content:
        return _read_coco(content, path)
    records = content.get("tracks") if isinstance(content, Mapping) and "tracks" in content else content
    if isinstance(records, Mapping):
        records = [records]
    if not isinstance(records, list):
        raise UnreadableInputError(f"{path}: no list of boxes", hint='{"tracks": [{"frame": 0, "x": …}]} or COCO')
    if records and isinstance(records[0], Mapping) and "image_id" in records[0]:  # COCO results
        return _read_coco({"annotations": records}, path)
    return [_record(record, path, number) for number, record in enumerate(records, 1)]


def _read_jsonl(text: str, path: Path) -> list[TrackRow]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(_record(json.loads(line), path, number))
        except json.JSONDecodeError as error:
            raise UnreadableInputError(f"{path}: line {number} is not JSON: {error}", hint="write it again") from None
    return rows


def _record(record: Any, path: Path, number: int) -> TrackRow:
    if not isinstance(record, Mapping):
        raise UnreadableInputError(f"{path}: entry {number} is no object", hint="one object a box")
    box = record.get("bbox") or record.get("box") or [record.get(key) for key in "xywh"]
    return _row(record, _floats(box, path, number), path, number)


def _read_coco(content: Mapping[str, Any], path: Path) -> list[TrackRow]:
    frames = {
        image["id"]: int(image.get("frame_id", place))
        for place, image in enumerate(content.get("images", []))
        if isinstance(image, Mapping) and "id" in image
    }
    names = {item.get("id"): str(item.get("name", "")) for item in content.get("categories", [])}
    rows = []
    for number, item in enumerate(content["annotations"], 1):
        if not isinstance(item, Mapping) or "bbox" not in item or "image_id" not in item:
            raise UnreadableInputError(f"{path}: annotation {number} has no bbox or image_id", hint="COCO boxes")
        image = item["image_id"]
        fields = {
            "frame": frames.get(image, image), "score": item.get("score", 1.0),
            "id": item.get("instance_id", item.get("track_id", -1)), "label": names.get(item.get("category_id"), ""),
            "state": item.get("state", "tracked"),
        }  # fmt: skip
        rows.append(_row(fields, _floats(item["bbox"], path, number), path, number))
    return rows


def _row(fields: Mapping[str, Any], box: Sequence[float], path: Path, number: int) -> TrackRow:
    try:
        frame, identity = int(float(fields["frame"])), int(float(fields.get("id", -1)))
        score, time = float(fields.get("score", 1.0)), float(fields.get("time_s", 0.0))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnreadableInputError(f"{path}: line {number}: frame, id or score is no number", hint=_MOT_HINT) from None
    if len(box) != 4 or not all(math.isfinite(value) for value in box) or min(box[2:]) < 0:
        raise UnreadableInputError(f"{path}: line {number}: a box is four numbers, x y w h", hint=_MOT_HINT)
    if frame < 0 or not math.isfinite(score):
        raise UnreadableInputError(f"{path}: line {number}: frame {frame}, score {score}", hint=_MOT_HINT)
    return TrackRow(
        frame=frame, time_s=time, id=identity, x=box[0], y=box[1], w=box[2], h=box[3], score=score,
        state=str(fields.get("state", "tracked")), label=str(fields.get("label", "")),
    )  # fmt: skip


def _floats(parts: Any, path: Path, number: int) -> list[float]:
    try:
        return [float(part) for part in parts]
    except (TypeError, ValueError):
        raise UnreadableInputError(f"{path}: line {number} holds what is no number", hint=_MOT_HINT) from None
