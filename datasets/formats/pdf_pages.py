"""Pages of a PDF, one at a time: drawn as they are shown (/Rotate and CropBox applied), or read where they have text.

A page that is a scan is drawn at the scan's own resolution, any other at 300 dpi, and none larger than `MAX_PIXELS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.datasets.formats.page_text import Box, Page
from vitapps.datasets.formats.pdf_frame import PageFrame
from vitapps.datasets.formats.picture import Picture
from vitapps.errors import UnreadableInputError

MAX_PIXELS = 40_000_000  # 160 MB while it is drawn; A4 at 600 dpi has 35 million
DEFAULT_DPI = 300.0
_DPI_RANGE = (60.0, 600.0)  # of scans; what claims more or less is drawn at the nearer end
_SCAN_COVER = 0.6  # share of the page that the pictures of a scan cover
_LARGEST = 150_000.0  # units of user space, 50 metres: Acrobat's own limit is a tenth of it
_PASSWORD, _FORMAT, _FILE, _NONE = 4, 3, 2, 0  # FPDF_GetLastError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """How a page is to be drawn. `scale`: pixels a unit of user space; `dpi` true dots an inch; `guessed`: the page
    does not say how fine it is; `warning` where it is drawn coarser than it should be."""

    scale: float
    dpi: float
    guessed: bool
    warning: str = ""


@contextmanager
def open_pdf(source: Path | bytes, *, name: str = "", password: str = "") -> Iterator[PdfPages]:
    """The document behind `source`; raises UnreadableInputError that names it."""
    label = name or (str(source) if isinstance(source, Path) else "document")
    pages = PdfPages(_document(source, label, password), label, _user_units(source, password))
    try:
        yield pages
    finally:
        pages.close()


class PdfPages:
    """A document: its length and its pages, each opened when it is asked for."""

    def __init__(self, document: Any, name: str, units: dict[int, float]) -> None:
        """`units`: /UserUnit of the pages that have one, by index."""
        self._document, self.name, self._units = document, name, units

    def __len__(self) -> int:
        return len(self._document)

    def close(self) -> None:
        """Release what pdfium holds."""
        self._document.close()

    @contextmanager
    def sheet(self, index: int) -> Iterator[PdfSheet]:
        """Page `index` from 0; raises UnreadableInputError where it cannot be opened."""
        page = None
        try:
            page = self._document[index]
        except _pdfium_error() as error:
            raise UnreadableInputError(
                f"{self.name}: page {index + 1} is damaged: {error}", hint="repair the file, or leave the page out"
            ) from None
        try:
            yield PdfSheet(page, index + 1, self.name, self._units.get(index, 1.0))
        finally:
            page.close()


class PdfSheet:
    """One page."""

    def __init__(self, page: Any, number: int, name: str, unit: float) -> None:
        self._page, self.number, self.name, self._unit = page, number, name, unit

    @cached_property
    def box(self) -> Box:
        """What is shown of the page, in user space."""
        x0, y0, x1, y1 = (float(value) for value in self._page.get_bbox())
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        if x1 - x0 < 1e-3 or y1 - y0 < 1e-3:
            raise UnreadableInputError(f"{self.name}: page {self.number} has no size", hint="repair the file")
        if max(x1 - x0, y1 - y0) > _LARGEST:
            raise UnreadableInputError(
                f"{self.name}: page {self.number} claims {x1 - x0:.6g} x {y1 - y0:.6g} units", hint="repair the file"
            )
        return (x0, y0, x1, y1)

    @property
    def rotation(self) -> int:
        """/Rotate in degrees clockwise, 0 to 270."""
        return int(self._page.get_rotation()) % 360

    def frame(self, width: int, height: int) -> PageFrame:
        """Between user space and `width` x `height` pixels of the displayed page."""
        return PageFrame(box=self.box, rotation=self.rotation, width=width, height=height)

    @cached_property
    def _images(self) -> list[tuple[float, float]]:
        """Share of the page and pixels a unit of every picture on it; few of a page that holds thousands."""
        import pypdfium2.raw as raw

        x0, y0, x1, y1 = self.box
        area, found = (x1 - x0) * (y1 - y0), []
        for number, image in enumerate(self._page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4)):
            if number == 500:
                break
            a, b, c, d, _, _ = image.get_matrix().get()
            sides = math.hypot(a, b), math.hypot(c, d)
            pixels = image.get_px_size()
            if min(sides) > 0 and min(pixels) > 0:
                finest = max(pixels[0] / sides[0], pixels[1] / sides[1])
                found.append((min(sides[0] * sides[1] / area, 1.0), finest))
        return found

    @property
    def is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        return sum(share for share, _ in self._images) >= _SCAN_COVER

    def pixels(self, dpi: float | None = None) -> Pixels:
        """How the page is to be drawn: at `dpi`, else at the resolution of its scan, else at 300 dpi."""
        per_inch = 72 / self._unit
        large = [finest * per_inch for share, finest in self._images if share >= 0.05]
        scanned = self.is_scan and bool(large)
        wanted = dpi or (min(max(max(large), _DPI_RANGE[0]), _DPI_RANGE[1]) if scanned else DEFAULT_DPI)
        x0, y0, x1, y1 = self.box
        scale, warning = wanted / per_inch, ""
        largest = math.sqrt(MAX_PIXELS / ((x1 - x0) * (y1 - y0)))
        if scale > largest:
            warning = f"page {self.number}: drawn at {largest * per_inch:.0f} dpi, {wanted:.0f} were too many pixels"
            scale = largest
        across = max(round((x1 - x0) * scale), 1)  # pdfium rounds up: a scan must not be drawn a pixel wider than it is
        scale = (across - 1e-4) / (x1 - x0)
        return Pixels(scale=scale, dpi=scale * per_inch, guessed=not dpi and not scanned, warning=warning)

    def picture(self, pixels: Pixels) -> Picture:
        """The page as it is shown, on white."""
        import pypdfium2.raw as raw

        try:
            bitmap = self._page.render(scale=pixels.scale, rev_byteorder=True, force_bitmap_format=raw.FPDFBitmap_BGR)
        except (_pdfium_error(), ValueError, MemoryError) as error:
            raise UnreadableInputError(
                f"{self.name}: page {self.number} cannot be drawn: {error}", hint="give a smaller --dpi"
            ) from None
        try:
            kept = np.array(bitmap.to_numpy(), np.uint8)  # H W 3, RGB; a copy: the bitmap goes
        finally:
            bitmap.close()
        dpi = None if pixels.guessed else (pixels.dpi, pixels.dpi)
        warnings = (pixels.warning,) if pixels.warning else ()
        return Picture(pixels=kept, name=f"{self.name} page {self.number}", dpi=dpi, warnings=warnings)

    def text(self, pixels: Pixels, *, visible: bool = False) -> Page:
        """The text that the page already has, placed in pixels as `picture` would draw it; with `visible` only what a
        person sees."""
        from vitapps.datasets.formats.pdf_page_text import read_text

        x0, y0, x1, y1 = self.box
        size = math.ceil((x1 - x0) * pixels.scale), math.ceil((y1 - y0) * pixels.scale)
        width, height = size if self.rotation % 180 == 0 else (size[1], size[0])
        blocks = read_text(self._page, self.frame(max(width, 1), max(height, 1)), visible=visible)
        return Page(
            width=max(width, 1), height=max(height, 1), number=self.number, blocks=blocks, source="text layer",
            dpi=(pixels.dpi, pixels.dpi), dpi_guessed=pixels.guessed,
        )  # fmt: skip


def _document(source: Path | bytes, label: str, password: str) -> Any:
    import pypdfium2

    if isinstance(source, Path):
        _check_file(source, label)
    try:
        document = pypdfium2.PdfDocument(source, password=password or None)
        if len(document) == 0:
            document.close()
            raise UnreadableInputError(f"{label}: a PDF without pages", hint="is it whole? copy it again")
    except (_pdfium_error(), ValueError, OSError) as error:
        code = getattr(error, "err_code", None)
        if code == _PASSWORD:
            said = "is encrypted" if not password else "is not opened by this password"
            raise UnreadableInputError(f"{label}: {said}", hint="--password PASSWORD") from None
        reason = "not a PDF, or damaged beyond repair" if code in (_FORMAT, _FILE) else str(error)
        if code == _NONE:  # nothing failed, but there is nothing to show
            reason = "holds no page that can be read"
        raise UnreadableInputError(
            f"{label}: {reason}", hint="open it in a viewer, and save or copy it again"
        ) from None
    with suppress(_pdfium_error()):
        document.init_forms()  # what was filled in is drawn
    return document


def _check_file(path: Path, label: str) -> None:
    try:
        if not path.exists():
            raise UnreadableInputError(f"{label}: no such file", hint="check the path")
        if not path.is_file():
            raise UnreadableInputError(f"{label}: not a regular file", hint="give a PDF file")
        if path.stat().st_size == 0:
            raise UnreadableInputError(f"{label}: the file is empty", hint="copy it again")
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise UnreadableInputError(f"{label}: {error.strerror}", hint="check the path") from None


def _user_units(source: Path | bytes, password: str) -> dict[int, float]:
    """/UserUnit of the pages that have one (PDF 1.6 and later); pdfium does not tell it."""
    import io

    import pikepdf

    try:
        with pikepdf.open(source if isinstance(source, Path) else io.BytesIO(source), password=password) as pdf:
            units = {number: float(page.obj.get("/UserUnit", 1)) for number, page in enumerate(pdf.pages)}
    except (pikepdf.PdfError, ValueError, TypeError, RuntimeError):  # what only pdfium can mend has units of 1/72 inch
        return {}
    return {number: unit for number, unit in units.items() if unit != 1 and 0 < unit < 1e6}


def _pdfium_error() -> type[Exception]:
    import pypdfium2

    kind: type[Exception] = pypdfium2.PdfiumError
    return kind
