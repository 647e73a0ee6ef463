"""The table of words that tesseract writes: 12 columns, one row for each page, block, paragraph, line and word.

Fields are never quoted (a lone `"` is text): read it with `csv.QUOTE_NONE`. `conf` is 0 to 100, -1 where there is none.
"""

from __future__ import annotations

from pathlib import Path

from vitapps.datasets.formats.page_text import Box, Page
from vitapps.datasets.formats.page_writer import Origin, whole

HEADER = (
    "level", "page_num", "block_num", "par_num", "line_num", "word_num",
    "left", "top", "width", "height", "conf", "text",
)  # fmt: skip


class TsvWriter:
    """Rows in reading order under one header."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="\n")
        self._stream.write("\t".join(HEADER) + "\n")

    def add(self, page: Page) -> None:
        self._stream.writelines(rows(page))

    def finish(self) -> None:
        self._stream.close()


def rows(page: Page) -> list[str]:
    """The rows of one page, each ended by a line feed. A block has one paragraph."""
    found = [_row((1, page.number, 0, 0, 0, 0), (0, 0, page.width, page.height))]
    for block_number, block in enumerate(page.blocks, 1):
        place = page.number, block_number
        found += [_row((2, *place, 0, 0, 0), block.box), _row((3, *place, 1, 0, 0), block.box)]
        for line_number, line in enumerate(block.lines, 1):
            found.append(_row((4, *place, 1, line_number, 0), line.box))
            for word_number, word in enumerate(line.words, 1):
                level = (5, *place, 1, line_number, word_number)
                found.append(_row(level, word.box, f"{100 * word.confidence:.2f}", word.text))
    return found


def _row(place: tuple[int, ...], box: Box, confidence: str = "-1", text: str = "") -> str:
    x0, y0, x1, y1 = whole(box)
    fields = (*place, x0, y0, x1 - x0, y1 - y0, confidence, " ".join(text.split()))
    return "\t".join(str(field) for field in fields) + "\n"
