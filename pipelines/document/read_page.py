"""A picture of a page -> its text as a tree: flattened, turned upright, lines found, read in batches, put in order.

Everything given back is in pixels of the picture that was given, whatever was turned, straightened or scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, Box, Line, Page, around, box_of, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.options import RunOptions
from vitapps.pipelines.document.components import binarise, components_of, x_height
from vitapps.pipelines.document.deskew import Upright, make_upright
from vitapps.pipelines.document.detect_lines import DEFAULT_WEIGHTS as DETECTOR_WEIGHTS
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.find_lines import lines_by_components
from vitapps.pipelines.document.formats import DetectorName, LayoutName
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout import Group, group_lines, with_figures, with_tables
from vitapps.pipelines.document.layout_network import DEFAULT_WEIGHTS as LAYOUT_WEIGHTS
from vitapps.pipelines.document.layout_network import LayoutNetwork
from vitapps.pipelines.document.line_crops import Crop, PlacedWord, crop_line, to_line
from vitapps.pipelines.document.orientation import Survey, survey
from vitapps.pipelines.document.pictures import (
    drawn_density,
    figure_boxes,
    light_lines,
    mark_pictures,
    picture_density,
    without_shadows,
)
from vitapps.pipelines.document.polarity import dark_on_light
from vitapps.pipelines.document.reading_order import reading_order
from vitapps.pipelines.document.recognise import DEFAULT_READER, Recogniser, cards_of
from vitapps.pipelines.document.ruled_tables import level_rules, table_boxes
from vitapps.pipelines.document.sheet import FlatSheet, find_sheet, flattened
from vitapps.pipelines.document.small_type import SPARSE, with_small_type
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.weights.cards import load_card

Grey = NDArray[np.uint8]
FEW_LETTERS = (0.65, 0.55, 0.4, 0.0)  # confidence wanted beyond the least of 0, 1, 2, … letters and figures
IN_PICTURE = 0.15  # and of what lies on a picture
BATCH = 64  # lines that are cut out at a time, which bounds the memory of a dense page
FAILED = 0.4  # share of the lines found below which, read, the components are held to have failed
BARE = 6.0  # grey values: deviation of a picture with nothing on it
SURE_TURN = 0.25  # of a survey: from there on its turn and size hold
WORKING = 15.0  # pixels: x-height at which components are looked at; larger type is scaled down to it
LEAST_PIXELS, LARGEST = 1e6, 40.0  # a page of few lines is scaled to no less, unless its x-height were larger then
USUAL_DPI = (72, 96, 100, 120, 150, 200, 240, 300, 400, 600)
SIZES = (1.4, 18.0)  # points: x-heights of type that a page can have, from 3 to 38 points
POINTS = 4.7  # x-height of 10-point type in points, for a guess at the resolution


class Reading(Protocol):
    """What a reader says of one crop: its words from left to right, none for bare paper; how certain it is that they
    are writing, 0 to 1."""

    @property
    def words(self) -> Sequence[PlacedWord]: ...

    @property
    def certainty(self) -> float: ...


class LineReader(Protocol):
    """Reads crops of one line each, h w uint8, dark on light."""

    def read(self, crops: Sequence[Grey]) -> Sequence[Reading]:
        """A reading for each crop."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSettings:
    """`turn`: degrees clockwise that make the page upright, None to find out; `deskew`: straighten by the lines' own
    slope; `dpi` in place of what the file says; `least_confidence`: lines read with less are no writing; `detector`:
    what finds the lines; `layout`: what makes blocks of them, where the reader has a network for it."""

    turn: int | None = None
    deskew: bool = True
    dpi: float | None = None
    least_confidence: float = 0.3
    detector: DetectorName = "auto"
    layout: LayoutName = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReader:
    """What reads pages: a reader of lines, a detector of lines that is loaded where components fail, a network for
    layout that is loaded when it is asked for (None: none is), and the facts of what reads lines, for run records.
    `weights`: sha256 of all that may be asked for a page, by name."""

    lines: LineReader
    detector: Callable[[], LineDetector] | None = None
    layout: Callable[[], LayoutNetwork] | None = None
    facts: Callable[[], tuple[NetworkFacts, ...]] = tuple
    weights: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> PageReader:
        """The embedded models, or a recogniser by card name or path, which goes on being loaded while the first page is
        looked at; raises MissingError where there is none."""
        known = {**weights_of(weights), LAYOUT_WEIGHTS: load_card(LAYOUT_WEIGHTS).sha256}
        lines = LoadingReader(partial(Recogniser.load, weights or DEFAULT_READER, options))
        detector = cache(partial(LineDetector.load, None, options))
        layout = cache(partial(LayoutNetwork.load, None, options))
        return cls(lines=lines, detector=detector, layout=layout, facts=lambda: lines.loaded.networks, weights=known)


