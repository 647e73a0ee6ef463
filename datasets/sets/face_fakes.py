"""Folders of real and fake faces: `SOURCE/real/*`, `SOURCE/fake/*`; and faces with landmarks for self-blending.

Frames of one video are named `VIDEO_NUMBER.ext`: everything before the last `_` is the video, which is what intervals
are drawn by. A source without `real/` holds whole-image generation, which is another question than a swap.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError

_UNMASKED = ("", "no_mask", "real", "live")  # labels of plain faces
_MARKS = ("reye", "leye", "nose", "rmouth", "lmouth")


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeCase:
    """One picture; `video` is unique over sources, `generated`: of a source without real faces."""

    path: Path
    source: str
    video: str
    fake: bool
    generated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedFace:
    """A real face: `box` x0 y0 x1 y1 and `landmarks` 5 2 in pixels of the picture; `person` as the table says."""

    path: Path
    person: str
    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]

    @property
    def side(self) -> float:
        """The shorter side of the box in pixels."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])


def read_fakes(data: Path) -> list[FakeCase]:
    """All sources, sorted; UnreadableInputError where there is no pair of real and fake faces."""
    found = []
    for folder in sorted(item for item in data.iterdir() if item.is_dir()) if data.is_dir() else []:
        generated = not (folder / "real").is_dir()
        for kind in ("real", "fake"):
            for path in sorted((folder / kind).glob("*")):
                if path.suffix.lower() in PICTURE_SUFFIXES:
                    video = f"{folder.name}/{kind}/{path.stem.rsplit('_', 1)[0] if _numbered(path) else path.stem}"
                    found.append(
                        FakeCase(path=path, source=folder.name, video=video, fake=kind == "fake", generated=generated)
                    )
    if not ({True, False} <= {case.fake for case in found if not case.generated}):
        raise UnreadableInputError(f"{data}: no real and fake faces", hint="SOURCE/real/*.png and SOURCE/fake/*.png")
    return found


def read_marked(data: Path) -> list[MarkedFace]:
    """Faces with box and landmarks: rows of a CSV, or of the only one of a folder (`faces_rgb.csv` where there are
    several), masked faces and attacks left out. Files lie beside the table or in the folder of its name.

    UnreadableInputError without a table of that kind."""
    tables = [data] if data.suffix == ".csv" else [data / "faces_rgb.csv"]
    tables = tables if tables[0].is_file() else sorted(data.glob("*.csv"))
    if not tables:
        raise UnreadableInputError(f"{data}: no table of faces", hint="a CSV with file, box_x … and reye_x … lmouth_y")
    table = tables[0]
    folder = table.with_suffix("") if table.with_suffix("").is_dir() else table.parent
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row.get("label", "") in _UNMASKED and row["box_x"]]
        return [_marked(folder, row) for row in rows]
    except (KeyError, ValueError) as error:
        raise UnreadableInputError(f"{table}: column {error}", hint="file, box_x … and reye_x … lmouth_y") from None


def _marked(data: Path, row: dict[str, str]) -> MarkedFace:
    x, y, width, height = (float(row[name]) for name in ("box_x", "box_y", "box_w", "box_h"))
    marks = np.array([[float(row[f"{name}_x"]), float(row[f"{name}_y"])] for name in _MARKS])
    person = row.get("person_hint") or row.get("subject") or row.get("person") or row["file"]
    return MarkedFace(path=data / row["file"], person=person, box=(x, y, x + width, y + height), landmarks=marks)


def _numbered(path: Path) -> bool:
    """Whether the stem is VIDEO_NUMBER of more than two digits: `fake_7` is a picture of its own."""
    _, _, number = path.stem.rpartition("_")
    return number.isdigit() and len(number) > 2
