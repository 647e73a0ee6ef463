"""An engine for OCRmyPDF: `ocrmypdf --ocr-engine vitapps in.pdf out.pdf`, which finds it by its entry point, or
`ocrmypdf --plugin vitapps.pipelines.document.ocrmypdf_plugin ...` where it does not."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrmypdf import hookimpl
from ocrmypdf.pluginspec import OcrEngine, OrientationConfidence

from vitapps import __version__

if TYPE_CHECKING:  # OCRmyPDF loads every plugin that is installed, also where another engine is asked for
    from vitapps.datasets.formats.page_text import Page
    from vitapps.pipelines.document.read_page import PageReader

_NAME = "vitapps"
_ONE_AT_A_TIME = threading.Lock()  # OCRmyPDF runs pages in threads; a network is run by one


class VitappsEngine(OcrEngine):
    """Pages as OCRmyPDF draws them -> hOCR and text, or a PDF of invisible text. No languages are to be installed: any
    code is taken."""

    @staticmethod
    def version() -> str:
        return __version__

    @staticmethod
    def creator_tag(options: Any) -> str:
        return f"vitapps {__version__}"

    def __str__(self) -> str:
        return f"vitapps {__version__}"

    @staticmethod
    def languages(options: Any) -> set[str]:
        return set(getattr(options, "languages", None) or ()) | {"eng"}

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        turned = -_read(input_file).rotation % 360  # by how much it lies turned clockwise, not what makes it upright
        return OrientationConfidence(angle=turned, confidence=15.0)

    @staticmethod
    def get_deskew(input_file: Path, options: Any) -> float:
        return _read(input_file).skew  # Pillow, which OCRmyPDF asks, turns counter-clockwise

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        from vitapps.datasets.formats.hocr import HocrWriter
        from vitapps.datasets.formats.page_writer import Origin

        page = _read(input_file)
        writer = HocrWriter(Path(output_hocr), Origin(name=Path(input_file).name))
        writer.add(page)
        writer.finish()
        Path(output_text).write_text(f"{page.text}\n", encoding="utf-8")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        from vitapps.datasets.formats.pdf_text_layer import write_text_pdf

        page = _read(input_file)
        write_text_pdf(Path(output_pdf), page)
        Path(output_text).write_text(f"{page.text}\n", encoding="utf-8")


@hookimpl
def add_options(parser: Any) -> None:
    """Let `--ocr-engine` take the name of this engine."""
    for action in parser._actions:
        if "--ocr-engine" in action.option_strings and action.choices is not None:
            action.choices = [*action.choices, _NAME]


@hookimpl
def get_ocr_engine(options: Any = None) -> VitappsEngine | None:
    """This engine where it was asked for by name, or where this module was named as a plugin."""
    asked = getattr(options, "ocr_engine", None) if options is not None else None
    named = any("vitapps" in str(plugin) for plugin in getattr(options, "plugins", None) or ())
    return VitappsEngine() if asked == _NAME or named else None


@lru_cache(maxsize=1)
def _reader() -> PageReader:
    from vitapps.options import RunOptions
    from vitapps.pipelines.document.read_page import PageReader

    return PageReader.load(None, RunOptions(threads=1))


def _read(image: Path) -> Page:
    """The page, whose orientation, skew and text OCRmyPDF asks for one after another."""
    with _ONE_AT_A_TIME:
        return _read_once(Path(image), Path(image).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_once(image: Path, changed: int) -> Page:
    from vitapps.datasets.formats.picture import read_picture
    from vitapps.pipelines.document.read_page import read_page

    return read_page(read_picture(image), _reader())