class LoadingReader:
    """A recogniser that `load` makes in a thread, so that what comes before reading need not wait."""

    def __init__(self, load: Callable[[], Recogniser]) -> None:
        pool = ThreadPoolExecutor(1, thread_name_prefix="vitapps-load")
        self._loading = pool.submit(load)
        pool.shutdown(wait=False)

    @property
    def loaded(self) -> Recogniser:
        """The recogniser, once it is there; raises what `load` raised."""
        return self._loading.result()

    def read(self, crops: Sequence[Grey]) -> Sequence[Reading]:
        return self.loaded.read(crops)


def weights_of(weights: str | None = None) -> dict[str, str]:
    """sha256 of the weights that may be asked for the text of a page, by name: a line recogniser, its word heads, the
    text detector. Raises MissingError as `cards_of` does."""
    cards = [*cards_of(weights or DEFAULT_READER), load_card(DETECTOR_WEIGHTS)]
    return {card.name: card.sha256 for card in cards if card is not None}


def read_page(picture: Picture, reader: PageReader, settings: ReadSettings | None = None) -> Page:
    """Read one page. A page without writing has no blocks and says so in its warnings."""
    return read_and_tell(picture, reader, settings)[0]


def read_and_tell(
    picture: Picture, reader: PageReader, settings: ReadSettings | None = None
) -> tuple[Page, tuple[NetworkFacts, ...]]:
    """As `read_page`, with the facts of the networks that were asked for this page."""
    settings = settings or ReadSettings()
    grey = grey_of(picture)
    layout = reader.layout() if settings.layout == "network" and reader.layout else None
    look, page = look_at(grey, reader.lines, settings)
    detector = reader.detector() if settings.detector == "network" and reader.detector else None
    if detector is not None:
        look, page, found = find_by_network(grey, look, page, detector, settings)
    else:
        found = find_on(page)
    read = _read_lines(grey, page, found.lines, reader.lines, settings)
    if settings.detector == "auto" and reader.detector and _in_doubt(grey, found, read):
        detector = reader.detector()
        other, upright, seen = find_by_network(grey, Survey(), page, detector, settings)
        again = _read_lines(grey, upright, seen.lines, reader.lines, settings)
        if _letters(again) > _letters(read):
            look, page, found, read = other, upright, seen, again
    asked = [*reader.facts(), *([detector.facts] if detector else []), *(layout.networks if layout else [])]
    return page_of(picture, page, look, read, found, settings, layout), tuple(asked)


def find_by_network(
    grey: Grey, look: Survey, page: Upright, detector: LineDetector, settings: ReadSettings
) -> tuple[Survey, Upright, FoundPage]:
    """What the network finds, and the page on which it stands: `page` itself where its letters told which way is up and
    how large they are (with a known turn nothing is told), else the picture as it is given, with type of any size."""
    if settings.turn is None and look.sure >= SURE_TURN:
        seen = detector.find(page.grey, look.x_height * page.scale)
        lines = tuple(replace(line, in_picture=_lies_in(line.box, seen.figures)) for line in seen.lines)
        return look, page, FoundPage(lines=lines, figures=seen.figures, tables=seen.tables)
    upright = make_upright(grey, turn=settings.turn or 0, skew=0.0)
    lines = detector.find(upright.grey).lines
    height = float(np.median([line.x_height for line in lines])) if lines else 0.0
    return Survey(turn=settings.turn or 0, x_height=height), upright, FoundPage(lines=lines)


