"""`vitapps doc ocr`: what is typed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Run, WeightsOption, command
from vitapps.errors import ExitCode, UsageError
from vitapps.pipelines.document.formats import DetectorName, LayoutName, OcrFormat, TextMode

_PDF = "PDF files"
DocumentsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...", show_default=False,
        help="PDF, PNG, JPEG, TIFF, WebP; a folder stands for those in it, - for standard input.",
    ),
]  # fmt: skip
TextOutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", show_default=False,
        help="File (.txt .json .hocr .alto.xml .page.xml .tsv .pdf), or folder (no suffix); else the text is printed.",
    ),
]  # fmt: skip
OcrFormatOption = Annotated[
    OcrFormat | None, typer.Option("--format", show_default=False, help="Else by the suffix of -o; txt.")
]
PagesOption = Annotated[
    str, typer.Option("--pages", metavar="1-5,8", show_default=False, help="Only these; of a PDF the others stay.")
]
PasswordOption = Annotated[
    str, typer.Option("--password", show_default=False, rich_help_panel=_PDF, help="Opens an encrypted file.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", rich_help_panel=_PDF, help="Read every page; those with text become pictures.")
]
RedoOption = Annotated[
    bool, typer.Option("--redo", rich_help_panel=_PDF, help="Read scans again and replace the text laid over them.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-text", rich_help_panel=_PDF, help="Keep any text there is, sound or not.")
]
DpiOption = Annotated[
    float | None,
    typer.Option("--dpi", show_default=False, help="Draws pages of a PDF; of a picture: what it truly has."),
]
PdfaOption = Annotated[bool, typer.Option("--pdfa", rich_help_panel=_PDF, help="PDF/A-2b, as far as the file permits.")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw the first page with its words: OUT.preview.png.")]
SidecarOption = Annotated[
    Path | None, typer.Option("--sidecar", show_default=False, help="The plain text too, in this file.")
]
DetectorOption = Annotated[
    DetectorName, typer.Option("--detector", help="What finds lines; auto: the network where components fail.")
]
LayoutOption = Annotated[
    LayoutName, typer.Option("--layout", help="What makes blocks; auto: the network in doc layout, else rules.")
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Read pages again that were read before (VITAPPS_CACHE).")
]


commands = typer.Typer(add_completion=False)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the group `doc`."""
    app.registered_commands.extend(commands.registered_commands)


@command(commands, "ocr")
def ocr(
    run: Run,
    documents: DocumentsArgument,
    out: TextOutOption = None,
    weights: WeightsOption = None,
    output_format: OcrFormatOption = None,
    pages: PagesOption = "",
    dpi: DpiOption = None,
    preview: PreviewOption = False,
    sidecar: SidecarOption = None,
    detector: DetectorOption = "auto",
    no_cache: NoCacheOption = False,
    password: PasswordOption = "",
    force: ForceOption = False,
    redo: RedoOption = False,
    skip_text: SkipOption = False,
    pdfa: PdfaOption = False,
) -> None:
    """Read documents: text in reading order, words with places, or a PDF that can be searched."""
    from vitapps.pipelines.document.ocr import OcrSettings
    from vitapps.pipelines.document.ocr_many import ocr_many

    settings = OcrSettings(
        format=output_format, pages=pages, password=password, text=_mode(force=force, redo=redo, skip=skip_text),
        dpi=dpi, pdfa=pdfa, preview=preview, sidecar=sidecar, detector=detector,
    )  # fmt: skip
    batch = ocr_many(
        documents, out, weights=weights, cached=not no_cache, options=run.options, settings=settings,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    lines = [line for item in batch.done for line in _lines(item)]
    if len(documents) == 1 and len(batch.done) == 1 and not batch.failed:
        run.emit(batch.done[0].to_json(), lines)
        return
    failures = [{"input": str(path), "error": str(error)} for path, error in batch.failed]
    run.emit({"results": [item.to_json() for item in batch.done], "failures": failures}, lines)
    if failures:  # each has been logged; under --json a second object would spoil stdout
        raise typer.Exit(ExitCode.PARTIAL)


def _mode(*, force: bool, redo: bool, skip: bool) -> TextMode:
    chosen: list[TextMode] = [mode for mode, given in (("force", force), ("redo", redo), ("skip", skip)) if given]  # type: ignore[misc]
    if len(chosen) > 1:
        raise UsageError("--force, --redo and --skip-text exclude one another", hint="give one of them")
    return chosen[0] if chosen else "auto"


def _lines(item: object) -> list[str]:
    from vitapps.pipelines.document.ocr import OcrResult

    assert isinstance(item, OcrResult)
    if item.out is None:
        return item.text.removesuffix("\n").split("\n")
    known = f", {item.known} known from before" if item.known else ""
    kept = f", {item.kept} had their text" if item.kept else ""
    blank = f", {item.blank} blank" if item.blank else ""
    return [f"wrote {item.out}: {item.words} words on {item.pages} pages{kept}{known}{blank}"]
