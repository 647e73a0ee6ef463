"""The text of a page's tree: rows of a table keep together, whichever way the page lies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.pages import line_at, turned
from vitapps.datasets.formats.page_text import Block


@pytest.mark.parametrize("turn", [0, 90, 180, 270, 7])
def test_cells_of_a_row_are_parted_by_tabs(turn: int) -> None:
    cells = [("Item", 0, 0), ("Count", 200, 2), ("Apples", 0, 40), ("12", 230, 38), ("Sum", 0, 80)]
    lines = tuple(turned(line_at(text, x, y), turn, (100, 100)) for text, x, y in cells)
    table = Block(lines=lines, kind="table")
    assert table.text == "Item\tCount\nApples\t12\nSum"
    assert replace(table, kind="text").text == "Item\nCount\nApples\n12\nSum"
    assert Block(lines=(), kind="table").text == ""
