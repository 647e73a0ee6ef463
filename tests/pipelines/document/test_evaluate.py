"""Scores of pages against hand-made truths, the report, tesseract beside, strings and the OCRmyPDF engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageFont

from fakes.line_readers import FakeReader
from fakes.page_reading import TEXT, Reading
from fakes.pages import block_at
from fakes.pdfs import jpeg, saved, scan_pdf
from vitapps.apps.main import main
from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.sets.page_truth import TruthPage, read_truth
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.pipelines.document import evaluate as module
from vitapps.pipelines.document import strings, tesseract
from vitapps.pipelines.document.eval_report import marked
from vitapps.pipelines.document.evaluate import score_page, total
from vitapps.pipelines.document.read_page import PageReader


@pytest.fixture
def pages(tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pages and a receipt, read by the fake."""
    monkeypatch.setattr(module, "read_page", reading)
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "r"):
        (tmp_path / "data" / f"{name}.jpg").write_bytes(jpeg())
    (tmp_path / "data" / "a.gt.txt").write_text(f"{TEXT}\n")
    (tmp_path / "data" / "b.gt.txt").write_text("Read from <b>pixel</b>\n")
    (tmp_path / "data" / "r.csv").write_text(
        "20,30,130,30,130,39,20,39,read from\n0,200,50,200,50,220,0,220,TOTAL, 5.00\n"
    )
    return tmp_path / "data"


def test_truths_are_read(pages: Path) -> None:
    first, _, receipt = read_truth(pages)
    assert first.lines == (TEXT,) and not first.is_receipt
    assert receipt.lines == ("read from", "TOTAL, 5.00") and receipt.boxes[1] == (0, 200, 50, 220)
    (pages / "r.csv").write_text("no numbers at all\n")
    with pytest.raises(UnreadableInputError, match="line 1"):
        read_truth(pages)
    with pytest.raises(UnreadableInputError, match="no page with its text"):
        read_truth(pages.parent)


def test_a_page_is_scored_in_order_and_without() -> None:
    truth = TruthPage(image=Path("x.png"), lines=("one two three", "four five"))
    page = Page(width=500, height=500, blocks=(block_at(["four five"], 10, 10), block_at(["one two thre"], 10, 200)))
    score = score_page(truth, page, "ours", 1.5)
    assert score.free_edits == 1 and score.free_length == 22 and score.edits > 10
    assert (score.bag.right, score.bag.found, score.bag.truth) == (4, 5, 5)
    assert [right for _, right in score.doubts] == [True, True, True, True, False]
    whole = total("ours", [score, score])
    assert whole.cer is not None and whole.cer.length == 46 and whole.cover is None and whole.cpu_s == 1.5


def test_a_receipt_is_scored_without_case_and_order() -> None:
    truth = TruthPage(
        image=Path("x.png"), lines=("Total 5.00", "Cash"), boxes=((10, 200, 110, 220), (300, 300, 400, 320))
    )
    page = Page(width=500, height=500, blocks=(block_at(["TOTAL 5.00"], 10, 200),))
    score = score_page(truth, page, "ours", 0.0)
    assert score.length == 0 and score.covered == 1 and score.boxes == 2
    assert (score.bag.right, score.bag.truth) == (3, 4) and score.free_edits > 0
    assert total("ours", [score]).cer is None and total("ours", [score]).cover == 50.0


