"""Lines from the network's maps, with a network that knows the answer: places, slopes, scales, lines on one another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.line_readers import FakeReader
from vitapps.datasets.formats.page_text import Block, Line, Page, Quad, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.sets.scene_words import read_scene_words
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.document.detect_lines import (
    CELL,
    FIGURE,
    TABLE,
    LineDetector,
    PageMaps,
    apart,
    lines_of,
    regions_of,
)
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout import Group, with_tables
from vitapps.pipelines.document.read_page import PageReader, ReadSettings, read_and_tell, read_page
from vitapps.pipelines.runtime.network_facts import NetworkFacts

torch = pytest.importorskip("torch")

from vitapps.pipelines.document.detector_targets import page_maps  # noqa: E402

LEVEL = quad_of((40, 40, 240, 64))
SLOPED: Quad = ((48, 103), (280, 117), (278.5, 141), (46.5, 127))  # turned, 24 pixels high


def maps_for(*quads: Quad) -> PageMaps:
    page = Page(width=320, height=320, blocks=(Block(lines=tuple(Line(words=(), quad=quad) for quad in quads)),))
    maps = page_maps(page)
    return PageMaps(kernel=maps.kernel, sides=maps.sides, kinds=np.zeros((4, 80, 80), np.float32))


def test_a_line_comes_back_from_its_targets() -> None:
    found = sorted(lines_of(maps_for(LEVEL, SLOPED)), key=lambda line: line.box[1])
    assert len(found) == 2
    assert np.abs(np.array(found[0].quad) - np.array(LEVEL)).max() < 4.1  # a cell
    assert np.abs(np.array(found[1].quad) - np.array(SLOPED)).max() < 5
    assert found[1].slope == pytest.approx(0.06, abs=0.01)
    assert found[0].x_height == pytest.approx(13, abs=0.5)


def test_what_is_shorter_than_a_letter_is_no_line() -> None:
    assert lines_of(maps_for(quad_of((40, 40, 42, 90)))) == []


def network(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Calls every dark cell a kernel of a line 24 pixels high: a network for bars of 12 rows in its middle."""
    number, _, side, _ = images.shape
    cells = images.reshape(number, side // CELL, CELL, side // CELL, CELL).mean(axis=(2, 4))
    kernel = (cells < 0.5).astype(np.float32)[:, None]
    sides = np.full((number, 2, side // CELL, side // CELL), 12.0, np.float32)
    return kernel, sides, np.zeros((number, 8, side // 16, side // 16), np.float32)


def test_windows_join_and_places_are_those_of_the_page() -> None:
    page = np.full((500, 700), 255, np.uint8)
    page[200:212, 60:640] = 0  # over three windows
    found = LineDetector(network=network).at_scale(page, 1.0).lines
    assert len(found) == 1
    x0, y0, x1, y1 = found[0].box
    assert (x0, x1) == (pytest.approx(60, abs=5), pytest.approx(640, abs=5))
    assert (y0, y1) == (pytest.approx(194, abs=1), pytest.approx(218, abs=1))
    assert LineDetector(network=network).at_scale(page, 0.5).lines[0].box[2] == pytest.approx(640, abs=10)
    assert LineDetector(network=network).at_scale(np.full((3, 5), 255, np.uint8), 1.0).lines == ()


def test_light_letters_are_marked() -> None:
    page = np.full((320, 320), 40, np.uint8)
    page[100:112, 60:130] = 230
    light = LineDetector(network=lambda images: network(1 - images)).at_scale(page, 1.0).lines
    dark = LineDetector(network=network).at_scale(255 - page, 1.0).lines
    assert [line.light for line in light] == [True] and [line.light for line in dark] == [False]


def test_regions_are_what_is_larger_than_a_few_words() -> None:
    kinds = np.zeros((4, 80, 80), np.float32)
    kinds[TABLE, 20:60, 8:72] = 3
    kinds[TABLE, 36:40, 30:34] = -3  # a stray token inside
    kinds[FIGURE, 4:12, 4:12] = 3  # no larger than a word
    maps = PageMaps(kernel=kinds[0], sides=kinds[:2], kinds=kinds)
    assert regions_of(maps, TABLE) == [(32.0, 80.0, 288.0, 240.0)]
    assert regions_of(maps, FIGURE) == []


def test_where_components_fail_the_network_is_asked_and_the_better_reading_stays() -> None:
    page = np.full((320, 320), 255, np.uint8)
    page[100:112, 60:200] = 0  # a bar: the components make no line of it that is read
    shown = Picture(pixels=np.repeat(page[..., None], 3, axis=2), name="page")
    facts = NetworkFacts(name="detector")
    reader = PageReader(lines=FakeReader(), detector=lambda: LineDetector(network=network, facts=facts))
    assert len(read_page(shown, reader).lines) == 1
    assert read_and_tell(shown, reader)[1] == (facts,)
    assert read_and_tell(shown, reader, ReadSettings(detector="components"))[1] == ()
    assert read_page(shown, reader, ReadSettings(detector="components")).lines == ()
    assert len(read_page(shown, reader, ReadSettings(detector="network")).lines) == 1
    assert read_page(shown, replace(reader, detector=None)).lines == ()
    blank = Picture(pixels=np.full((320, 320, 3), 250, np.uint8), name="blank")

    def unasked() -> LineDetector:
        raise AssertionError("a blank page is no failure")

    assert read_page(blank, replace(reader, detector=unasked)).lines == ()


def test_lines_of_a_table_become_one_block() -> None:
    boxes = np.array([[0, 0, 50, 10], [0, 20, 50, 30], [60, 20, 90, 30], [0, 60, 50, 70]], float)
    groups = [Group(lines=(0,)), Group(lines=(1,)), Group(lines=(2,), kind="title"), Group(lines=(3,))]
    found = with_tables(groups, boxes, [(0, 15, 100, 35), (200, 0, 300, 50)])
    assert [(group.lines, group.kind) for group in found] == [((0,), "text"), ((1, 2), "table"), ((3,), "text")]


def test_photographs_with_their_words_are_read(tmp_path: Path) -> None:
    words = [{"bbox": [1, 2, 30, 9], "ignore": True}, {"bbox": [1, 12, 30, 19], "ignore": False}]
    table = {"data_list": [{"img_path": "imgs/test/one.jpg", "instances": words}]}
    (tmp_path / "textdet.json").write_text(json.dumps(table))
    found = read_scene_words(tmp_path)
    assert found[0].picture == tmp_path / "one.jpg"
    assert (len(found[0].boxes), found[0].readable) == (2, ((1.0, 12.0, 30.0, 19.0),))
    (tmp_path / "textdet.json").write_text("{}")
    with pytest.raises(UnreadableInputError, match="not a list of words"):
        read_scene_words(tmp_path)


def test_of_lines_on_one_another_the_surer_stays() -> None:
    sure, doubtful = FoundLine(quad=LEVEL, score=0.9), FoundLine(quad=quad_of((60, 44, 120, 60)), score=0.6)
    beside = FoundLine(quad=quad_of((40, 70, 240, 90)), score=0.5)
    assert apart([doubtful, beside, sure]) == [sure, beside]


def test_weights_of_another_task_are_refused() -> None:
    with pytest.raises(MissingError, match=r"rs\.detect"):
        LineDetector.load("trees-neon", RunOptions())
