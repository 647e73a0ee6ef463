"""A PDF that can be searched: the pages as they were given, the words that were read laid invisibly over them."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitapps.datasets.formats.page_text import Block, Box, Page
from vitapps.datasets.formats.pdf_archive import make_archival
from vitapps.datasets.formats.pdf_old_text import remove_invisible_text
from vitapps.datasets.formats.pdf_pictures import add_picture, replace_page
from vitapps.datasets.formats.pdf_text_layer import TextLayer
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.document.page_source import PageItem, Source, frame_of

_LOGGER = logging.getLogger("vitapps.document")
_SIGNED = 1  # bit of /SigFlags


class SearchablePdf:
    """Takes the pages of one source in order; `finish` writes the document."""

    def __init__(self, source: Source, *, force: bool = False) -> None:
        """`force`: pages that show text of their own become pictures. Raises UsageError for a signed document without
        it, UnreadableInputError for one that cannot be changed."""
        import pikepdf

        self._source, self._force = source, force
        self._pdf: Any = _opened(source) if source.is_pdf else pikepdf.new()
        if source.is_pdf and not force:
            _refuse_signed(self._pdf, source.name)
        self._layer = TextLayer(self._pdf)

    def add(self, item: PageItem, page: Page, *, read: bool) -> None:
        """One page; `read` says that its words were read from pixels and are to be laid over it."""
        if item.sheet is None:
            self._add_picture(item, page)
        elif read:
            self._add_to_sheet(item, page)

    def finish(self, path: Path, *, pdfa: bool = False) -> list[str]:
        """Write `path`; what stands against PDF/A where that was asked for."""
        import pikepdf

        self._layer.finish()
        title = "" if self._source.name == "standard input" else Path(self._source.name).stem
        obstacles = make_archival(self._pdf, title=title) if pdfa else []
        if self._pdf.is_encrypted:
            _LOGGER.warning("%s: the output is not encrypted", self._source.name)
        modes = pikepdf.ObjectStreamMode
        mode = modes.preserve if self._source.is_pdf else modes.generate
        self._pdf.save(path, object_stream_mode=mode, compress_streams=False)  # pictures stay byte by byte
        self._pdf.close()
        return obstacles

    def _add_picture(self, item: PageItem, page: Page) -> None:
        dpi = (max(page.dpi[0], 1.0), max(page.dpi[1], 1.0))
        try:
            frame = add_picture(self._pdf, self._source.content, item.picture(), dpi)
        except UnreadableInputError:  # a damaged page of a PDF stays as it is
            return
        self._layer.add(len(self._pdf.pages) - 1, page, frame)

    def _add_to_sheet(self, item: PageItem, page: Page) -> None:
        assert item.sheet is not None
        target = self._pdf.pages[item.number - 1]
        remove_invisible_text(self._pdf, target)
        frame = frame_of(item, page)
        pixels = item.sheet.pixels(self._source.dpi)
        shown = item.sheet.text(pixels, visible=True)
        if shown.words and self._force:
            replace_page(self._pdf, target, item.picture(), frame)
        elif shown.words:
            scale = page.width / shown.width
            page = _without(page, [_scaled(word.box, scale) for word in shown.words])
        self._layer.add(item.number - 1, page, frame)


def _opened(source: Source) -> Any:
    import pikepdf

    content = source.content if isinstance(source.content, Path) else io.BytesIO(source.content)
    try:
        pdf = pikepdf.open(content, password=source.password)
        pages = len(pdf.pages)
    except pikepdf.PasswordError:
        raise UnreadableInputError(f"{source.name}: is encrypted", hint="--password PASSWORD") from None
    except (pikepdf.PdfError, ValueError, TypeError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["damaged"])[-1]
        raise UnreadableInputError(
            f"{source.name}: too damaged to be written again: {reason}", hint="its text can be had with --format txt"
        ) from None
    if pages != source.total:
        raise UnreadableInputError(
            f"{source.name}: {source.total} pages can be read, {pages} written again", hint="repair it first"
        )
    return pdf


def _refuse_signed(pdf: Any, name: str) -> None:
    form = pdf.Root.get("/AcroForm")
    if form is not None and int(form.get("/SigFlags", 0)) & _SIGNED:
        raise UsageError(f"{name}: is signed, which a text layer would break", hint="--format txt, or --force")


def _without(page: Page, shown: list[Box]) -> Page:
    """The page without words that the sheet shows as text already."""
    blocks = []
    for block in page.blocks:
        lines = tuple(
            replace(line, words=tuple(word for word in line.words if not _covered(word.box, shown)))
            for line in block.lines
        )
        blocks.append(Block(lines=tuple(line for line in lines if line.words), kind=block.kind, box=block.box))
    return replace(page, blocks=tuple(blocks))


def _covered(box: Box, shown: list[Box]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in shown)


def _scaled(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = box
    return (x0 * scale, y0 * scale, x1 * scale, y1 * scale)
