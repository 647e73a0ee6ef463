"""Pages as JSON, the format of our own that loses nothing; docs/page_json.md describes the fields.

`{"schema": "vitapps.pages/1", "source": ..., "pages": [page, ...]}`. Coordinates are pixels, corners in the order top
left, top right, bottom right, bottom left of the upright word. The page cache stores single pages in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitapps.datasets.formats.page_text import Block, Line, Page, Quad, Word
from vitapps.datasets.formats.page_writer import SOFTWARE, Origin
from vitapps.errors import UnreadableInputError
from vitapps.jsonable import shown

SCHEMA = "vitapps.pages/1"


class JsonWriter:
    """One object; its pages are written as they come."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="\n")
        head = {"schema": SCHEMA, "software": SOFTWARE, "source": shown(origin.name)}
        self._stream.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "pages": [')
        self._begun = False

    def add(self, page: Page) -> None:
        self._stream.write(",\n" if self._begun else "\n")
        self._stream.write(json.dumps(page_to_dict(page), ensure_ascii=False, allow_nan=False))
        self._begun = True

    def finish(self) -> None:
        self._stream.write("\n]}\n")
        self._stream.close()


def page_to_dict(page: Page) -> dict[str, Any]:
    """The page with all that it holds, coordinates to a hundredth of a pixel."""
    return {
        "number": page.number, "width": page.width, "height": page.height,
        "dpi": [round(value, 3) for value in page.dpi], "dpi_guessed": page.dpi_guessed,
        "rotation": page.rotation, "skew": round(page.skew, 4), "source": page.source,
        "sheet": [_rounded(corner) for corner in page.sheet] if page.sheet else None,
        "warnings": list(page.warnings), "text": page.text,
        "blocks": [_block_to_dict(block) for block in page.blocks],
    }  # fmt: skip


def page_from_dict(data: Any) -> Page:
    """The page that `page_to_dict` wrote; raises UnreadableInputError for another object."""
    try:
        return Page(
            number=int(data["number"]), width=int(data["width"]), height=int(data["height"]),
            dpi=(float(data["dpi"][0]), float(data["dpi"][1])), dpi_guessed=bool(data["dpi_guessed"]),
            rotation=int(data["rotation"]), skew=float(data["skew"]), source=str(data["source"]),
            sheet=_quad(data["sheet"]) if data.get("sheet") else None,
            warnings=tuple(data["warnings"]), blocks=tuple(_block_from_dict(item) for item in data["blocks"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableInputError(f"not a page of schema {SCHEMA}: {error}", hint="write it again") from None


def read_pages(path: Path) -> list[Page]:
    """Every page of a file that `JsonWriter` wrote."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        pages: Iterable[Any] = data["pages"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInputError(f"{path}: no pages in JSON: {error}", hint=f"schema {SCHEMA}") from None
    return [page_from_dict(item) for item in pages]


def _block_to_dict(block: Block) -> dict[str, Any]:
    return {"kind": block.kind, "box": _rounded(block.box), "lines": [_line_to_dict(line) for line in block.lines]}


def _line_to_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text, "confidence": round(line.confidence, 4), "box": _rounded(line.box),
        "quad": [_rounded(corner) for corner in line.quad],
        "words": [
            {"text": word.text, "confidence": round(word.confidence, 4), "box": _rounded(word.box),
             "quad": [_rounded(corner) for corner in word.quad]}
            for word in line.words
        ],
    }  # fmt: skip


def _block_from_dict(data: Any) -> Block:
    x0, y0, x1, y1 = (float(value) for value in data["box"])
    lines = tuple(
        Line(
            quad=_quad(line["quad"]),
            words=tuple(
                Word(text=str(word["text"]), quad=_quad(word["quad"]), confidence=float(word["confidence"]))
                for word in line["words"]
            ),
        )
        for line in data["lines"]
    )
    return Block(kind=data["kind"], box=(x0, y0, x1, y1), lines=lines)


def _quad(corners: Any) -> Quad:
    a, b, c, d = ((float(x), float(y)) for x, y in corners)
    return (a, b, c, d)


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
