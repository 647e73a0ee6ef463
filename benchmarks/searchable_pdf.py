"""Pages with known text -> PDFs -> `doc ocr` -> pdftotext: what of the text arrives, in which order.

    python benchmarks/searchable_pdf.py --data DIR [--reader tesseract]

Each NAME.png with NAME.gt.txt becomes a PDF that is read; the layer is taken out by `pdftotext` and `pdftotext -raw`.
Two rows of figures: against what was read (what the layer itself loses: the bar is 0.6 %), and against the truth. Words
that a hyphen divides over two lines are joined before comparing, as pdftotext does. `--reader tesseract` lays the words
of tesseract, so that layers can be compared without our networks; OCRmyPDF, where installed, makes its layer beside.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pikepdf

from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.pdf_pictures import add_picture
from vitapps.datasets.formats.pdf_text_layer import TextLayer
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.page_truth import read_truth
from vitapps.pipelines.document.read_page import PageReader, read_page
from vitapps.pipelines.document.tesseract import Tesseract
from vitapps.pipelines.document.text_scores import character_errors, folded_text

MODES = ((), ("-raw",))


def joined(text: str) -> str:
    """Folded text with words that were divided made whole."""
    return folded_text(re.sub(r"(\w)[-\u2010]\s*\n\s*(?=[a-z])", r"\1", text))


def pdftotext(path: Path, *options: str) -> str:
    return subprocess.run(["pdftotext", *options, str(path), "-"], capture_output=True, text=True, check=True).stdout


def write_pdf(image: Path, page: Page, path: Path) -> None:
    picture = read_picture(image)
    pdf = pikepdf.new()
    frame = add_picture(pdf, image, picture, page.dpi)
    layer = TextLayer(pdf)
    layer.add(0, page, frame)
    layer.finish()
    pdf.save(path)


def ocrmypdf(image: Path, path: Path) -> bool:
    """OCRmyPDF's own layer over the same picture."""
    words = ["ocrmypdf", "--image-dpi", "300", "--output-type", "pdf", "--optimize", "0", str(image), str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reader", choices=("vitapps", "tesseract"), default="vitapps")
    given = parser.parse_args()
    read = _reader(given.reader)
    found: dict[str, list[str]] = {}
    said, truths = [], []
    with tempfile.TemporaryDirectory() as folder:
        for truth in (page for page in read_truth(given.data) if not page.is_receipt):
            page = read(truth.image)
            said.append(joined(page.text))
            truths.append(joined(truth.text))
            path = Path(folder) / "page.pdf"
            write_pdf(truth.image, page, path)
            for options in MODES:
                found.setdefault(f"vitapps layer {' '.join(options) or 'plain'}", []).append(
                    joined(pdftotext(path, *options))
                )
            if shutil.which("ocrmypdf") and ocrmypdf(truth.image, path.with_name("theirs.pdf")):
                for options in MODES:
                    theirs = joined(pdftotext(path.with_name("theirs.pdf"), *options))
                    found.setdefault(f"OCRmyPDF {' '.join(options) or 'plain'}", []).append(theirs)
            sys.stdout.write(f"{truth.image.name}\n")
    for name, texts in found.items():
        against = character_errors(texts, truths[: len(texts)])
        own = f"{character_errors(texts, said).rate:6.2f} of what was read" if name.startswith("vitapps") else " " * 24
        sys.stdout.write(f"{name:22} CER % {own}, {against.rate:6.2f} of the truth\n")


def _reader(name: str) -> Callable[[Path], Page]:
    if name == "tesseract":
        engine = Tesseract.find()
        return lambda image: engine.read(image)[0]
    reader = PageReader.load()
    return lambda image: read_page(read_picture(image), reader)


if __name__ == "__main__":
    main()
