"""Tables between level rules, and drawings with their labels, as one block each."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.document.components import components_of
from vitapps.pipelines.document.found_line import FoundLine, sloped_quad
from vitapps.pipelines.document.layout import Group, with_figures, with_tables
from vitapps.pipelines.document.pictures import drawn_density, figure_boxes
from vitapps.pipelines.document.ruled_tables import level_rules, table_boxes

HEIGHT = 10.0  # x-height


def ruled(
    rules: list[tuple[int, int, int]], cells: list[tuple[int, int, int, int]]
) -> tuple[np.ndarray, list[FoundLine]]:
    """Ink of level rules (x0, x1, y), and lines at the boxes of cells."""
    ink = np.zeros((600, 500), np.uint8)
    for x0, x1, y in rules:
        ink[y : y + 2, x0:x1] = 1
    return ink, [FoundLine(quad=sloped_quad(x0, x1, y0, y1, 0.0), x_height=HEIGHT) for x0, y0, x1, y1 in cells]


CELLS = [(x, y, x + 60, y + 14) for y in (120, 150, 180, 210) for x in (60, 200, 340)]
PROSE = [(60, y, 420, y + 14) for y in (120, 150, 180, 210)]


@pytest.mark.parametrize(("rules", "lines", "expected"), [
    ([(50, 450, 100), (50, 450, 140), (50, 450, 240)], CELLS, [(50, 100, 450, 242)]),
    ([(50, 450, 100), (52, 448, 240)], CELLS, [(50, 100, 450, 242)]),
    ([(50, 450, 100), (50, 450, 240)], PROSE, []),  # a frame about a paragraph
    ([(50, 450, 100), (50, 250, 240)], CELLS, []),  # a rule and another of its own
    ([(50, 450, 100)], CELLS, []),
    ([(50, 450, 10), (50, 450, 590)], CELLS, []),  # the page's own frame
])  # fmt: skip
def test_tables_lie_between_rules_of_one_width(rules: list, lines: list, expected: list) -> None:
    ink, found = ruled(rules, lines)
    assert table_boxes(components_of(ink), found, HEIGHT) == expected


def test_a_table_is_read_row_by_row_at_its_place() -> None:
    boxes = np.array([(60, 20, 400, 34), *CELLS, (60, 300, 400, 314)], float)
    columns = [Group(lines=tuple(range(1 + column, 13, 3)), kind="title") for column in range(3)]
    groups = [Group(lines=(0,)), *columns, Group(lines=(13,))]
    before, table, after = with_tables(groups, boxes, [(50, 100, 450, 242)])
    assert table == Group(lines=tuple(range(1, 13)), kind="table")
    assert (before, after) == (groups[0], groups[-1])


def test_a_chart_takes_in_its_labels_and_no_paragraph() -> None:
    labels = [(90, 260, 110, 270), (200, 262, 220, 272), (58, 150, 78, 160)]
    boxes = np.array([(60, 20, 400, 34), *labels, (60, 290, 400, 304)], float)
    groups = [Group(lines=(place,)) for place in range(5)]
    before, chart, after = with_figures(groups, boxes, [(80, 100, 380, 255)], HEIGHT)
    assert chart.kind == "figure" and chart.lines == (1, 2, 3) and chart.box == (58, 100, 380, 272)
    assert (before.lines, after.lines) == ((0,), (4,))


def test_a_picture_without_labels_stands_before_what_is_below_it() -> None:
    boxes = np.array([(60, 20, 400, 34), (60, 290, 400, 304)], float)
    found = with_figures([Group(lines=(0,)), Group(lines=(1,))], boxes, [(80, 100, 380, 255)], HEIGHT)
    assert [group.kind for group in found] == ["text", "figure", "text"]


def test_line_art_is_a_figure_and_a_rule_is_none() -> None:
    ink = np.zeros((600, 500), np.uint8)
    ink[400:402, 50:450] = 1
    ink[100:250, 100:103] = ink[248:251, 100:400] = 1
    ink[100:250, 100:250] |= sum(np.eye(150, k=shift, dtype=np.uint8) for shift in range(3))[::-1]
    found = components_of(ink)
    (box,) = figure_boxes(drawn_density(found, HEIGHT, level_rules(found, HEIGHT)), HEIGHT, [])
    assert box[0] < 110 and box[1] < 110 and 240 < box[3] < 300
