"""`vitapps doc ocr`: one document -> text, a table of words, hOCR, ALTO, PAGE, JSON, or a PDF that can be searched."""

from __future__ import annotations

import contextlib
import logging
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.page_writer import SUFFIXES, Origin, PageWriter, open_writer
from vitapps.datasets.formats.pdf_page_text import is_sound
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.document.formats import DetectorName, OcrFormat, TextMode
from vitapps.pipelines.document.page_cache import ReadPages
from vitapps.pipelines.document.page_preview import draw_page
from vitapps.pipelines.document.page_ranges import named_pages
from vitapps.pipelines.document.page_source import PageItem, Source, blank_page, open_source
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

if TYPE_CHECKING:  # other formats do without what writes PDFs
    from vitapps.pipelines.document.searchable_pdf import SearchablePdf

_LOGGER = logging.getLogger("vitapps.document")
_FEW = 15  # words: a scan with fewer that are seen carries a stamp or a page number, not its text
_ENDINGS: dict[str, OcrFormat] = {
    ".txt": "txt", ".text": "txt", ".json": "json", ".hocr": "hocr", ".html": "hocr", ".htm": "hocr",
    ".alto.xml": "alto", ".page.xml": "page", ".xml": "alto", ".tsv": "tsv", ".pdf": "pdf",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class OcrSettings:
    """`pages` such as `1-5,8` (empty: all). `text`: what to do with text that a PDF has: `auto` keeps what a person
    could read and reads the rest, `skip` keeps any, `redo` reads again what lies invisibly over scans, `force` reads
    all pages. `dpi` to draw pages of a PDF at, or of a picture in place of what it says. `sidecar`: plain text too.
    `detector`: what finds lines."""

    format: OcrFormat | None = None
    pages: str = ""
    password: str = ""
    text: TextMode = "auto"
    dpi: float | None = None
    pdfa: bool = False
    preview: bool = False
    sidecar: Path | None = None
    detector: DetectorName = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class OcrResult:
    """What came out. `kept` pages had their text already, `read` were read, `known` of these came from the cache,
    `blank` hold no words; `confidence` mean of the words read, None without; `text` only where nothing was written."""

    input: str
    out: Path | None
    pages: int
    kept: int
    read: int
    known: int
    blank: int
    words: int
    confidence: float | None
    preview: Path | None = None
    record: Path | None = None
    text: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The fields by name; paths stay paths."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    """Counts pages as they go by."""

    pages: int = 0
    kept: int = 0
    failed: list[int] = field(default_factory=list)  # page numbers
    blank: list[int] = field(default_factory=list)
    words: int = 0
    sure: float = 0.0
    read_words: int = 0
    warnings: list[str] = field(default_factory=list)

    def add(self, page: Page, *, read: bool) -> None:
        words = page.words
        self.pages += 1
        self.kept += not read
        if not words:
            self.blank.append(page.number)
        self.words += len(words)
        if read:
            self.read_words += len(words)
            self.sure += sum(word.confidence for word in words)
        if words:  # of blank ones one warning tells for all
            self.warnings += page.warnings


def choose_format(out: Path | None, asked: OcrFormat | None) -> OcrFormat:
    """By `asked`, else by the end of the name; text where there is none. Raises UsageError for an unknown end."""
    if asked or out is None:
        return asked or "txt"
    name = out.name.lower()
    for ending in sorted(_ENDINGS, key=len, reverse=True):
        if name.endswith(ending):
            return _ENDINGS[ending]
    raise UsageError(f"-o {out}: no format has this suffix", hint=f"one of {' '.join(_ENDINGS)}, or --format")


def extension(form: OcrFormat) -> str:
    """What an output of that format ends in."""
    return ".pdf" if form == "pdf" else SUFFIXES[form]


def check_settings(settings: OcrSettings) -> None:
    """Refuse settings that no document could fit."""
    if settings.dpi is not None and not 30 <= settings.dpi <= 2400:
        raise UsageError(f"--dpi {settings.dpi:g}: outside 30 to 2400", hint="300 suits print of common size")


def check_ocr(path: Path, out: Path | None, settings: OcrSettings, *, overwrite: bool, sources: Sequence[Path]) -> None:
    """Refuse early what cannot be written: raises UsageError or OutputError."""
    check_settings(settings)
    form = choose_format(out, settings.format)
    if out is None and (form == "pdf" or settings.preview):
        raise UsageError("a PDF and a preview need a file", hint=f"-o {path.stem}.searchable.pdf")
    targets = [out, settings.sidecar, preview_path(out) if out and settings.preview else None]
    for target in targets:
        if target is not None:
            check_output(target, overwrite=overwrite, sources=sources)
    if out is not None and out == settings.sidecar:
        raise UsageError(f"--sidecar {out}: is the output itself", hint="give it another name")


def ocr(
    path: Path,
    out: Path | None,
    read: ReadPages,
    settings: OcrSettings | None = None,
    *,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> OcrResult:
    """Read the document `path` (`-`: standard input) and write `out`, with a run record beside it; without `out` the
    text comes back in the result. Raises UsageError, UnreadableInputError or OutputError; then nothing is left."""
    settings, options = settings or OcrSettings(), options or RunOptions()
    check_ocr(path, out, settings, overwrite=options.overwrite, sources=[path])
    source = open_source(path, pages=settings.pages, password=settings.password, dpi=settings.dpi)
    record = new_record((), options=options)
    read.networks.clear()
    tally, known, text = _Tally(), read.found, ""
    with record.timed("read"), _output(out, overwrite=options.overwrite) as target:
        _write(source, target, read, settings, tally, progress)
        _say_blank(source, tally)
        if len(tally.failed) == tally.pages:
            raise UnreadableInputError(tally.warnings[0], hint="open it in a viewer")
        text = target.read_text(encoding="utf-8") if out is None else ""
    result = OcrResult(
        input=source.name, out=out, pages=tally.pages, kept=tally.kept, read=tally.pages - tally.kept,
        known=read.found - known, blank=len(tally.blank), words=tally.words,
        confidence=round(tally.sure / tally.read_words, 4) if tally.read_words else None,
        preview=preview_path(out) if out and settings.preview else None, text=text, timings=record.timings,
        warnings=tally.warnings,
    )  # fmt: skip
    return (
        result
        if out is None
        else replace(result, record=_write_record(out, source, read, settings, options, result, command))
    )


def _say_blank(source: Source, tally: _Tally) -> None:
    """One warning that names the pages without writing, but for those that were damaged and said so."""
    blank = [number for number in tally.blank if number not in tally.failed]
    if not blank:
        return
    where = f" on page {named_pages(blank)}" if tally.pages > 1 else ""
    tally.warnings.append(f"{source.name}: no writing found{where}")
    _LOGGER.warning("%s", tally.warnings[-1])


def _write_record(
    out: Path, source: Source, read: ReadPages, settings: OcrSettings, options: RunOptions, result: OcrResult,
    command: str,
) -> Path:  # fmt: skip
    inputs = [source.content] if isinstance(source.content, Path) else []
    said = without_password(command)
    record = new_record(
        tuple(read.networks.values()), options=options, settings=_recorded(settings), command=said, inputs=inputs
    )
    record.timings, record.warnings = result.timings, result.warnings
    record.results = {name: value for name, value in result.to_json().items() if name not in ("text", "timings")}
    return write_run_record(out, record)


def without_password(command: str) -> str:
    """A command line whose `--password` is not to be read in a record."""
    words = shlex.split(command)
    for place, word in enumerate(words):
        if word.startswith("--password="):
            words[place] = "--password=..."
        elif place and words[place - 1] == "--password":
            words[place] = "..."
    return shlex.join(words)


def _recorded(settings: OcrSettings) -> dict[str, Any]:
    """The settings without the secret among them."""
    return {**asdict(settings), "password": "given" if settings.password else ""}


@contextlib.contextmanager
def _output(out: Path | None, *, overwrite: bool) -> Iterator[Path]:
    """Where to write: beside `out`, to become it, or a place that goes away."""
    if out is not None:
        with atomic_path(out, overwrite=overwrite) as target:
            yield target
        return
    with tempfile.TemporaryDirectory(prefix="vitapps-") as folder:
        yield Path(folder) / "out"


def _write(
    source: Source, target: Path, read: ReadPages, settings: OcrSettings, tally: _Tally, progress: Progress
) -> None:
    """Every page to whatever is to be written."""
    form = choose_format(target if target.suffix else None, settings.format)
    origin = Origin(name=Path(source.name).name)
    pdf = _searchable(source, settings) if form == "pdf" else None
    with contextlib.ExitStack() as stack:
        writers: list[PageWriter] = [] if form == "pdf" else [open_writer(form, target, origin)]
        if settings.sidecar:
            writers.append(
                open_writer("txt", stack.enter_context(atomic_path(settings.sidecar, overwrite=True)), origin)
            )
        drawn = not settings.preview
        with progress.task(f"reading {Path(source.name).name}", total=len(source.chosen)) as task:
            for item, page, was_read in _pages(source, read, settings, tally):
                for writer in writers:
                    writer.add(page)
                if pdf:
                    pdf.add(item, page, read=was_read)
                if not drawn and page.words:
                    draw_page(item.picture(), page, preview_path(target))
                    drawn = True
                task.advance()
        for writer in writers:
            writer.finish()
        if pdf:
            tally.warnings += [f"not PDF/A: {line}" for line in pdf.finish(target, pdfa=settings.pdfa)]


def _searchable(source: Source, settings: OcrSettings) -> SearchablePdf:
    from vitapps.pipelines.document.searchable_pdf import SearchablePdf

    return SearchablePdf(source, force=settings.text == "force")


def _pages(
    source: Source, read: ReadPages, settings: OcrSettings, tally: _Tally
) -> Iterator[tuple[PageItem, Page, bool]]:
    """Each page, and whether it was read from pixels; a damaged one of several is blank and says so."""
    for item in source.pages():
        try:
            page, was_read = _page(item, source, read, settings)
        except UnreadableInputError as error:
            _LOGGER.warning("%s", error.message)
            tally.failed.append(item.number)
            tally.warnings.append(error.message)
            page, was_read = blank_page(item, error.message), False
        tally.add(page, read=was_read)
        yield item, page, was_read


def _page(item: PageItem, source: Source, read: ReadPages, settings: OcrSettings) -> tuple[Page, bool]:
    sheet = item.sheet
    if sheet is not None and settings.text != "force":
        there = sheet.text(sheet.pixels(source.dpi), visible=settings.text == "redo")
        stamp = sheet.is_scan and len(there.words) < _FEW
        if there.words and (settings.text == "skip" or (is_sound(there.blocks) and not stamp)):
            return there, False
    picture = item.picture()
    if settings.dpi and sheet is None:
        picture = replace(picture, dpi=(settings.dpi, settings.dpi))
    page = replace(read(picture), number=item.number)
    if sheet is not None and picture.dpi:  # at which it was drawn, whatever the size of its type
        page = replace(page, dpi=picture.dpi, dpi_guessed=False)
    return page, True
