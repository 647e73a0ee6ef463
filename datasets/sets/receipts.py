"""SROIE receipts (ICDAR 2019 competition on scanned receipts): `NAME.jpg` with `NAME.csv` of lines and their corners.

A row is `x1,y1,x2,y2,x3,y3,x4,y4,text`, clockwise from the top left in pixels; the text may hold commas.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.page_text import Box
from vitapps.errors import UnreadableInputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A picture and the upright boxes and texts of its lines."""

    picture: Path
    boxes: tuple[Box, ...]
    texts: tuple[str, ...]


def read_receipts(folder: Path) -> list[Receipt]:
    """Every receipt of a folder, by name; raises UnreadableInputError for a folder without any or a bad row."""
    pictures = sorted(path for path in folder.glob("*.jpg") if path.with_suffix(".csv").exists())
    if not pictures:
        raise UnreadableInputError(f"{folder}: no NAME.jpg with NAME.csv", hint="give the folder of SROIE receipts")
    return [_receipt(picture) for picture in pictures]


def _receipt(picture: Path) -> Receipt:
    boxes: list[Box] = []
    texts: list[str] = []
    path = picture.with_suffix(".csv")
    for number, row in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not row.strip():
            continue
        parts = row.split(",", 8)
        try:
            places = [float(value) for value in parts[:8]]
            x, y = places[0::2], places[1::2]
            boxes.append((min(x), min(y), max(x), max(y)))
            texts.append(parts[8])
        except (ValueError, IndexError):
            raise UnreadableInputError(f"{path}:{number}: no line of SROIE", hint="eight numbers and a text") from None
    return Receipt(picture=picture, boxes=tuple(boxes), texts=tuple(texts))
