"""The invisible layer: words at their places on every kind of page, in order for every reader, and out again."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pikepdf
import pytest
from PIL import ImageFont

from fakes.pages import block_at, line_at, sample_page, turned, two_columns
from fakes.pdfs import LETTERS, font, jpeg, saved, scan_pdf, text_pdf
from vitapps.datasets.formats.page_text import Block, Line, Page, Word, quad_of
from vitapps.datasets.formats.pdf_frame import PageFrame
from vitapps.datasets.formats.pdf_glyphless import GlyphlessFont, font_program, unicode_map
from vitapps.datasets.formats.pdf_old_text import remove_invisible_text
from vitapps.datasets.formats.pdf_pages import open_pdf
from vitapps.datasets.formats.pdf_text_layer import TextLayer

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed")


def with_layer(pdf: pikepdf.Pdf, page: Page) -> bytes:
    """The document with the words of `page` on its first page."""
    with open_pdf(saved(pdf)) as pages, pages.sheet(0) as sheet:
        frame = sheet.frame(page.width, page.height)
    layer = TextLayer(pdf)
    layer.add(0, page, frame)
    layer.finish()
    return saved(pdf)


def read_back(data: bytes, width: int, height: int) -> Page:
    with open_pdf(data) as pages, pages.sheet(0) as sheet:
        x0, _, x1, _ = sheet.box
        pixels = sheet.pixels(72 / ((x1 - x0) / (width if sheet.rotation % 180 == 0 else height)))
        return sheet.text(pixels)


def poppler(data: bytes, *options: str) -> str:
    done = subprocess.run(["pdftotext", *options, "-", "-"], input=data, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [0.0, 40.0])
def test_words_stand_where_they_were_read(rotate: int, crop: float) -> None:
    sides = (850, 1100) if rotate % 180 == 0 else (1100, 850)
    page = Page(
        width=sides[0], height=sides[1], blocks=(block_at(["Some gypsy words here", "and there, grow"], 100, 150),)
    )  # fmt: skip
    found = read_back(with_layer(scan_pdf(rotate=rotate, crop=crop), page), *sides)
    assert (found.width, found.height) == sides
    assert found.text == page.text
    for mine, theirs in zip(page.words, found.words, strict=True):
        assert mine.box == pytest.approx(theirs.box, abs=2.5)


def test_words_that_read_downwards() -> None:
    line = turned(line_at("turned aside", 400, 500), 90, (450, 510))
    page = Page(width=850, height=1100, blocks=(Block(lines=(line,), box=line.box),))
    found = read_back(with_layer(scan_pdf(), page), 850, 1100)
    assert found.text == "turned aside"
    assert found.words[0].quad[0] == pytest.approx(line.words[0].quad[0], abs=3)


@needs_poppler
@pytest.mark.parametrize("gutter", [15.0, 30.0, 90.0])
@pytest.mark.parametrize("skew", [0.0, 0.7, 1.5])
def test_two_columns_in_reading_order(gutter: float, skew: float) -> None:
    page = two_columns(gutter=gutter)
    if skew:
        centre = (page.width / 2, page.height / 2)
        blocks = tuple(
            Block(lines=tuple(turned(line, skew, centre) for line in block.lines), box=block.box)
            for block in page.blocks
        )
        page = Page(width=page.width, height=page.height, blocks=blocks)
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(page.width, page.height))
    data = with_layer(pdf, page)
    assert poppler(data, "-raw").split() == page.text.split()
    if not (skew == 1.5 and gutter == 15.0):  # the columns are no longer apart from left to right
        assert poppler(data).split() == page.text.split()


@needs_poppler
@pytest.mark.parametrize("degrees", [-7.0, 4.0, 8.0, 12.0, 20.0, 33.0])
def test_lines_askew_stay_lines(degrees: float) -> None:
    """For programs that take text as it comes; those that order it by its place cannot follow lines so steep."""
    texts = [f"row {row} of an extraordinarily steep page" for row in range(8)]
    lines = tuple(turned(line, degrees, (400, 500)) for line in block_at(texts, 200, 400).lines)
    page = Page(width=800, height=1000, blocks=(Block(lines=lines),))
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(800, 1000))
    data = with_layer(pdf, page)
    assert poppler(data, "-raw").split("\n")[:8] == texts
    with open_pdf(data) as pages, pages.sheet(0) as sheet:
        found = sheet._page.get_textpage().get_text_range()
    assert abs(degrees) < 9 or found.split("\r\n") == texts


@needs_poppler
def test_a_page_number_in_the_middle_does_not_turn_columns_round() -> None:
    """The right column begins a little higher, as on a page that is askew, and has a gap between paragraphs."""
    left = block_at([f"left {row} of many words" for row in range(12)], 50, 103)
    right = [block_at([f"right {row} of many words" for row in range(part, part + 6)], 320, top)
             for part, top in ((0, 100), (6, 300))]  # fmt: skip
    page = Page(width=600, height=600, blocks=(left, *right, block_at(["page 7"], 270, 550)))
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(600, 600))
    data = with_layer(pdf, page)
    assert poppler(data).split() == poppler(data, "-raw").split() == page.text.split()


@needs_poppler
def test_cells_of_a_row_keep_their_order_though_the_right_one_begins_higher() -> None:
    """As on the title page of a memorandum: number and date far apart, what follows centred below."""
    row = Block(lines=(line_at("Memo No. 916", 50, 103), line_at("September 1986", 420, 100)))
    page = Page(width=600, height=600, blocks=(row, block_at(["by two authors", "who know"], 230, 150)))
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(600, 600))
    data = with_layer(pdf, page)
    assert poppler(data).split() == poppler(data, "-raw").split() == page.text.split()


@needs_poppler
def test_poppler_finds_the_boxes() -> None:
    page = two_columns(6)
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(page.width, page.height))
    pattern = r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)<'
    found = re.findall(pattern, poppler(with_layer(pdf, page), "-bbox"))
    assert [text for *_, text in found] == [word.text for word in page.words]
    for (*box, _), word in zip(found, page.words, strict=True):
        assert [float(value) for value in box] == pytest.approx(word.box, abs=6)


def test_the_page_itself_stays() -> None:
    pdf = scan_pdf()
    before = pdf.pages[0].obj.Contents.read_bytes()
    data = with_layer(pdf, Page(width=850, height=1100, blocks=(block_at(["words"], 10, 10),)))
    opened = pikepdf.open(io.BytesIO(data))
    again = opened.pages[0].obj
    assert again.Resources.XObject.Im.read_raw_bytes() == jpeg(850, 1100)
    assert [part.read_bytes() for part in again.Contents][-1] == before
    assert list(again.MediaBox) == [0, 0, 612, 792]


def test_a_page_without_words_is_left_alone() -> None:
    pdf = scan_pdf()
    with_layer(pdf, Page(width=850, height=1100, blocks=(Block(lines=(line_at(" ", 0, 0),)),)))
    assert not isinstance(pdf.pages[0].obj.Contents, pikepdf.Array) and "/Font" not in pdf.pages[0].obj.Resources


def test_shared_and_inherited_resources_do_not_change() -> None:
    pdf = text_pdf(pages=2)
    shared = pdf.make_indirect(pdf.pages[0].obj.Resources)
    pdf.Root.Pages.Resources = shared
    for page in pdf.pages:
        del page.obj["/Resources"]
    with_layer(pdf, Page(width=612, height=792, blocks=(block_at(["words"], 10, 10),)))
    assert list(shared.Font.keys()) == ["/F1"]
    assert {"/F1"} < set(pdf.pages[0].obj.Resources.Font.keys()) and "/Resources" not in pdf.pages[1].obj


def test_tagged_documents_take_it_as_an_artifact() -> None:
    pdf = text_pdf()
    pdf.Root.StructTreeRoot = pikepdf.Dictionary(Type=pikepdf.Name("/StructTreeRoot"))
    with_layer(pdf, Page(width=612, height=792, blocks=(block_at(["words"], 10, 10),)))
    content = pdf.pages[0].obj.Contents[0].read_bytes()
    assert content.startswith(b"q\n/Artifact BMC\nBT") and content.endswith(b"ET\nEMC\nQ\n")


def test_every_letter_comes_back() -> None:
    text = "Ünï“œ”𝔄€½"
    word = Word(text=text, quad=quad_of((100, 100, 400, 130)))
    page = Page(width=850, height=1100, blocks=(Block(lines=(Line(words=(word,), quad=word.quad),)),))
    data = with_layer(scan_pdf(), page)
    with open_pdf(data) as pages, pages.sheet(0) as sheet:
        found = sheet._page.get_textpage().get_text_range()
    assert found == text


def test_the_font_is_a_truetype_font() -> None:
    loaded = ImageFont.truetype(io.BytesIO(font_program()), 100)
    assert loaded.getlength(" ") == 50 and loaded.getmask(" ").getbbox() is None
    many = unicode_map([(chr(0x100 + index), index + 1) for index in range(250)]).decode()
    assert re.findall(r"(\d+) beginbfchar", many) == ["100", "100", "50"]


def test_fonts_say_how_high_their_letters_are() -> None:
    pdf = pikepdf.new()
    fonts = GlyphlessFont(pdf)
    names = [fonts.named(height) for height in (1.0, 0.5, 0.99, 99.0)]
    fonts.finish()
    assert names[0] == names[2] and len(fonts.references()) == 3
    tall = [item.DescendantFonts[0].FontDescriptor for item in fonts.references().values()]
    assert [int(item.Ascent) for item in tall] == [780, 390, 1794] and float(tall[2].Ascent) < 1900


@pytest.mark.parametrize("as_form", [False, True])
def test_an_old_layer_goes_and_the_page_stays(as_form: bool) -> None:
    pdf = text_pdf()
    page = pdf.pages[0].obj
    old = b"q BT 3 Tr /F1 12 Tf 50 500 Td (old words) Tj (more) ' 1 2 (quoted) \" [(in) -20 (parts)] TJ ET Q\n"
    if as_form:
        form = pdf.make_stream(old)
        form["/Type"], form["/Subtype"] = pikepdf.Name("/XObject"), pikepdf.Name("/Form")
        form["/BBox"], form["/Resources"] = pikepdf.Array([0, 0, 612, 792]), pikepdf.Dictionary(Font={"/F1": font()})
        page.Resources.XObject = pikepdf.Dictionary(OCR=form)
        page.Contents = pdf.make_stream(b"q /OCR Do Q\n" + LETTERS)
    else:
        page.Contents = pikepdf.Array([pdf.make_stream(old), pdf.make_stream(LETTERS)])
    assert remove_invisible_text(pdf, pdf.pages[0]) == 4
    assert remove_invisible_text(pdf, pdf.pages[0]) == 0
    assert read_back(saved(pdf), 612, 792).text == "Hello visible world\nsecond line"


def test_our_own_layer_goes_too() -> None:
    pdf = scan_pdf()
    with_layer(pdf, sample_page())
    assert remove_invisible_text(pdf, pdf.pages[0]) > 0
    assert read_back(saved(pdf), 850, 1100).text == ""


def test_forms_that_draw_themselves_end() -> None:
    pdf = text_pdf()
    form = pdf.make_stream(b"BT 3 Tr (x) Tj ET /Me Do")
    form["/Subtype"] = pikepdf.Name("/Form")
    form["/Resources"] = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Me=form))
    pdf.pages[0].obj.Resources.XObject = pikepdf.Dictionary(Me=form)
    pdf.pages[0].obj.Contents = pdf.make_stream(b"/Me Do")
    assert remove_invisible_text(pdf, pdf.pages[0]) == 1


def test_the_frame_goes_there_and_back() -> None:
    for rotation in (0, 90, 180, 270):
        frame = PageFrame(box=(10, 20, 110, 220), rotation=rotation, width=300, height=400)
        assert frame.to_user(*frame.to_pixels(33, 77)) == pytest.approx((33, 77))
    quarter = PageFrame(box=(0, 0, 100, 200), rotation=90, width=200, height=100)
    assert quarter.to_pixels(0, 0) == (0, 0) and quarter.to_pixels(0, 200) == (200, 0)  # the foot turns to the left


def test_the_work_grows_with_the_words(tmp_path: Path) -> None:
    """One string a word and one a space, for a page of any size."""
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(1000, 1000))
    page = two_columns(30)
    with_layer(pdf, page)
    content = pdf.pages[0].obj.Contents[0].read_bytes()
    assert content.count(b" Tj") == 2 * len(page.words) - len(page.lines)
