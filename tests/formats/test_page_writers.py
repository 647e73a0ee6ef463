"""Pages written in each format and read back; ALTO, PAGE and hOCR checked against what their standards demand."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fakes.pages import line_at, sample_page, turned
from vitapps.datasets.formats.alto import NAMESPACE as ALTO
from vitapps.datasets.formats.alto import read_alto
from vitapps.datasets.formats.hocr import read_hocr
from vitapps.datasets.formats.line_metrics import metrics
from vitapps.datasets.formats.page_json import read_pages
from vitapps.datasets.formats.page_text import Block, Line, Page, Word, quad_of
from vitapps.datasets.formats.page_writer import SUFFIXES, Origin, TextFormat, open_writer
from vitapps.datasets.formats.page_xml import NAMESPACE as PAGE
from vitapps.datasets.formats.page_xml import page_path, read_page_xml
from vitapps.datasets.formats.word_tsv import HEADER
from vitapps.errors import UnreadableInputError, UsageError

READERS: dict[str, Callable[[Path], list[Page]]] = {
    "json": read_pages, "hocr": read_hocr, "alto": read_alto, "page": read_page_xml,
}  # fmt: skip


def write(form: TextFormat, folder: Path, *pages: Page) -> Path:
    path = folder / f"out{SUFFIXES[form]}"
    writer = open_writer(form, path, Origin(name='scans/a "b"; <c>.png'))
    for page in pages:
        writer.add(page)
    writer.finish()
    return path


def words_of(page: Page) -> list[tuple[str, tuple[int, ...]]]:
    return [(word.text, tuple(round(value) for value in word.box)) for word in page.words]


@pytest.mark.parametrize("form", READERS)
def test_text_and_places_come_back(form: TextFormat, tmp_path: Path) -> None:
    page = sample_page()
    found = READERS[form](write(form, tmp_path, page))
    assert len(found) == 1
    assert (found[0].width, found[0].height) == (800, 1000)
    assert words_of(found[0]) == words_of(page)
    assert found[0].text == page.text
    assert [block.kind for block in found[0].blocks] == [block.kind for block in page.blocks]
    assert [round(word.confidence, 2) for word in found[0].words] == [0.9] * len(page.words)


def test_json_loses_nothing(tmp_path: Path) -> None:
    pages = [sample_page(1), Page(width=3, height=4, number=2, rotation=90, skew=1.5, warnings=("blank",))]
    assert read_pages(write("json", tmp_path, *pages)) == pages


@pytest.mark.parametrize("form", ["json", "hocr", "alto"])
def test_pages_keep_their_order(form: TextFormat, tmp_path: Path) -> None:
    pages = [Page(width=100, height=100, number=number, blocks=(Block(lines=(line_at(f"p{number}", 1, 1),)),))
             for number in (1, 2, 3)]  # fmt: skip
    assert [page.text for page in READERS[form](write(form, tmp_path, *pages))] == ["p1", "p2", "p3"]


def test_page_xml_has_a_file_a_page(tmp_path: Path) -> None:
    path = write("page", tmp_path, sample_page(1), sample_page(2))
    assert page_path(path, 2).name == "out_0002.page.xml"
    assert read_page_xml(page_path(path, 2))[0].text == sample_page().text


@pytest.mark.parametrize("form", ["json", "hocr", "alto", "page", "tsv", "txt"])
def test_a_blank_page_and_none(form: TextFormat, tmp_path: Path) -> None:
    path = write(form, tmp_path, Page(width=10, height=20))
    if form in READERS:
        assert [(page.width, page.text) for page in READERS[form](path)] == [(10, "")]
    write(form, tmp_path)


@pytest.mark.parametrize("form", ["hocr", "alto", "page"])
def test_what_xml_forbids_is_left_out(form: TextFormat, tmp_path: Path) -> None:
    word = Word(text="a\x00b\x1fc\ufffe", quad=quad_of((0, 0, 9, 9)), confidence=1.2)
    line = line_at("x", 0, 0)
    page = Page(width=10, height=10, blocks=(Block(lines=(type(line)(words=(word,), quad=word.quad),)),))
    path = write(form, tmp_path, page)
    ElementTree.parse(path)
    assert READERS[form](path)[0].text == "abc"


def test_alto_is_what_the_standard_wants(tmp_path: Path) -> None:
    root = ElementTree.parse(write("alto", tmp_path, sample_page(1), sample_page(2))).getroot()
    assert root.tag == f"{{{ALTO}}}alto" and root.get("SCHEMAVERSION") == "4.4"
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names == ["Description", "Tags", "ReadingOrder", "Layout"]  # the sequence of the schema
    assert root.findtext(f"{{{ALTO}}}Description/{{{ALTO}}}MeasurementUnit") == "pixel"
    assert_ids(root, "ID")
    ids = {node.get("ID") for node in root.iter()}
    for node in root.iter(f"{{{ALTO}}}ElementRef"):
        assert node.get("REF") in ids
    assert [node.get("PHYSICAL_IMG_NR") for node in root.iter(f"{{{ALTO}}}Page")] == ["1", "2"]
    for name in ("Page", "PrintSpace", "TextBlock", "Illustration", "TextLine", "String"):
        for node in root.iter(f"{{{ALTO}}}{name}"):
            wanted = {"WIDTH", "HEIGHT"} | ({"HPOS", "VPOS"} if name != "Page" else set())
            assert wanted <= set(node.keys()), name
            assert set((node.get("TAGREFS") or "").split()) <= ids
    for node in root.iter(f"{{{ALTO}}}String"):
        assert node.get("CONTENT") and 0 <= float(node.get("WC") or -1) <= 1
    for node in root.iter(f"{{{ALTO}}}TextLine"):
        inner = [child.tag.rpartition("}")[2] for child in node]
        assert "Shape" not in inner[1:]
        assert re.fullmatch(r"Shape?(String(SP|HYP)?)+|(String(SP|HYP)?)+", "".join(inner))
    substitutes = [
        (s.get("SUBS_TYPE"), s.get("SUBS_CONTENT"), s.get("CONTENT")) for s in root.iter() if s.get("SUBS_TYPE")
    ]
    assert substitutes[:2] == [("HypPart1", "example", "exam"), ("HypPart2", "example", "ple")]


def test_page_xml_is_what_the_standard_wants(tmp_path: Path) -> None:
    root = ElementTree.parse(write("page", tmp_path, sample_page())).getroot()
    space = f"{{{PAGE}}}"
    assert root.tag == f"{space}PcGts"
    facts, sheet = root
    assert [child.tag for child in facts] == [f"{space}{name}" for name in ("Creator", "Created", "LastChange")]
    assert sheet.get("imageFilename") and sheet.get("imageWidth") == "800" and sheet.get("imageHeight") == "1000"
    assert next(iter(sheet)).tag == f"{space}ReadingOrder"
    assert_ids(root, "id")
    ids = {node.get("id") for node in root.iter()}
    refs = [(node.get("index"), node.get("regionRef")) for node in root.iter(f"{space}RegionRefIndexed")]
    assert [index for index, _ in refs] == [str(number) for number in range(5)] and {name for _, name in refs} <= ids
    order = {"TextRegion": ["Coords", "TextLine", "TextEquiv"], "TextLine": ["Coords", "Baseline", "Word", "TextEquiv"],
             "Word": ["Coords", "TextEquiv"], "TableRegion": ["Coords", "TextRegion"]}  # fmt: skip
    for name, wanted in order.items():
        for node in root.iter(f"{space}{name}"):
            inner = [child.tag.rpartition("}")[2] for child in node]
            assert sorted(inner, key=wanted.index) == inner and inner.count("Coords") == 1
    for node in root.iter():
        if node.get("points"):
            assert re.fullmatch(r"(\d+,\d+ )+\d+,\d+", node.get("points") or "")


def test_hocr_properties(tmp_path: Path) -> None:
    text = write("hocr", tmp_path, sample_page()).read_text(encoding="utf-8")
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text))
    assert_ids(root, "id")
    metas = {node.get("name"): node.get("content") for node in root.iter("{http://www.w3.org/1999/xhtml}meta")}
    by_class: dict[str, list[str]] = {}
    for node in root.iter():
        if node.get("class"):
            by_class.setdefault(node.get("class") or "", []).append(node.get("title") or "")
    assert set(by_class) <= set((metas["ocr-capabilities"] or "").split()) and metas["ocr-system"]
    assert re.search(r'image "[^"]*"; bbox 0 0 800 1000; ppageno 0; scan_res 200 200', by_class["ocr_page"][0])
    assert len(by_class["ocrx_word"]) == len(sample_page().words)
    assert all(re.match(r"bbox \d+ \d+ \d+ \d+; x_wconf 90", title) for title in by_class["ocrx_word"])
    assert re.match(r"bbox 100 150 330 170; baseline 0.0000 0.0; x_size 20.0; x_desc", by_class["ocr_line"][1])
    assert re.match(r"bbox \d+ \d+ \d+ \d+; baseline 0.0000 -4.4; x_size 20.0; x_desc", by_class["ocr_line"][2])
    assert [title for title in by_class["ocr_line"] if "textangle 270.0" in title]


def test_hocr_of_tesseract_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.hocr"
    path.write_text(
        """<html><body><div class='ocr_page' title='image "x; bbox 9.png"; bbox 0 0 640 480; scan_res 70 70'>
        <div class='ocr_carea' title="bbox 36 92 618 361"><p class='ocr_par' title="bbox 36 92 580 122">
        <span class='ocr_line' title="bbox 36 92 580 122; baseline 0 -6; x_size 30">
        <span class='ocrx_word' title='bbox 36 92 96 116; x_wconf 96'><strong>This&nbsp;</strong></span>
        <span class='ocrx_word' title='bbox 109 92 129 116; x_wconf 50'>&lt;is</span></span></p></div>
        </div></body></html>""",
        encoding="utf-8",
    )
    (page,) = read_hocr(path)
    assert (page.width, page.text, page.dpi) == (640, "This <is", (70.0, 70.0))
    assert page.words[1].box == (109, 92, 129, 116) and page.words[1].confidence == 0.5


def test_tsv_is_the_table_of_tesseract(tmp_path: Path) -> None:
    path = write("tsv", tmp_path, sample_page())
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert tuple(rows[0]) == HEADER
    words = [row for row in rows if row["level"] == "5"]
    assert [row["text"] for row in words] == [word.text for word in sample_page().words]
    assert {row["conf"] for row in rows if row["level"] != "5"} == {"-1"}
    assert (words[0]["left"], words[0]["top"], words[0]["width"], words[0]["conf"]) == ("100", "40", "10", "90.00")


def test_plain_text(tmp_path: Path) -> None:
    path = write("txt", tmp_path, sample_page(1), Page(width=1, height=1, number=2), sample_page(3))
    pages = path.read_text(encoding="utf-8").split("\f")
    assert pages == [sample_page().text + "\n", "\n", sample_page().text + "\n"]


def test_metrics_of_a_turned_line() -> None:
    flat = line_at("gap", 100, 100)
    assert metrics(flat).descent == pytest.approx(4.4) and metrics(line_at("nun", 0, 0)).descent == 0
    snug = Word(text="nun", quad=quad_of((150, 100, 180, 115)))  # stands on the baseline, 5 above the line's foot
    mixed = Line(words=(*flat.words, snug), quad=quad_of((100, 100, 180, 120)))
    assert metrics(mixed).descent == pytest.approx(5)
    found = metrics(turned(flat, 90, (100, 100)))
    assert found.angle == pytest.approx(90)
    assert (found.width, found.height) == (pytest.approx(30), pytest.approx(20))
    assert found.start == (pytest.approx(100 - 15.6), pytest.approx(100))  # reads downwards, its foot to the left


@pytest.mark.parametrize("form", ["json", "hocr", "alto", "page"])
@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"<html></html>", b"{}", b"[1]", b"<alto><Layout/></a>"])
def test_what_is_no_page_is_refused(form: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match="bad"):
        READERS[form](path)


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_writer("docx", tmp_path / "x", Origin(name="x"))  # type: ignore[arg-type]


def assert_ids(root: ElementTree.Element, name: str) -> None:
    """Every id once, and a name as XML wants it."""
    ids = [value for node in root.iter() if (value := node.get(name))]
    assert len(ids) == len(set(ids)) > 10
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", value) for value in ids)