def _lies_in(box: Box, regions: Sequence[Box]) -> bool:
    """Whether the middle of a box lies in one of some regions."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(x0 < x < x1 and y0 < y < y1 for x0, y0, x1, y1 in regions)


def _in_doubt(grey: Grey, found: FoundPage, read: Sequence[tuple[FoundLine, Line]]) -> bool:
    """Whether components failed: most of what they found holds no writing, and the picture is not bare paper."""
    return len(read) <= FAILED * len(found.lines) and float(grey[::4, ::4].std()) > BARE


def _letters(read: Sequence[tuple[FoundLine, Line]]) -> float:
    """Letters and figures read, by their words' confidence."""
    words = (word for _, line in read for word in line.words)
    return sum(word.confidence * sum(char.isalnum() for char in word.text) for word in words)


def page_of(
    picture: Picture, page: Upright, look: Survey, lines: Sequence[tuple[FoundLine, Line]], found: FoundPage,
    settings: ReadSettings, layout: LayoutNetwork | None = None,
) -> Page:  # fmt: skip
    """The tree of a page: `lines` as found on the upright `page` and as they lie in the picture given; pictures and
    tables of `found`; blocks by rules or by `layout`."""
    blocks = _blocks(page, lines, found, layout)
    dpi, guessed = dpi_of(picture, look.x_height, settings)
    written = any(block.lines for block in blocks)
    return Page(
        width=picture.pixels.shape[1],
        height=picture.pixels.shape[0],
        blocks=blocks,
        number=picture.frame + 1,
        dpi=dpi,
        dpi_guessed=guessed,
        rotation=look.turn,
        skew=round(look.skew, 3),
        sheet=look.sheet,
        warnings=picture.warnings + (() if written else ("no writing found",)),
    )


def survey_page(grey: Grey, reader: LineReader | None, turn: int | None = None) -> Survey:
    """Turn, skew and size of a page's writing; a reader is asked where the letters leave the turn open."""
    if reader is None:
        return survey(grey, turn=turn)
    return survey(grey, turn=turn, confidence=lambda page, lines: _confidence(page, lines, reader))


def grey_of(picture: Picture) -> Grey:
    """Luma, H W uint8; of a page that is light on dark throughout, the negative."""
    return dark_on_light(np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), np.uint8))


def look_at(grey: Grey, reader: LineReader | None, settings: ReadSettings) -> tuple[Survey, Upright]:
    """A first look at a picture, and its page upright: a photographed sheet flattened, then turned and straightened,
    at the scale at which its components are looked at."""
    sheet = find_sheet(grey)
    flat = flattened(grey, sheet) if sheet else FlatSheet(grey=grey, matrix=np.eye(3))
    look = replace(survey_page(flat.grey, reader, settings.turn), sheet=sheet)
    scale = _working_scale(look, flat.grey.size)
    page = make_upright(flat.grey, turn=look.turn, skew=look.skew if settings.deskew else 0.0, scale=scale)
    return look, replace(page, matrix=page.matrix @ flat.matrix)


def _working_scale(look: Survey, pixels: int) -> float:
    """At which the components of a page are looked at; signs and slides at a larger one, for their small type."""
    if not look.x_height:
        return 1.0
    least = min((LEAST_PIXELS / pixels) ** 0.5, LARGEST / look.x_height) if look.lines < SPARSE else 0.0
    return min(1.0, max(WORKING / look.x_height, least))


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPage:
    """What stands on an upright page: lines in no order, boxes of pictures and of ruled tables."""

    lines: tuple[FoundLine, ...] = ()
    figures: tuple[Box, ...] = ()
    tables: tuple[Box, ...] = ()


def find_on(page: Upright) -> FoundPage:
    """Lines and pictures of an upright page."""
    found = components_of(binarise(page.grey))
    height = x_height(found)
    if not height:
        return FoundPage()
    density = picture_density(found, height)
    lines = mark_pictures(with_small_type(found, height, lines_by_components(found, height)), density)
    light = light_lines(page.grey, height)
    written = [*(line for line in lines if not line.in_picture), *light]
    figures = figure_boxes(drawn_density(found, height, level_rules(found, height)), height, written)
    lines = [*without_shadows(lines, light), *light]
    return FoundPage(lines=tuple(lines), figures=tuple(figures), tables=tuple(table_boxes(found, lines, height)))


