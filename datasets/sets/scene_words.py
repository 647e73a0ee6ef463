"""Photographs with the boxes of their words as MMOCR lays them out (ICDAR 2015): pictures beside `textdet.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.page_text import Box
from vitapps.errors import UnreadableInputError


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenePicture:
    """`boxes` x0 y0 x1 y1 of all words in pixels; those of `readable` are large and sharp enough to be read."""

    picture: Path
    boxes: tuple[Box, ...]
    readable: tuple[Box, ...]


def read_scene_words(folder: Path) -> list[ScenePicture]:
    """The pictures of `folder/textdet.json`; raises UnreadableInputError."""
    path = folder / "textdet.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return [_picture(folder, row) for row in table["data_list"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInputError(f"{path}: not a list of words: {error}", hint="MMOCR's textdet.json") from None


def _picture(folder: Path, row: dict[str, object]) -> ScenePicture:
    words = list(row["instances"])  # type: ignore[call-overload]
    boxes: list[Box] = []
    for word in words:
        x0, y0, x1, y1 = (float(value) for value in word["bbox"])
        boxes.append((x0, y0, x1, y1))
    return ScenePicture(
        picture=folder / Path(str(row["img_path"])).name,
        boxes=tuple(boxes),
        readable=tuple(box for box, word in zip(boxes, words, strict=True) if not word.get("ignore")),
    )
