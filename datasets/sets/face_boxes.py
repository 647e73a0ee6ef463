"""Pictures of faces with one box and five landmarks each, as a folder with a CSV table.

Columns `file, box_x, box_y, box_w, box_h, reye_x, …, lmouth_y` (pixels of the picture, the person's own left and right)
are those that YuNet's output is usually written as; a row without a box is a picture in which no face was marked.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UnreadableInputError

POINTS = ("reye", "leye", "nose", "rmouth", "lmouth")
MIRROR = [1, 0, 2, 4, 3]  # landmarks of a mirrored face
Boxes = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedFace:
    """`box` x0 y0 x1 y1 and `points` 5 2 in pixels of `path`; `row` is the table's row, for splits."""

    path: Path
    box: Boxes
    points: Boxes
    row: Mapping[str, str]

    def pixels(self) -> NDArray[np.uint8]:
        """H W 3, upright."""
        return read_picture(self.path).pixels


def read_marked_faces(table: Path, folder: Path) -> list[MarkedFace]:
    """Every marked face of a CSV whose `file` column is relative to `folder`; UnreadableInputError names the fault."""
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInputError(f"{table}: not a readable table: {error}", hint="see docs/faces.md") from None
    if not rows:
        raise UnreadableInputError(f"{table}: has no rows", hint="see docs/faces.md")
    try:
        return [_face(row, folder) for row in rows if row["box_x"]]
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableInputError(
            f"{table}: a column is missing or no number: {error}", hint="see docs/faces.md"
        ) from None


def _face(row: Mapping[str, str], folder: Path) -> MarkedFace:
    x, y, width, height = (float(row[f"box_{name}"]) for name in ("x", "y", "w", "h"))
    points = [[float(row[f"{name}_x"]), float(row[f"{name}_y"])] for name in POINTS]
    return MarkedFace(
        path=folder / row["file"],
        box=np.array([x, y, x + width, y + height], np.float32),
        points=np.array(points, np.float32),
        row=row,
    )
