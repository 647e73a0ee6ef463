"""A picture of a page -> its text as a tree: flattened, turned upright, lines found, read in batches, put in order.

Everything given back is in pixels of the picture that was given, whatever was turned, straightened or scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, Box, Line, Page, around, box_of, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.options import RunOptions
from vitapps.pipelines.document.components import binarise, components_of, x_height
from vitapps.pipelines.document.deskew import Upright, make_upright
from vitapps.pipelines.document.find_lines import lines_by_components
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout import group_lines, with_figures, with_tables
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
from vitapps.pipelines.document.reading_order import reading_order
from vitapps.pipelines.document.recognise import Recogniser
from vitapps.pipelines.document.ruled_tables import level_rules, table_boxes
from vitapps.pipelines.document.sheet import FlatSheet, find_sheet, flattened
from vitapps.pipelines.runtime.network_facts import NetworkFacts

Grey = NDArray[np.uint8]
FEW_LETTERS = (0.4, 0.3, 0.15, 0.0)  # confidence wanted beyond the least of 0, 1, 2, … letters and figures
IN_PICTURE = 0.15  # and of what lies on a picture
BATCH = 64  # lines that are cut out at a time, which bounds the memory of a dense page
WORKING = 15.0  # pixels: x-height at which components are looked at; larger type is scaled down to it
USUAL_DPI = (72, 96, 100, 120, 150, 200, 240, 300, 400, 600)
POINTS = 4.7  # x-height of 10-point type in points, for a guess at the resolution


class Reading(Protocol):
    """What a reader says of one crop: its words from left to right, none for bare paper."""

    @property
    def words(self) -> Sequence[PlacedWord]: ...


class LineReader(Protocol):
    """Reads crops of one line each, h w uint8, dark on light."""

    def read(self, crops: Sequence[Grey]) -> Sequence[Reading]:
        """A reading for each crop."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSettings:
    """`turn`: degrees clockwise that make the page upright, None to find out; `deskew`: straighten by the lines' own
    slope; `dpi` in place of what the file says; `least_confidence`: lines read with less are no writing."""

    turn: int | None = None
    deskew: bool = True
    dpi: float | None = None
    least_confidence: float = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReader:
    """What reads pages: a reader of lines, and the facts of its networks for the run record."""

    lines: LineReader
    facts: tuple[NetworkFacts, ...] = ()

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> PageReader:
        """The embedded models, or a recogniser by card name or path; raises MissingError where there is none."""
        recogniser = Recogniser.load(weights, options)
        return cls(lines=recogniser, facts=(recogniser.facts,))


def read_page(picture: Picture, reader: PageReader, settings: ReadSettings | None = None) -> Page:
    """Read one page. A page without writing has no blocks and says so in its warnings."""
    settings = settings or ReadSettings()
    grey = grey_of(picture)
    look, page = look_at(grey, reader.lines, settings)
    found = find_on(page)
    read = _read_lines(grey, page, found.lines, reader.lines, settings)
    return page_of(picture, page, look, read, found, settings)


def page_of(
    picture: Picture, page: Upright, look: Survey, lines: Sequence[tuple[FoundLine, Line]], found: FoundPage,
    settings: ReadSettings,
) -> Page:  # fmt: skip
    """The tree of a page: `lines` as found on the upright `page` and as they lie in the picture given; pictures and
    tables of `found`."""
    blocks = _blocks(page, lines, found)
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
    """Luma, H W uint8."""
    return np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def look_at(grey: Grey, reader: LineReader | None, settings: ReadSettings) -> tuple[Survey, Upright]:
    """A first look at a picture, and its page upright: a photographed sheet flattened, then turned and straightened,
    at the scale at which its components are looked at."""
    sheet = find_sheet(grey)
    flat = flattened(grey, sheet) if sheet else FlatSheet(grey=grey, matrix=np.eye(3))
    look = replace(survey_page(flat.grey, reader, settings.turn), sheet=sheet)
    scale = min(1.0, WORKING / look.x_height) if look.x_height else 1.0
    page = make_upright(flat.grey, turn=look.turn, skew=look.skew if settings.deskew else 0.0, scale=scale)
    return look, replace(page, matrix=page.matrix @ flat.matrix)


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
    lines = mark_pictures(lines_by_components(found, height), density)
    written = [line for line in lines if not line.in_picture]
    figures = figure_boxes(drawn_density(found, height, level_rules(found, height)), height, written)
    light = light_lines(page.grey, height)
    lines = [*without_shadows(lines, light), *light]
    return FoundPage(lines=tuple(lines), figures=tuple(figures), tables=tuple(table_boxes(found, lines, height)))


def _confidence(page: Grey, lines: Sequence[FoundLine], reader: LineReader) -> float:
    """Mean confidence of a reader in some lines of a page."""
    readings = reader.read([crop_line(page, line, np.eye(3)).grey for line in lines])
    return float(np.mean([confidence_in(reading.words) for reading in readings])) if readings else 0.0


def confidence_in(words: Sequence[PlacedWord]) -> float:
    """Mean confidence by characters, 0 for no words."""
    weights = [len(word.text) for word in words]
    return float(np.average([word.confidence for word in words], weights=weights)) if sum(weights) else 0.0


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
            if (words := _written(line, crop, reading.words, settings)) is not None:
                kept.append((line, words))
    return kept


def _written(line: FoundLine, crop: Crop, words: Sequence[PlacedWord], settings: ReadSettings) -> Line | None:
    """The line of a reading, None for what is no writing: few letters have to be surer, those on pictures more so."""
    letters = sum(char.isalnum() for word in words for char in word.text)
    doubt = settings.least_confidence + FEW_LETTERS[min(letters, len(FEW_LETTERS) - 1)]
    if confidence_in(words) < doubt + (IN_PICTURE if line.in_picture else 0.0):
        return None
    return to_line(crop, words)


def _blocks(
    page: Upright, read: Sequence[tuple[FoundLine, Line]], on: FoundPage
) -> tuple[Block, ...]:  # fmt: skip
    """Blocks in reading order."""
    boxes = np.array([line.box for line, _ in read], np.float64).reshape(-1, 4)
    sizes = np.array([line.x_height for line, _ in read], np.float64)
    order = reading_order(boxes, sizes, page.grey.shape[0])
    groups = group_lines(order, boxes, sizes, [words.text for _, words in read])
    groups = with_tables(groups, boxes, on.tables)
    body = float(np.median(sizes)) if len(sizes) else 0.0
    found = []
    for group in with_figures(groups, boxes, on.figures, body):
        lines = tuple(read[place][1] for place in group.lines)
        whole = group.kind == "figure"
        box = box_of(page.back(quad_of(group.box))) if whole else around([line.box for line in lines])
        found.append(Block(kind=group.kind, lines=lines, box=box))
    return tuple(found)


def dpi_of(picture: Picture, height: float, settings: ReadSettings) -> tuple[tuple[float, float], bool]:
    """Dots an inch, and whether they were guessed: from 10-point type, where neither user nor file says."""
    if settings.dpi:
        return (settings.dpi, settings.dpi), False
    if picture.dpi:
        return picture.dpi, False
    if not height:
        return (300.0, 300.0), True
    guess = height * 72 / POINTS
    nearest = min(USUAL_DPI, key=lambda dpi: abs(np.log(dpi / guess)))
    return (float(nearest), float(nearest)), True
