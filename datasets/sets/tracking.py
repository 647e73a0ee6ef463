"""Sequences with the box of one object a frame, as OTB, GOT-10k, LaSOT, VOT and DAVIS lay them out.

    NAME/img/*.jpg        with groundtruth_rect.txt   OTB: x y w h from pixel 1, separated by comma, tab or space
    NAME/*.jpg            with groundtruth.txt        GOT-10k, LaSOT: x,y,w,h from pixel 1
    NAME/color/*.jpg or NAME/*.avi with groundtruth.txt   VOT: x,y,w,h or the corners of a polygon, from pixel 0
    JPEGImages/*/NAME/*.jpg with boxes/NAME.txt       DAVIS: x,y,w,h from pixel 0, `nan` where the object is not seen

Boxes come out as x y w h in pixels, corner origin; nan where a row is empty or says nan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

Family = Literal["OTB", "VOT", "GOT-10k", "DAVIS"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedSequence:
    """`source` for `open_clip`; `boxes` n 4 for the first n frames."""

    name: str
    family: Family
    source: str
    boxes: NDArray[np.float64]


def read_sequences(root: Path) -> list[TrackedSequence]:
    """All sequences below `root`, by name; UnreadableInputError where there are none or a file is damaged."""
    found = sorted(_sequences(root), key=lambda item: item.name)
    if not found:
        raise UnreadableInputError(
            f"{root}: no tracking sequence below it", hint="OTB, GOT-10k, VOT or DAVIS layout with ground truth"
        )
    return found


def _sequences(root: Path) -> Iterator[TrackedSequence]:
    for path in sorted(root.rglob("groundtruth_rect.txt")):
        if (path.parent / "img").is_dir():
            boxes = read_boxes(path) - np.array([1.0, 1.0, 0.0, 0.0])
            yield _sequence(path.parent, "OTB", str(path.parent / "img"), boxes)
    for path in sorted(root.rglob("groundtruth.txt")):
        yield from _vot_or_got(path)
    for path in sorted(root.rglob("boxes/*.txt")):
        folders = sorted((path.parent.parent / "JPEGImages").glob(f"*/{path.stem}"))
        if folders:
            yield _sequence(folders[0], "DAVIS", str(folders[0]), read_boxes(path))


def _vot_or_got(path: Path) -> Iterator[TrackedSequence]:
    folder = path.parent
    clips = sorted(folder.glob("*.avi")) + sorted(folder.glob("*.mp4"))
    if (folder / "color").is_dir():
        yield _sequence(folder, "VOT", str(folder / "color"), read_boxes(path))
    elif clips:
        yield _sequence(folder, "VOT", str(clips[0]), read_boxes(path))
    elif any(folder.glob("*.jpg")):
        yield _sequence(folder, "GOT-10k", str(folder), read_boxes(path) - np.array([1.0, 1.0, 0.0, 0.0]))


def _sequence(folder: Path, family: Family, source: str, boxes: NDArray[np.float64]) -> TrackedSequence:
    return TrackedSequence(name=folder.name, family=family, source=source, boxes=boxes)


def read_boxes(path: Path) -> NDArray[np.float64]:
    """n 4 of x y w h; polygons of 8 numbers become the box around them."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        parts = [part for part in re.split(r"[\s,]+", line.strip()) if part]
        try:
            values = [float(part) for part in parts]
        except ValueError:
            raise UnreadableInputError(
                f"{path}: line {number} holds what is no number", hint="x,y,w,h a line"
            ) from None
        if len(values) >= 6:
            x, y = np.array(values[0::2]), np.array(values[1::2])
            values = [x.min(), y.min(), x.max() - x.min(), y.max() - y.min()]
        rows.append(values if len(values) == 4 else [np.nan] * 4)
    return np.array(rows, np.float64).reshape(-1, 4)
