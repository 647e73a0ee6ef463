"""Plain text: UTF-8 without a mark, blocks divided by an empty line, pages by a form feed."""

from __future__ import annotations

from pathlib import Path

from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.page_writer import Origin


class TextWriter:
    """Text of each page in reading order; a blank page is an empty line."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="\n")
        self._begun = False

    def add(self, page: Page) -> None:
        self._stream.write("\f" if self._begun else "")
        self._stream.write(f"{page.text}\n".replace("\f", " "))
        self._begun = True

    def finish(self) -> None:
        self._stream.close()
