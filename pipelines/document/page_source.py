"""Where pages come from: a PDF, a picture with one or many frames, standard input; one page in memory at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.pdf_frame import PageFrame
from vitapps.datasets.formats.pdf_pages import PdfSheet, open_pdf
from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, Picture, count_frames, read_frames
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.document.page_ranges import chosen_pages

STANDARD_INPUT = Path("-")
SUFFIXES = (".pdf", *PICTURE_SUFFIXES)
MAX_INPUT = 1 << 30  # bytes of standard input
_PDF_WITHIN = 1024  # bytes of anything before %PDF that readers accept


class PageItem(Protocol):
    """One page of an input. `number` from 1; `sheet`: the page of a PDF, None of a picture."""

    @property
    def number(self) -> int: ...

    @property
    def sheet(self) -> PdfSheet | None: ...

    def picture(self) -> Picture:
        """The page as a person sees it."""
        ...


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int
    seen: Picture
    sheet: None = None

    def picture(self) -> Picture:
        return self.seen


@dataclass(frozen=True, slots=True)
class _Sheet:
    number: int
    sheet: PdfSheet
    dpi: float | None

    def picture(self) -> Picture:
        return self.sheet.picture(self.sheet.pixels(self.dpi))


@dataclass(frozen=True, slots=True)
class _Damaged:
    """A page of a PDF that does not open; `picture` raises what is wrong with it."""

    number: int
    error: UnreadableInputError
    sheet: None = None

    def picture(self) -> Picture:
        raise self.error


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """`content`: the path, or the bytes of standard input; `chosen` indices of the pages asked for, `total` of all."""

    content: Path | bytes
    name: str
    is_pdf: bool
    total: int
    chosen: list[int]
    password: str = ""
    dpi: float | None = None

    def pages(self) -> Iterator[PageItem]:
        """The pages asked for, in order; what an item gives is valid until the next."""
        if self.is_pdf:
            yield from self._sheets()
            return
        wanted = set(self.chosen)
        for picture in read_frames(self.content, name=self.name):
            if picture.frame in wanted:
                yield _Frame(picture.frame + 1, picture)

    def _sheets(self) -> Iterator[PageItem]:
        with open_pdf(self.content, name=self.name, password=self.password) as document:
            for index in self.chosen:
                with ExitStack() as stack:
                    try:
                        item: PageItem = _Sheet(index + 1, stack.enter_context(document.sheet(index)), self.dpi)
                    except UnreadableInputError as error:
                        item = _Damaged(index + 1, error)
                    yield item


def open_source(path: Path, *, pages: str = "", password: str = "", dpi: float | None = None) -> Source:
    """Look at an input without reading a page; raises UnreadableInputError, UsageError for pages it does not have."""
    content = _standard_input() if path == STANDARD_INPUT else path
    name = "standard input" if path == STANDARD_INPUT else str(path)
    is_pdf = _is_pdf(content)
    if is_pdf:
        with open_pdf(content, name=name, password=password) as document:
            total = len(document)
    else:
        total = count_frames(content, name=name)
    return Source(
        content=content, name=name, is_pdf=is_pdf, total=total, chosen=chosen_pages(pages, total), password=password,
        dpi=dpi,
    )  # fmt: skip


def is_folder(path: Path) -> bool:
    """Whether it is a folder; what cannot even be asked for (a name that is too long) is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def files_below(path: Path) -> list[Path]:
    """The pictures and PDFs in a folder and below it, sorted; raises UnreadableInputError where there is none."""
    found = sorted(
        item
        for item in path.rglob("*")
        if item.suffix.lower() in SUFFIXES and item.is_file() and not any(part.startswith(".") for part in item.parts)
    )
    if not found:
        raise UnreadableInputError(f"{path}: holds no picture and no PDF", hint=f"looked for {' '.join(SUFFIXES)}")
    return found


def blank_page(item: PageItem, warning: str) -> Page:
    """What stands for a page that cannot be read, so that none is lost."""
    width, height = 1, 1
    if item.sheet is not None:
        x0, y0, x1, y1 = item.sheet.box
        width, height = max(1, round(x1 - x0)), max(1, round(y1 - y0))
    return Page(width=width, height=height, number=item.number, warnings=(warning,))


def frame_of(item: PageItem, page: Page) -> PageFrame:
    """Between the pixels of `page` and the sheet that it was read from."""
    assert item.sheet is not None
    return item.sheet.frame(page.width, page.height)


def _is_pdf(content: Path | bytes) -> bool:
    """By what is in it, and by its name where nothing is."""
    if isinstance(content, bytes):
        return b"%PDF-" in content[:_PDF_WITHIN]
    named = content.suffix.lower() == ".pdf"
    try:
        if not content.is_file():
            return named
        with content.open("rb") as stream:
            return named or b"%PDF-" in stream.read(_PDF_WITHIN)
    except OSError:  # its reader says what is wrong with it
        return named


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise UnreadableInputError("standard input: more than 1 GiB", hint="give a file")
    if not data:
        raise UnreadableInputError("standard input: no data", hint="was anything piped in?")
    return data
