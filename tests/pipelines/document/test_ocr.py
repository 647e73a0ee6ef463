"""`doc ocr` end to end with a fake reader: every input and output, every mode, and what may never happen to a file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image

from fakes.page_reading import TEXT, Reading
from fakes.pages import block_at
from fakes.pdfs import jpeg, saved, scan_pdf, text_pdf
from vitapps.apps.main import main
from vitapps.datasets.formats.alto import read_alto
from vitapps.datasets.formats.hocr import read_hocr
from vitapps.datasets.formats.page_json import read_pages
from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.page_xml import read_page_xml
from vitapps.datasets.formats.pdf_pages import open_pdf
from vitapps.datasets.formats.pdf_text_layer import TextLayer
from vitapps.errors import UsageError
from vitapps.pipelines.document.ocr import ocr, without_password
from vitapps.pipelines.document.page_cache import ReadPages
from vitapps.pipelines.document.page_ranges import chosen_pages, named_pages
from vitapps.pipelines.document.read_page import PageReader
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.provenance import record_path


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def run(*words: object) -> int:
    return main(["doc", "ocr", *(str(word) for word in words), "--quiet"])


def texts(path: Path | bytes) -> list[str]:
    with open_pdf(path) as pages:
        found = []
        for index in range(len(pages)):
            with pages.sheet(index) as sheet:
                found.append(sheet.text(sheet.pixels(100)).text)
        return found


def layered(pdf: pikepdf.Pdf, words: str) -> pikepdf.Pdf:
    """A scan with an invisible layer of one line."""
    with open_pdf(saved(pdf)) as pages, pages.sheet(0) as sheet:
        frame = sheet.frame(850, 1100)
    layer = TextLayer(pdf)
    layer.add(0, Page(width=850, height=1100, blocks=(block_at([words], 50, 400),)), frame)
    layer.finish()
    return pdf


@pytest.mark.parametrize(("name", "reader"), [
    ("out.json", read_pages), ("out.hocr", read_hocr), ("out.alto.xml", read_alto), ("out.xml", read_alto),
    ("out.page.xml", read_page_xml),
])  # fmt: skip
def test_formats_by_suffix(name: str, reader: object, tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "scan.jpg", jpeg())
    assert run(source, "-o", tmp_path / name) == 0
    assert callable(reader) and reader(tmp_path / name)[0].text == TEXT
    record = json.loads((tmp_path / f"{name}.run.json").read_text())
    assert record["weights"] == {"fake-reader": "0" * 64} and record["results"]["words"] == 3


def test_records_name_what_was_asked_and_pages_are_known_by_what_might_be(tmp_path: Path, reading: Reading) -> None:
    source, out = write(tmp_path / "scan.jpg", jpeg(190)), tmp_path / "out.txt"
    reading.networks.append(NetworkFacts(name="text-detector", sha256="1" * 64))
    for weights, read in (("1", 1), ("1", 1), ("2", 2)):  # read, known, read again by others
        reading.weights["text-detector"] = weights
        assert run(source, "-o", out, "--overwrite") == 0 and len(reading.pictures) == read
        assert weights_in(out) == {"fake-reader", "text-detector"}
    read_pages_of = ReadPages(load=PageReader.load)
    ocr(source, tmp_path / "one.txt", read_pages_of)
    reading.networks.pop()
    ocr(source, tmp_path / "other.txt", read_pages_of)
    assert weights_in(tmp_path / "one.txt") > weights_in(tmp_path / "other.txt") == {"fake-reader"}


def weights_in(out: Path) -> set[str]:
    """Names of the weights in the record of an output."""
    return set(json.loads(record_path(out).read_text())["weights"])


def test_text_is_printed(tmp_path: Path, reading: Reading, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "scan.jpg", jpeg(210))
    assert run(source) == 0
    assert capsys.readouterr().out == f"{TEXT}\n"
    assert run(source, "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"] == f"{TEXT}\n"
    assert len(reading.pictures) == 1  # the second time it was known
    assert run(source, "--no-cache") == 0 and len(reading.pictures) == 2


def test_standard_input(
    tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in (jpeg(), saved(scan_pdf())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert run("-") == 0
        assert capsys.readouterr().out == f"{TEXT}\n"


def test_frames_of_a_tiff_and_ranges(tmp_path: Path, reading: Reading) -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((50, 40 + 10 * index), 60 * index, np.uint8)) for index in range(4)]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    source = write(tmp_path / "many.tif", stream.getvalue())
    assert run(source, "-o", tmp_path / "out.json", "--pages", "2-3") == 0
    assert [(page.number, page.width) for page in read_pages(tmp_path / "out.json")] == [(2, 50), (3, 60)]
    assert run(source, "-o", tmp_path / "out.pdf") == 0
    assert texts(tmp_path / "out.pdf") == [TEXT] * 4


@pytest.mark.parametrize("exif", [1, 6])
def test_a_picture_becomes_a_pdf(exif: int, tmp_path: Path, reading: Reading) -> None:
    data = jpeg(exif=exif)
    out = tmp_path / "out.pdf"
    assert run(write(tmp_path / "scan.jpg", data), "-o", out, "--pdfa", "--sidecar", tmp_path / "out.txt") == 0
    with pikepdf.open(out) as pdf:
        assert pdf.pages[0].obj.Resources.XObject.Page.read_raw_bytes() == data
        assert pdf.open_metadata().pdfa_status == "2B"
    assert texts(out) == [TEXT] and (tmp_path / "out.txt").read_text() == f"{TEXT}\n"


@pytest.mark.parametrize("rotate", [0, 90])
def test_a_scan_gets_a_layer(rotate: int, tmp_path: Path, reading: Reading) -> None:
    out = tmp_path / "out.pdf"
    assert run(write(tmp_path / "scan.pdf", saved(scan_pdf(rotate=rotate, crop=20))), "-o", out, "--preview") == 0
    with pikepdf.open(out) as pdf:
        assert pdf.pages[0].obj.Resources.XObject.Im.read_raw_bytes() == jpeg(850, 1100)
        assert int(pdf.pages[0].obj.get("/Rotate", 0)) == rotate and "/CropBox" in pdf.pages[0].obj
    assert texts(out) == [TEXT]
    assert Image.open(tmp_path / "out.pdf.preview.png").size == ((850, 1100) if rotate == 0 else (1100, 850))


def test_text_that_is_there_is_kept(tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "born.pdf", saved(text_pdf(pages=2)))
    assert run(source, "-o", tmp_path / "out.txt") == 0
    assert (
        tmp_path / "out.txt"
    ).read_text() == "Hello visible world\nsecond line\n\fHello visible world\nsecond line\n"
    assert run(source, "-o", tmp_path / "out.pdf") == 0
    assert texts(tmp_path / "out.pdf") == ["Hello visible world\nsecond line"] * 2
    assert reading.pictures == []


def test_force_reads_pages_with_text(tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "born.pdf", saved(text_pdf(pages=2)))
    assert run(source, "-o", tmp_path / "out.pdf", "--force", "--dpi", "100") == 0
    assert texts(tmp_path / "out.pdf") == [TEXT] * 2 and reading.pictures[0].pixels.shape == (1100, 850, 3)


def test_redo_leaves_none_of_the_old_text(tmp_path: Path, reading: Reading) -> None:
    words = "many words of an older reading that is to go because it was so poor that nobody could find a thing"
    source = write(tmp_path / "old.pdf", saved(layered(scan_pdf(), words)))
    assert run(source, "-o", tmp_path / "kept.pdf") == 0
    assert texts(tmp_path / "kept.pdf") == [words] and reading.pictures == []
    assert run(source, "-o", tmp_path / "new.pdf", "--redo") == 0
    assert texts(tmp_path / "new.pdf") == [TEXT]
    assert b"older" not in (tmp_path / "new.pdf").read_bytes()


def test_redo_keeps_what_is_seen(tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "born.pdf", saved(text_pdf()))
    assert run(source, "-o", tmp_path / "out.pdf", "--redo") == 0
    assert texts(tmp_path / "out.pdf") == ["Hello visible world\nsecond line"]


def test_a_stamp_is_not_the_text_of_a_scan(tmp_path: Path, reading: Reading) -> None:
    pdf = scan_pdf()
    page = pdf.pages[0].obj
    page.Resources.Font = (
        text_pdf().pages[0].obj.Resources.Font
        if False
        else pikepdf.Dictionary(
            F1=pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name("/Type1"), BaseFont=pikepdf.Name("/Helvetica")
            )
        )
    )
    page.Contents = pikepdf.Array([page.Contents, pdf.make_stream(b"BT /F1 12 Tf 400 30 Td (page 7) Tj ET")])
    assert run(write(tmp_path / "stamped.pdf", saved(pdf)), "-o", tmp_path / "out.pdf") == 0
    assert sorted(texts(tmp_path / "out.pdf")[0].split("\n\n")) == [TEXT, "page 7"]


def test_unsound_text_is_read_unless_it_is_to_be_kept(tmp_path: Path, reading: Reading) -> None:
    pdf = text_pdf(rb"BT /F1 20 Tf 100 700 Td (\001\002\003\004) Tj ET 0 0 99 99 re f")
    source = write(tmp_path / "odd.pdf", saved(pdf))
    assert run(source, "-o", tmp_path / "skip.txt", "--skip-text") == 0 and reading.pictures == []
    assert run(source, "-o", tmp_path / "out.txt") == 0
    assert (tmp_path / "out.txt").read_text() == f"{TEXT}\n"


def test_several_inputs_and_folders(tmp_path: Path, reading: Reading, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(tmp_path / "in" / "a.jpg", jpeg())
    write(tmp_path / "in" / "deep" / "b.pdf", saved(scan_pdf()))
    write(tmp_path / "in" / "broken.pdf", b"%PDF-1.4 nothing")
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--json") == 6
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["results"]) == 2 and "broken.pdf" in printed["failures"][0]["error"]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt"))
    assert written == ["a.txt", "deep/b.txt"]
    assert run(tmp_path / "in" / "a.jpg", tmp_path / "in" / "deep", "-o", tmp_path / "pdf", "--format", "pdf") == 0
    assert sorted(path.name for path in (tmp_path / "pdf").glob("*.pdf")) == ["a_ocr.pdf", "b_ocr.pdf"]


def test_a_long_job_goes_on_where_it_stopped(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path_factory.mktemp("pages")))  # other tests read pages like these
    pdf = pikepdf.new()
    for shade in range(5):
        part = scan_pdf(width=200, height=300 + shade)
        pdf.pages.append(part.pages[0])
    source = write(tmp_path / "long.pdf", saved(pdf))
    original = Reading.__call__

    def stops(self: Reading, *given: object) -> Page:
        if len(self.pictures) == 3:
            raise KeyboardInterrupt
        return original(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Reading, "__call__", stops)
    assert run(source, "-o", tmp_path / "out.pdf") == 130
    assert [path.name for path in tmp_path.iterdir()] == ["long.pdf"]
    monkeypatch.setattr(Reading, "__call__", original)
    assert run(source, "-o", tmp_path / "out.pdf") == 0
    assert len(reading.pictures) == 5 and texts(tmp_path / "out.pdf") == [TEXT] * 5


def test_a_blank_page_says_so(tmp_path: Path, reading: Reading) -> None:
    image = io.BytesIO()
    Image.new("L", (50, 50), 255).save(image, "PNG")
    assert run(write(tmp_path / "blank.png", image.getvalue()), "-o", tmp_path / "out.json") == 0
    (page,) = read_pages(tmp_path / "out.json")
    assert page.text == "" and page.warnings == ("no writing found",)


def test_blank_pages_are_named(tmp_path: Path, reading: Reading, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.BytesIO()
    frames = [Image.new("L", (50, 50), 255 if number in (2, 3, 5) else 0) for number in range(1, 6)]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    source = write(tmp_path / "many.tif", stream.getvalue())
    assert main(["doc", "ocr", str(source), "-o", str(tmp_path / "out.txt"), "--no-cache"]) == 0
    shown = capsys.readouterr()
    assert ", 3 blank" in shown.out and "no writing found on page 2-3, 5" in shown.err
    record = json.loads((tmp_path / "out.txt.run.json").read_text())
    assert record["results"]["blank"] == 3 and record["warnings"] == [f"{source}: no writing found on page 2-3, 5"]


def test_a_name_without_suffix_is_a_folder(tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "scan.jpg", jpeg())
    assert run(source, "-o", f"{tmp_path / 'new'}/", "--format", "json") == 0
    assert read_pages(tmp_path / "new" / "scan.json")[0].text == TEXT


def test_an_encrypted_file(tmp_path: Path, reading: Reading, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "locked.pdf", saved(scan_pdf(), encryption=pikepdf.Encryption(owner="o", user="u")))
    assert run(source, "-o", tmp_path / "out.pdf") == 3
    assert "--password" in capsys.readouterr().err
    assert run(source, "-o", tmp_path / "out.pdf", "--password", "u") == 0
    assert texts(tmp_path / "out.pdf") == [TEXT]
    assert without_password("vitapps doc ocr 'a b' --password u") == "vitapps doc ocr 'a b' --password ..."
    assert without_password("x --password=u -o y") == "x --password=... -o y"


def test_a_signed_file_is_not_touched(tmp_path: Path, reading: Reading) -> None:
    pdf = scan_pdf()
    pdf.Root.AcroForm = pikepdf.Dictionary(SigFlags=3, Fields=pikepdf.Array())
    source = write(tmp_path / "signed.pdf", saved(pdf))
    assert run(source, "-o", tmp_path / "out.pdf") == 2 and not (tmp_path / "out.pdf").exists()
    assert run(source, "-o", tmp_path / "out.txt") == 0


def test_outputs_and_inputs_are_safe(tmp_path: Path, reading: Reading) -> None:
    source = write(tmp_path / "scan.pdf", saved(scan_pdf()))
    before = source.read_bytes()
    assert run(source, "-o", source, "--overwrite") == 5 and source.read_bytes() == before
    old = write(tmp_path / "out.txt", b"old")
    assert run(source, "-o", old) == 5 and old.read_bytes() == b"old"
    broken = write(tmp_path / "broken.pdf", b"%PDF-1.4 nothing")
    assert run(broken, "-o", old, "--overwrite") == 3 and old.read_bytes() == b"old"
    assert run(source, "-o", tmp_path / "new.txt", "--sidecar", old) == 5 and old.read_bytes() == b"old"


@pytest.mark.parametrize("words", [
    ["--force", "--redo"], ["--dpi", "3"], ["--pages", "9"], ["--pages", "2-1"], ["--pages", "x"], ["--format", "pdf"],
    ["-o", "out.docx"], ["--preview"],
])  # fmt: skip
def test_what_makes_no_sense(
    words: list[str], tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(write(tmp_path / "scan.jpg", jpeg()), *words) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["scan.jpg"]


def test_ranges() -> None:
    assert named_pages([1, 2, 3, 5, 8, 9]) == "1-3, 5, 8-9" and named_pages([]) == ""
    assert chosen_pages("", 3) == [0, 1, 2]
    assert (
        chosen_pages("3,1-2, 2", 4) == [0, 1, 2] and chosen_pages("3-", 4) == [2, 3] and chosen_pages("-2", 4) == [0, 1]
    )
    for text in ("0", "5", "1,,2", "-", "a-b", "3-2"):
        with pytest.raises(UsageError):
            chosen_pages(text, 4)
