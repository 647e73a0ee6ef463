"""From pixels to lines on synthetic pages: every turn and skew, coordinates of the picture given, blank pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from fakes.line_readers import FakeReader
from vitapps.datasets.formats.page_text import Line, Page
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.synth.pages import make_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.polarity import is_negative, lean
from vitapps.pipelines.document.read_page import LoadingReader, PageReader, ReadSettings, dpi_of, read_page
from vitapps.pipelines.document.recognise import Recogniser
from vitapps.shared_backbones.weights.cards import load_card

FACES = find_faces(())  # Pillow's own, on every machine the same


def picture_of(image: np.ndarray) -> Picture:
    return Picture(pixels=np.repeat(image[..., None], 3, axis=2), name="page")


def middle(line: Line) -> np.ndarray:
    return np.array(line.quad).mean(axis=0)


def share_found(truth: Page, found: Page) -> float:
    """Lines of a page that have the middle of a found line within half their height."""
    middles = np.array([middle(line) for line in found.lines]).reshape(-1, 2)
    hits = 0
    for line in truth.lines:
        height = np.linalg.norm(np.subtract(line.quad[3], line.quad[0]))
        hits += bool(len(middles)) and np.linalg.norm(middles - middle(line), axis=1).min() < max(12, height)
    return hits / len(truth.lines)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_lines_are_found_whatever_the_turn_and_lie_in_the_picture_given(turn: int) -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=turn, skew=1.5, worn=False, largest=900)
    page = read_page(picture_of(made.image), PageReader(lines=FakeReader()))
    assert page.rotation == turn
    assert page.skew == pytest.approx(1.5, abs=0.3)
    assert (page.width, page.height) == (made.image.shape[1], made.image.shape[0])
    assert share_found(made.page, page) > 0.9


@pytest.mark.parametrize(("turn", "skew"), [(0, 13.0), (90, -9.0), (180, 24.0)])
def test_steep_pages_are_straightened(turn: int, skew: float) -> None:
    sheet = Image.new("L", (700, 500), 255)
    words = ["whom", "nature", "made,", "a", "hundred", "houses", "on", "that", "mountain"]
    for row in range(9):  # no gutter runs through rows that begin at another word
        text = " ".join(words[row:] + words[:row])
        ImageDraw.Draw(sheet).text((60, 50 + 44 * row), text, fill=0, font=ImageFont.load_default(24))
    seen = sheet.rotate(-turn - skew, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    page = read_page(picture_of(np.asarray(seen)), PageReader(lines=FakeReader()))
    assert page.rotation == (360 - turn) % 360
    assert page.skew == pytest.approx(skew, abs=0.5)
    assert len(page.lines) == 9


def test_the_gaps_of_rows_that_are_alike_are_no_gutters() -> None:
    """Gaps between words stand over one another all down the page, and are no wider than the others in their row."""
    sheet = Image.new("L", (700, 500), 255)
    for row in range(9):
        text = "Whom nature made a hundred houses on that mountain"
        ImageDraw.Draw(sheet).text((60, 50 + 44 * row), text, fill=0, font=ImageFont.load_default(24))
    page = read_page(picture_of(np.asarray(sheet)), PageReader(lines=FakeReader()), ReadSettings(turn=0))
    assert len(page.lines) == 9


def test_a_negative_is_read_as_the_page() -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=900)
    page, negative = (
        read_page(picture_of(image), PageReader(lines=FakeReader())) for image in (made.image, 255 - made.image)
    )
    assert negative == page and page.lines


def test_pages_on_a_dark_desk_and_pages_without_strokes_are_no_negatives() -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=900)
    desk = np.full((1400, 1400), 60, np.uint8)
    desk[200 : 200 + made.image.shape[0], 200 : 200 + made.image.shape[1]] = made.image
    assert not is_negative(desk) and not is_negative(made.image) and not is_negative(np.zeros((50, 40), np.uint8))
    assert is_negative(255 - made.image) and lean(np.full((9, 9), 7, np.uint8)) == 0.0


def test_quads_stand_as_the_writing_does() -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=180, skew=0.0, worn=False, largest=900)
    page = read_page(picture_of(made.image), PageReader(lines=FakeReader()))
    top_left, top_right = page.lines[0].quad[:2]
    assert top_left[0] > top_right[0]  # upside down: the writing's left is at the right


def test_a_blank_page_says_so() -> None:
    page = read_page(picture_of(np.full((400, 300), 250, np.uint8)), PageReader(lines=FakeReader()))
    assert page.blocks == ()
    assert page.warnings == ("no writing found",)


def test_what_the_reader_doubts_is_left_out() -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=900)
    page = read_page(picture_of(made.image), PageReader(lines=FakeReader(confidence=0.05)))
    assert page.lines == ()


def test_words_have_their_own_boxes_in_order() -> None:
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=900)
    page = read_page(picture_of(made.image), PageReader(lines=FakeReader()), ReadSettings(turn=0))
    long = max(page.lines, key=lambda line: line.box[2] - line.box[0])
    first, second = long.words
    assert first.box[2] <= second.box[0] + 1
    assert (first.text, second.text) == ("ab", "cd")


@pytest.mark.parametrize(
    ("says", "dpi", "guessed"),
    [(300.0, 300.0, False), (72.0, 300.0, True), (2400.0, 300.0, True), (None, 300.0, True), (150.0, 150.0, False)],
)
def test_a_resolution_that_suits_no_type_is_guessed(says: float | None, dpi: float, guessed: bool) -> None:
    picture = replace(picture_of(np.zeros((9, 9), np.uint8)), dpi=(says, says) if says else None)
    assert dpi_of(picture, 20.0, ReadSettings()) == ((dpi, dpi), guessed)
    assert dpi_of(picture, 20.0, ReadSettings(dpi=77.0)) == ((77.0, 77.0), False)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 5)])
def test_pages_of_hardly_a_pixel_are_blank(size: tuple[int, int]) -> None:
    assert read_page(picture_of(np.full(size, 90, np.uint8)), PageReader(lines=FakeReader())).blocks == ()


def test_weights_go_on_being_loaded_and_what_fails_is_said_when_they_are_needed() -> None:
    with pytest.raises(MissingError, match="no embedded weights"):
        PageReader.load("no-such-reader")

    def fails() -> Recogniser:
        raise MissingError("no graph", hint="none")

    reader = LoadingReader(fails)
    with pytest.raises(MissingError, match="no graph"):
        reader.read([])


def test_all_weights_that_a_page_may_need_are_known_before_it_is_read() -> None:
    cards = {name: load_card(name) for name in ("line-latin", "line-latin-words", "text-detector", "page-layout")}
    reader = PageReader.load(None, RunOptions(device="cpu", threads=1))
    assert reader.weights == {name: card.sha256 for name, card in cards.items()}
    assert [facts.name for facts in reader.facts()] == ["line-latin", "line-latin-words"]
