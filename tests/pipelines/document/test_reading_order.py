"""Columns, spanning titles, decks, running lines, margin notes and tables in the order in which a person reads."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.document.layout import group_lines
from vitapps.pipelines.document.reading_order import reading_order

X_HEIGHT = 10.0


def order_of(lines: list[tuple[float, float, float, float]], height: float = 1000.0) -> list[int]:
    """Lines as x0 x1 y size (x-height); every line is twice its x-height high."""
    boxes = np.array([(x0, y, x1, y + 2 * size) for x0, x1, y, size in lines])
    order = reading_order(boxes, np.array([line[3] for line in lines]), height)
    return [*order.header, *(item for part in order.parts for item in part), *order.footer]


def column(x0: float, x1: float, y: float, rows: int) -> list[tuple[float, float, float, float]]:
    return [(x0, x1, y + 25 * row, X_HEIGHT) for row in range(rows)]


def test_columns_are_read_one_after_the_other() -> None:
    lines = [*column(0, 200, 100, 8), *column(230, 430, 100, 8), *column(460, 660, 100, 8)]
    assert order_of(lines) == list(range(24))


@pytest.mark.parametrize("gutter", [20, 40, 55])
def test_columns_are_parted_wherever_on_the_page_their_edges_fall(gutter: int) -> None:
    for shift in range(12):
        left = [(141, 562 + shift - row % 3, 370 + 32 * row, 13.0) for row in range(20)]
        right = [(562 + shift + gutter + row % 2, 1037 + shift, 370 + 32 * row, 13.0) for row in range(20)]
        assert order_of([*left, *right], 2339.0) == list(range(40))


def test_a_title_above_columns_comes_first_and_one_below_comes_last() -> None:
    lines = [(50, 400, 40, 20.0), *column(0, 200, 120, 8), *column(230, 430, 120, 8), (50, 400, 340, 20.0)]
    assert order_of(lines) == list(range(18))


def test_a_deck_over_a_spanning_title_is_read_with_the_title() -> None:
    deck, title = (0, 150, 310, 14.0), (0, 430, 345, 24.0)
    lines = [*column(0, 200, 100, 7), *column(230, 430, 100, 9), deck, title]
    assert order_of(lines) == list(range(18))


def test_columns_in_large_type_over_a_spanning_heading_are_no_deck() -> None:
    """All of them belonging to the heading, nothing would be cut, for ever."""
    columns = [(100 + 400 * side, 397 + 400 * side, 100 + 50 * row, 15.0) for row in range(3) for side in range(2)]
    lines = [*columns, (100, 800, 250, 15.0), *[(100, 800, 600 + 20 * row, 6.0) for row in range(30)]]
    assert order_of(lines, 2000.0)[:7] == [0, 2, 4, 1, 3, 5, 6]


def test_rows_of_a_table_are_read_across() -> None:
    rows = [(0, 150), (230, 262), (300, 340)]
    lines = [(x0, x1, 100.0 + 25 * row, X_HEIGHT) for row in range(6) for x0, x1 in rows]
    assert order_of(lines) == list(range(18))


def test_margin_notes_are_a_column_of_their_own() -> None:
    notes = [(0, 60, 113, 8.0), (0, 60, 131, 8.0), (0, 60, 149, 8.0)]
    lines = [*notes, *column(100, 500, 100, 10)]
    assert order_of(lines) == list(range(13))


def test_running_lines_are_set_apart() -> None:
    lines = [(0, 80, 20, X_HEIGHT), (380, 430, 20, X_HEIGHT), *column(0, 200, 100, 8), *column(230, 430, 100, 8),
             (210, 230, 950, X_HEIGHT)]  # fmt: skip
    boxes = np.array([(x0, y, x1, y + 2 * size) for x0, x1, y, size in lines])
    order = reading_order(boxes, np.array([line[3] for line in lines]), 1000.0)
    assert order.header == (0, 1)
    assert order.footer == (18,)


def test_two_rows_and_the_high_figures_of_a_page_number_run_too() -> None:
    lines = [(100, 330, 10, X_HEIGHT), (0, 80, 32, X_HEIGHT), (400, 430, 32, 1.5 * X_HEIGHT),
             *column(0, 200, 130, 8), *column(230, 430, 130, 8), (205, 230, 950, 1.5 * X_HEIGHT)]  # fmt: skip
    boxes = np.array([(x0, y, x1, y + 2 * size) for x0, x1, y, size in lines])
    order = reading_order(boxes, np.array([line[3] for line in lines]), 1000.0)
    assert order.header == (0, 1, 2) and order.footer == (19,)
    title = np.array([(100, 10, 430, 40), *boxes[1:]])  # as wide as a title and in large type
    sizes = np.array([1.5 * X_HEIGHT, *(line[3] for line in lines[1:])])
    assert reading_order(title, sizes, 1000.0).header == ()


def test_a_lone_figure_is_no_title() -> None:
    boxes = np.array([(0, 100 + 60 * row, 300, 120 + 60 * row) for row in range(5)], np.float64)
    sizes = np.array([10.0, 15.0, 10.0, 15.0, 10.0])
    order = reading_order(boxes, sizes, 2000.0)
    kinds = [
        group.kind for group in group_lines(order, boxes, sizes, ["some words", "7", "more words", "Methods", "words"])
    ]
    assert kinds == ["text", "text", "text", "title", "text"]
    unread = [group.kind for group in group_lines(order, boxes, sizes, [""] * 5)]
    assert unread == ["text", "title", "text", "title", "text"]


def test_blocks_have_kinds() -> None:
    texts = ["A Title", *(["Words of a paragraph"] * 4), "1. first", "2. second", "Fig. 3 A caption"]
    tops = [0.0, 80, 105, 130, 155, 220, 245, 330]
    sizes = np.array([20.0, *([X_HEIGHT] * 7)])
    boxes = np.array([(0, y, 400, y + 2 * size) for y, size in zip(tops, sizes, strict=True)])
    order = reading_order(boxes, sizes, 2000.0)
    kinds = [group.kind for group in group_lines(order, boxes, sizes, texts)]
    assert kinds == ["title", "text", "list", "caption"]


def test_a_caption_at_the_top_of_a_page_is_no_running_line() -> None:
    boxes = np.array([(0, 20, 300, 40), *((0, 120 + 25 * row, 300, 140 + 25 * row) for row in range(8))], np.float64)
    order = reading_order(boxes, np.full(9, X_HEIGHT), 1000.0)
    for first, kind in (("Table 1. What was bought", "caption"), ("The Journal of Tables", "header")):
        texts = [first, *["words"] * 8]
        assert group_lines(order, boxes, np.full(9, X_HEIGHT), texts)[0].kind == kind


def test_no_lines_have_no_order() -> None:
    order = reading_order(np.zeros((0, 4)), np.zeros(0), 100.0)
    assert (order.header, order.parts, order.footer) == ((), (), ())


def test_a_large_initial_comes_before_the_rows_that_it_begins() -> None:
    rows = [(60.0, 300.0, 100.0, X_HEIGHT), (60.0, 300.0, 125.0, X_HEIGHT), (60.0, 300.0, 150.0, X_HEIGHT)]
    assert order_of([*rows, (10.0, 50.0, 98.0, 40.0), *column(10, 300, 185, 4)]) == [3, 0, 1, 2, 4, 5, 6, 7]
