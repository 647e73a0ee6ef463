"""Crops of lines with what they say, in three layouts: `NAME.png` with `NAME.gt.txt` (tesstrain, kraken, ocropy),
pictures named by a `labels.json`, and pages with the quadrilaterals of their lines (ICDAR, SROIE).

The ICDAR form is one `NAME.csv` or `NAME.txt` beside each picture: `x1,y1,…,x4,y4,text`, where text may hold commas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture
from vitapps.errors import UnreadableInputError

SIDE, ABOVE = 6, 4  # pixels added around a box of a page


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledLine:
    """`crop` H W 3 uint8, `text` as the ground truth has it, `source` the document, for resampling by document."""

    crop: NDArray[np.uint8]
    text: str
    source: str


def read_labelled_lines(folder: Path) -> list[LabelledLine]:
    """Every line of a folder, in the order of names; raises UnreadableInputError for one without any."""
    if not folder.is_dir():
        raise UnreadableInputError(f"{folder}: no such folder", hint="give a folder of pictures with their text")
    labels = folder / "labels.json"
    lines = list(_from_json(labels) if labels.is_file() else _from_pairs(folder))
    if not lines:
        raise UnreadableInputError(
            f"{folder}: no picture with its text",
            hint="NAME.png with NAME.gt.txt, labels.json, or NAME.jpg with NAME.csv",
        )
    return lines


def _from_json(path: Path) -> Iterator[LabelledLine]:
    """A list of objects with `file`, `text` and, at will, `doc`."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        named = [(str(row["file"]), str(row["text"]), str(row.get("doc", row["file"]))) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableInputError(
            f"{path}: not a list of file and text: {error}", hint="see docs of eval-lines"
        ) from None
    for file, text, source in named:
        yield LabelledLine(crop=read_picture(path.parent / file).pixels, text=text, source=source)


def _from_pairs(folder: Path) -> Iterator[LabelledLine]:
    for picture in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
        truth = picture.with_name(f"{picture.stem.removesuffix('.bin')}.gt.txt")
        boxes = next(
            (path for path in (picture.with_suffix(".csv"), picture.with_suffix(".txt")) if path.is_file()), None
        )
        if truth.is_file():
            yield LabelledLine(crop=read_picture(picture).pixels, text=_text_of(truth), source=picture.stem)
        elif boxes is not None:
            yield from _from_boxes(picture, boxes)


def _from_boxes(picture: Path, boxes: Path) -> Iterator[LabelledLine]:
    """The upright boxes around the quadrilaterals, with a margin; rows without text are left out."""
    pixels = read_picture(picture).pixels
    height, width = pixels.shape[:2]
    for row in _text_of(boxes).splitlines():
        *corners, text = row.split(",", 8) if row.count(",") >= 8 else [""]
        try:
            points = np.array([int(value) for value in corners]).reshape(4, 2)
        except ValueError:
            continue
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        crop = pixels[max(0, y0 - ABOVE) : min(height, y1 + ABOVE), max(0, x0 - SIDE) : min(width, x1 + SIDE)]
        if text.strip() and crop.size:
            yield LabelledLine(crop=crop, text=text, source=picture.stem)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"{path}: not text in UTF-8: {error}", hint="save it again as UTF-8") from None