def _confidence(page: Grey, lines: Sequence[FoundLine], reader: LineReader) -> float:
    """Mean confidence of a reader in some lines of a page."""
    readings = reader.read([crop_line(page, line, np.eye(3)).grey for line in lines])
    return float(np.mean([reading.certainty for reading in readings])) if readings else 0.0


def _read_lines(
    grey: Grey, page: Upright, lines: Sequence[FoundLine], reader: LineReader, settings: ReadSettings
) -> list[tuple[FoundLine, Line]]:
    """Lines that hold writing, found and read, the read ones in the pixels of `grey`."""
    to_given = np.linalg.inv(page.matrix)
    kept: list[tuple[FoundLine, Line]] = []
    for first in range(0, len(lines), BATCH):
        part = lines[first : first + BATCH]
        crops = [crop_line(grey, line, to_given) for line in part]
        readings = reader.read([crop.grey for crop in crops])
        for line, crop, reading in zip(part, crops, readings, strict=True):
            if (words := _written(line, crop, reading, settings)) is not None:
                kept.append((line, words))
    return kept


def _written(line: FoundLine, crop: Crop, reading: Reading, settings: ReadSettings) -> Line | None:
    """The line of a reading, None for what is no writing: few letters have to be surer, those on pictures more so."""
    letters = sum(char.isalnum() for word in reading.words for char in word.text)
    doubt = settings.least_confidence + FEW_LETTERS[min(letters, len(FEW_LETTERS) - 1)]
    if reading.certainty < doubt + (IN_PICTURE if line.in_picture else 0.0):
        return None
    return to_line(crop, reading.words)


def _blocks(
    page: Upright, read: Sequence[tuple[FoundLine, Line]], on: FoundPage, layout: LayoutNetwork | None
) -> tuple[Block, ...]:  # fmt: skip
    """Blocks in reading order."""
    found = []
    for group in _groups(page, read, on, layout):
        lines = tuple(read[place][1] for place in group.lines)
        box = box_of(page.back(quad_of(group.box))) if any(group.box) else around([line.box for line in lines])
        found.append(Block(kind=group.kind, lines=lines, box=box))
    return tuple(found)


def _groups(
    page: Upright, read: Sequence[tuple[FoundLine, Line]], on: FoundPage, layout: LayoutNetwork | None
) -> list[Group]:  # fmt: skip
    """Lines as blocks: by the rules, or by the network too, where there is one and it takes the page."""
    lines = [line for line, _ in read]
    texts = [words.text for _, words in read]
    boxes = np.array([line.box for line in lines], np.float64).reshape(-1, 4)
    sizes = np.array([line.x_height for line in lines], np.float64)
    order = reading_order(boxes, sizes, page.grey.shape[0])
    groups = with_tables(group_lines(order, boxes, sizes, texts), boxes, on.tables)
    if layout is not None:
        alone = {place for place, line in enumerate(lines) if line.in_picture}
        proposed = [kept for group in groups if (kept := [line for line in group.lines if line not in alone])]
        known = texts if any(texts) else ()
        named = layout.groups(
            page.grey, lines, on.figures, on.tables, proposed=proposed, order=order.flat, texts=known
        )  # fmt: skip
        if named is not None:
            return named
    body = float(np.median(sizes)) if len(sizes) else 0.0
    return with_figures(groups, boxes, on.figures, body)


def dpi_of(picture: Picture, height: float, settings: ReadSettings) -> tuple[tuple[float, float], bool]:
    """Dots an inch, and whether they were guessed: from 10-point type, where neither user nor file says, or where
    the file says what would make of its type a size of no page, as cameras and programs do that write 72 always."""
    if settings.dpi:
        return (settings.dpi, settings.dpi), False
    if picture.dpi and (not height or SIZES[0] <= height * 72 / picture.dpi[1] <= SIZES[1]):
        return picture.dpi, False
    if not height:
        return (300.0, 300.0), True
    guess = height * 72 / POINTS
    nearest = min(USUAL_DPI, key=lambda dpi: abs(np.log(dpi / guess)))
    return (float(nearest), float(nearest)), True
