"""Folders of live faces and presentation attacks: `SOURCE/{real,live,bonafide}/*`, `SOURCE/<attack type>/*`.

A table `SOURCE.csv` beside the folder may give the face's box in each picture (`file,box_x,box_y,box_w,box_h`, file
relative to the folder) and who it shows (`subject`); without one every picture is the face itself.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError

LIVE = ("real", "live", "bonafide", "bona_fide", "genuine")
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Presentation:
    """One picture. `species` is `live` or the attack's folder name; `box` x0 y0 x1 y1, None: the whole picture."""

    path: Path
    source: str
    species: str
    subject: str = ""
    box: Box | None = None

    @property
    def live(self) -> bool:
        return self.species == "live"


def read_presentations(data: Path) -> list[Presentation]:
    """All pictures of all sources, sorted; UnreadableInputError where no source holds live faces and attacks."""
    folders = sorted(item for item in data.iterdir() if item.is_dir()) if data.is_dir() else []
    if any(folder.name.lower() in LIVE for folder in folders):
        folders = [data]
    found = [item for folder in folders for item in _of_source(folder)]
    if not (any(item.live for item in found) and any(not item.live for item in found)):
        raise UnreadableInputError(
            f"{data}: no live faces with attacks", hint="SOURCE/real/*.jpg and SOURCE/print/*.jpg are expected"
        )
    return found


def pictures_of(folder: Path) -> list[Path]:
    """Every picture below a folder, sorted; UnreadableInputError where there is none."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise UnreadableInputError(f"{folder}: no pictures", hint="give a folder of JPEG or PNG files")
    return found


def _of_source(folder: Path) -> list[Presentation]:
    table = _table(folder.with_name(f"{folder.name}.csv"))
    found = []
    for kind in sorted(item for item in folder.iterdir() if item.is_dir()):
        species = "live" if kind.name.lower() in LIVE else kind.name
        for path in sorted(item for item in kind.iterdir() if item.suffix.lower() in PICTURE_SUFFIXES):
            row = table.get(path.relative_to(folder).as_posix(), {})
            found.append(
                Presentation(
                    path=path, source=folder.name, species=species, subject=row.get("subject", ""), box=_box(row)
                )
            )
    return found


def _table(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row for row in csv.DictReader(stream) if "file" in row}


def _box(row: dict[str, str]) -> Box | None:
    try:
        x, y, width, height = (float(row[key]) for key in ("box_x", "box_y", "box_w", "box_h"))
    except (KeyError, ValueError):
        return None
    return x, y, x + width, y + height
