"""What the writers of recognised pages share: pages come one at a time, so that a book never stands in memory."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol
from xml.etree import ElementTree

from vitapps import __version__
from vitapps.datasets.formats.page_text import Page, Quad
from vitapps.errors import UsageError

TextFormat = Literal["txt", "json", "hocr", "alto", "page", "tsv"]
SUFFIXES: dict[TextFormat, str] = {
    "txt": ".txt", "json": ".json", "hocr": ".hocr", "alto": ".alto.xml", "page": ".page.xml", "tsv": ".tsv",
}  # fmt: skip
SOFTWARE = f"vitapps {__version__}"
# what XML 1.0 cannot hold (section 2.2), as an escape or otherwise
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """`name` of the file the pages come from, as it is to stand in the output; `written` in UTC."""

    name: str
    written: datetime = field(default_factory=lambda: datetime.now(UTC))


class PageWriter(Protocol):
    """Pages in, in order; the file is complete after `finish`, which closes it."""

    def add(self, page: Page) -> None:
        """Write one page."""

    def finish(self) -> None:
        """Write what stands after the last page and close the file."""


_WRITERS: dict[TextFormat, tuple[str, str]] = {
    "txt": ("plain_text", "TextWriter"), "json": ("page_json", "JsonWriter"), "hocr": ("hocr", "HocrWriter"),
    "alto": ("alto", "AltoWriter"), "page": ("page_xml", "PageXmlWriter"), "tsv": ("word_tsv", "TsvWriter"),
}  # fmt: skip


def open_writer(form: TextFormat, path: Path, origin: Origin) -> PageWriter:
    """A writer of `form` that begins the file `path`; raises UsageError for a format that is none."""
    if form not in _WRITERS:
        raise UsageError(f"{form}: no format of pages", hint=f"one of {', '.join(SUFFIXES)}")
    module, name = _WRITERS[form]
    writer: PageWriter = getattr(importlib.import_module(f"vitapps.datasets.formats.{module}"), name)(path, origin)
    return writer


def legal(text: str) -> str:
    """`text` without the characters that XML forbids."""
    return _ILLEGAL.sub("", text)


def element(parent: ElementTree.Element, tag: str, **attributes: object) -> ElementTree.Element:
    """A child of `parent`; attributes that are None are left out."""
    given = {name: legal(str(value)) for name, value in attributes.items() if value is not None}
    return ElementTree.SubElement(parent, tag, given)


def fragment(root: ElementTree.Element) -> str:
    """`root` as indented text without a declaration."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def whole(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """A box in whole pixels, none of them negative."""
    x0, y0, x1, y1 = (max(0, round(value)) for value in box)
    return x0, y0, max(x0, x1), max(y0, y1)


def points(corners: Quad | tuple[tuple[float, float], ...]) -> str:
    """`x,y x,y ...` in whole pixels, none of them negative."""
    return " ".join(f"{max(0, round(x))},{max(0, round(y))}" for x, y in corners)