def test_the_command_and_its_report(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["doc", "eval", "--data", str(pages), "-o", str(out), "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (ours,) = printed["engines"]
    assert ours["pages"] == 3 and ours["cover"] == 50.0 and ours["cer"]["edits"] == 7
    text = out.read_text(encoding="utf-8")
    assert "<del>&lt;b&gt;pixel&lt;/b&gt;</del>" in text and "<ins>pixels</ins>" in text and "http" not in text
    assert main(["doc", "eval", "--data", str(pages), "-o", str(out), "--quiet"]) == 5
    assert main(["doc", "eval", "--data", str(pages), "--limit", "1", "--quiet"]) == 0
    assert "a.jpg" in capsys.readouterr().out
    assert main(["doc", "eval", "--data", str(tmp_path / "none"), "--quiet"]) == 3


def test_the_worst_pages_are_drawn(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doc", "eval", "--data", str(pages), "--quiet", "--worst", "1", "--pictures", str(tmp_path / "drawn")]
    assert main(words) == 0
    (path,) = (tmp_path / "drawn").iterdir()
    assert path.name in ("worst_r.jpg", "worst_b.jpg") and Image.open(path).size == (200, 300)
    assert main(words[:-2]) == 2 and "--pictures" in capsys.readouterr().err


def test_pages_are_shown_as_photographs(pages: Path, reading: Reading) -> None:
    """Larger than the page by the desk around it, the same each time; a receipt's boxes go with it."""
    words = ["doc", "eval", "--data", str(pages), "--quiet", "--photograph"]
    assert main(words) == 0 and main(words) == 0
    once, again = reading.pictures[:3], reading.pictures[3:]
    assert all(picture.pixels.shape == (348, 248, 3) for picture in once)
    assert all((one.pixels == other.pixels).all() for one, other in zip(once, again, strict=True))
    with module._shown(read_truth(pages)[2], photograph=True) as seen:
        assert seen.image.exists() and seen.boxes[0] != (20, 30, 130, 39) and len(seen.boxes) == 2
    assert not seen.image.exists()


def test_differences_are_marked_and_conventions_are_not() -> None:
    left, right = marked("“one” two", '"one" too')
    assert left == [("“one” ", False), ("two", True)] and right == [('"one" ', False), ("too", True)]


def test_tesseract_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tesseract.shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match="not installed"):
        tesseract.Tesseract.find()


def printed_words(path: Path, text: str) -> Path:
    image = Image.new("L", (600, 120), 255)
    ImageDraw.Draw(image).text((20, 30), text, font=ImageFont.load_default(40), fill=0)
    image.save(path, dpi=(300, 300))
    return path


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_tesseract_beside(tmp_path: Path) -> None:
    engine = tesseract.Tesseract.find()
    page, seconds = engine.read(printed_words(tmp_path / "x.png", "Hello there"))
    assert page.text == "Hello there" and seconds > 0 and "tesseract" in engine.version
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableInputError, match="tesseract"):
        engine.read(tmp_path / "bad.png")


@pytest.mark.parametrize("kind", ["path", "bytes", "pillow", "grey", "colour"])
def test_strings_take_what_pytesseract_takes(
    kind: str, tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strings, "read_page", reading)
    strings._reader.cache_clear()
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg())
    array = np.full((300, 200), 100, np.uint8)
    given = {
        "path": path, "bytes": jpeg(), "pillow": Image.open(path), "grey": array,
        "colour": np.stack([array] * 3, axis=2),
    }[kind]  # fmt: skip
    assert strings.image_to_string(given) == TEXT
    assert reading.pictures[0].pixels.shape == (300, 200, 3)
    data = strings.image_to_data(given)
    assert [text for text in data["text"] if text] == TEXT.split() and data["conf"][-1] == 80.0
    with pytest.raises(UnreadableInputError):
        strings.image_to_string(np.zeros((2, 2, 7)))


def test_ocrmypdf_takes_the_engine(tmp_path: Path) -> None:
    pytest.importorskip("ocrmypdf")
    if shutil.which("gs") is None and shutil.which("tesseract") is None:
        pytest.skip("OCRmyPDF needs programs of its own")
    (tmp_path / "in.pdf").write_bytes(saved(scan_pdf()))
    module = "vitapps.pipelines.document.ocrmypdf_plugin"
    installed = any(point.value == module for point in entry_points(group="ocrmypdf"))  # else an older install
    asked = {"ocr_engine": "vitapps"} if installed else {"plugins": [module]}
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import ocrmypdf
from fakes.line_readers import FakeReader
from fakes.page_reading import Reading
from vitapps.pipelines.document import read_page
read_page.read_page = Reading()
read_page.PageReader.load = classmethod(lambda cls, *given: cls(lines=None))
ocrmypdf.ocr({str(tmp_path / "in.pdf")!r}, {str(tmp_path / "out.pdf")!r}, output_type="pdf", use_threads=True, jobs=1,
             progress_bar=False, optimize=0, **{asked!r})
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with pikepdf.open(tmp_path / "out.pdf") as pdf:
        assert len(pdf.pages) == 1
    if shutil.which("pdftotext"):
        words = subprocess.run(
            ["pdftotext", str(tmp_path / "out.pdf"), "-"], capture_output=True, text=True, check=True
        )
        assert words.stdout.split() == TEXT.split()


def test_ocrmypdf_is_told_how_to_turn_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned by Pillow as OCRmyPDF does, the page is level and upright."""
    pytest.importorskip("ocrmypdf")
    from vitapps.pipelines.document import ocrmypdf_plugin as plugin

    monkeypatch.setattr(plugin, "_reader", lambda: PageReader(lines=FakeReader()))
    sheet = Image.new("L", (700, 400), 255)
    words = ["whom", "nature", "made,", "a", "hundred", "houses", "on", "that", "mountain"]
    for row in range(7):
        text = " ".join(words[row:] + words[:row])
        ImageDraw.Draw(sheet).text((60, 50 + 44 * row), text, fill=0, font=ImageFont.load_default(24))
    askew = sheet.rotate(-5, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    askew.save(tmp_path / "askew.png")
    angle = plugin.VitappsEngine.get_deskew(tmp_path / "askew.png", None)
    askew.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=255).save(tmp_path / "level.png")
    assert abs(angle) == pytest.approx(5, abs=0.3)
    assert plugin.VitappsEngine.get_deskew(tmp_path / "level.png", None) == pytest.approx(0, abs=0.3)
    sheet.rotate(90, expand=True).save(tmp_path / "side.png")
    lies = plugin.VitappsEngine.get_orientation(tmp_path / "side.png", None).angle
    assert lies == 270  # clockwise, as tesseract says it; a turn by 90 makes it upright
