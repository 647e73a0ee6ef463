"""Pages with their true text: NAME.png (jpg, tif, webp) beside NAME.gt.txt, the convention of tesstrain, kraken and
ocropy, or beside NAME.csv, the boxes of ICDAR-2019 SROIE (x1,y1,...,x4,y4,text: the text may hold commas)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.page_text import Box, box_of
from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError

_CORNERS = 8  # numbers before the text of a SROIE row


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthPage:
    """`lines` of the true text in order; `boxes` of a receipt's lines in pixels, none of a page."""

    image: Path
    lines: tuple[str, ...]
    boxes: tuple[Box, ...] = ()

    @property
    def is_receipt(self) -> bool:
        """Whether the order of the lines means nothing and their places are known."""
        return bool(self.boxes)

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(self.lines)


def read_truth(folder: Path) -> list[TruthPage]:
    """Every page of `folder`, by name; raises UnreadableInputError where there is none or a truth is damaged."""
    if not folder.is_dir():
        raise UnreadableInputError(f"{folder}: no such folder", hint="give a folder of NAME.png with NAME.gt.txt")
    found = []
    for truth in sorted([*folder.glob("*.gt.txt"), *folder.glob("*.csv")]):
        image = _image_of(truth)
        if image:
            found.append(_sroie(image, truth) if truth.suffix == ".csv" else _plain(image, truth))
    if not found:
        raise UnreadableInputError(
            f"{folder}: no page with its text", hint="NAME.png (jpg, tif) beside NAME.gt.txt or SROIE's NAME.csv"
        )
    return found


def _image_of(truth: Path) -> Path | None:
    name = truth.name.removesuffix(".gt.txt").removesuffix(".csv")
    candidates = (truth.with_name(name + suffix) for suffix in PICTURE_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _plain(image: Path, truth: Path) -> TruthPage:
    lines = [line.strip() for line in _content(truth).splitlines()]
    return TruthPage(image=image, lines=tuple(line for line in lines if line))


def _sroie(image: Path, truth: Path) -> TruthPage:
    lines, boxes = [], []
    for number, row in enumerate(_content(truth).splitlines(), 1):
        if not row.strip():
            continue
        parts = row.split(",", _CORNERS)
        try:
            corners = [float(value) for value in parts[:_CORNERS]]
            a, b, c, d = zip(corners[::2], corners[1::2], strict=True)
        except ValueError:
            raise UnreadableInputError(
                f"{truth}: line {number} has no quadrilateral", hint="x1,y1,...,x4,y4,text"
            ) from None
        lines.append(parts[_CORNERS].strip() if len(parts) > _CORNERS else "")
        boxes.append(box_of((a, b, c, d)))
    return TruthPage(image=image, lines=tuple(lines), boxes=tuple(boxes))


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UnreadableInputError(f"{path}: {error.strerror}", hint="check the file") from None
