"""The layout head around its network: elements, joining, kinds, order; pages by a made-up network; block measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes.layout_networks import DETECTOR, FEATURES, HEAD, brightness
from vitapps.datasets.formats.page_text import Block, Page
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.synth.journal_pages import make_journal_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.errors import MissingError
from vitapps.pipelines.document.evaluate_blocks import MEASURES
from vitapps.pipelines.document.found_line import FoundLine, sloped_quad
from vitapps.pipelines.document.lay_out import layout_page
from vitapps.pipelines.document.layout import Group
from vitapps.pipelines.document.layout_elements import FACTS, Elements, elements_of, pooled
from vitapps.pipelines.document.layout_network import (
    KINDS,
    block_of,
    chances,
    in_order,
    joined,
    nested,
    with_something_to_say,
)
from vitapps.pipelines.document.read_page import ReadSettings

FACES = find_faces(())  # Pillow's own, on every machine the same


def line(x0: float, y0: float, x1: float, y1: float, **more: bool) -> FoundLine:
    return FoundLine(quad=sloped_quad(x0, x1, y0, y1, 0.0), x_height=(y1 - y0) / 2, **more)


def elements(boxes: list[tuple[int, int, int, int]], lines: int) -> Elements:
    rows = np.zeros((len(boxes), 4 + FACTS + FEATURES), np.float32)
    return Elements(boxes=np.array(boxes, float), rows=rows, lines=lines, pictures=len(boxes) - lines, body=10.0)


def test_an_element_is_its_box_in_x_heights_its_facts_and_what_the_detector_sees_there() -> None:
    grey = np.full((400, 300), 255, np.uint8)
    grey[100:120, 40:240] = 0
    lines = [line(40, 100, 240, 120), line(40, 200, 240, 220, in_picture=True)]
    found = elements_of(grey, lines, [(30, 250, 270, 370)], [], DETECTOR)
    assert found.rows.shape == (3, 4 + FACTS + FEATURES)
    assert found.body == 10
    assert found.rows[0, :4].tolist() == [4, 10, 24, 12]
    assert found.boxes[2].tolist() == [50, 270, 250, 350]  # 20 pixels off what its density was blurred over
    darkness, drawn = found.rows[:, 4 + 7], found.rows[:, 4 + 9]
    assert darkness[0] > 0.9
    assert darkness[1] == 0
    assert drawn.tolist() == [0, 1, 0]
    assert found.rows[0, -1] < 0.4 < found.rows[1, -1]
    assert elements_of(grey, [], [], [], DETECTOR).lines == 0


def test_features_are_taken_inside_the_box() -> None:
    cells = np.zeros((1, 10, 10), np.float32)
    cells[0, 2:4, 3:6] = 1
    assert pooled(cells, np.array([[24.0, 16, 48, 32], [0, 0, 16, 8], [-50, -50, 500, -10]])).tolist() == [
        [1],
        [0],
        [0],
    ]


def test_a_detector_without_features_is_refused() -> None:
    blind = replace(DETECTOR, network=lambda images: brightness(images)[:3])
    with pytest.raises(MissingError, match="no features"):
        elements_of(np.full((100, 100), 255, np.uint8), [line(10, 10, 80, 20)], [], [], blind)


def test_average_linkage_joins_what_belongs_together_and_no_chain() -> None:
    links = np.full((5, 5), 0.05)
    for one, other, chance in ((0, 1, 0.9), (0, 2, 0.8), (1, 2, 0.8), (2, 3, 0.7), (3, 4, 0.98)):
        links[one, other] = links[other, one] = chance
    assert sorted(map(sorted, joined(links))) == [[0, 1, 2], [3, 4]]  # 2 and 3 alone do not chain the two
    assert sorted(map(sorted, joined(links, [[2, 3]]))) == [[0, 1], [2, 3], [4]]  # what is proposed stays together
    assert joined(np.ones((1, 1))) == [[0]]
    assert joined(np.zeros((0, 0))) == []
    assert chances(np.array([0.0, 100.0, -100.0], np.float32)).tolist() == pytest.approx([0.5, 1, 0])


def kinds(*names: str | None) -> np.ndarray:
    return np.array([[4.0 * (kind == name) for kind in KINDS] for name in names], np.float32)


def test_kind_of_a_block_is_that_of_its_elements_together() -> None:
    on = elements([(0, 0, 100, 20), (0, 30, 100, 50), (0, 60, 200, 260)], lines=2)
    assert block_of([0, 1], kinds("list", "list", None), on) == Group(lines=(0, 1), kind="list")
    figure = block_of([1, 2], kinds(None, "figure", "figure"), on)
    assert figure == Group(lines=(1,), kind="figure", box=(0, 30, 200, 260))
    assert block_of([0], kinds(None, None, None), on) is None
    assert block_of([2], kinds(None, None, "text"), on) is None  # a picture alone holds no text


def test_what_was_read_is_never_nothing_and_a_caption_says_so() -> None:
    on = elements([(0, 0, 100, 20), (0, 30, 100, 50)], lines=2)
    answers = kinds(None, "text")
    answers[0, KINDS.index("title")] = 2
    assert block_of([0], answers, on, ["a", "Fig. 3: b"]) == Group(lines=(0,), kind="title")
    assert block_of([1], answers, on, ["a", "Fig. 3: b"]) == Group(lines=(1,), kind="caption")
    assert block_of([1], answers, on) == Group(lines=(1,), kind="text")


def test_a_piece_of_a_table_inside_it_joins_it_and_text_inside_does_not() -> None:
    boxes = np.array([(10, 10, 90, 20), (10, 30, 90, 40), (10, 50, 90, 60), (200, 10, 290, 20)], float)
    table = Group(lines=(0,), kind="table", box=(0, 0, 100, 70))
    groups = [Group(lines=(1,), kind="table"), Group(lines=(2,)), table, Group(lines=(3,), kind="table")]
    found = nested(groups, boxes)
    assert found[0] == Group(lines=(0, 1), kind="table", box=(0, 0, 100, 70))
    assert {group.lines for group in found[1:]} == {(2,), (3,)}


def test_a_caption_needs_a_picture_a_table_or_words_that_say_so() -> None:
    caption, table = Group(lines=(0,), kind="caption"), Group(lines=(1,), kind="table")
    assert with_something_to_say([caption]) == [Group(lines=(0,))]
    assert with_something_to_say([caption], ["Thank you"]) == [Group(lines=(0,))]
    assert with_something_to_say([caption], ["Table 2: b"]) == [caption]
    assert with_something_to_say([caption, table]) == [caption, table]


def test_blocks_follow_the_rules_order_and_a_picture_stands_before_what_is_below_it() -> None:
    boxes = np.array(
        [(0, 0, 90, 10), (0, 100, 90, 110), (0, 120, 40, 130), (50, 120, 90, 130), (0, 140, 90, 150)], float
    )
    groups = [
        Group(lines=(4,)), Group(lines=(3, 2), kind="table"), Group(lines=(1, 0)),
        Group(lines=(), kind="figure", box=(0, 132, 90, 139)),
    ]  # fmt: skip
    found = in_order(groups, boxes, [0, 1, 3, 2, 4])
    assert [group.lines for group in found] == [(0, 1), (2, 3), (), (4,)]


def test_a_page_by_the_network_holds_every_line_once() -> None:
    made = make_journal_page(5, faces=FACES, body=(16, 16), worn=False)
    picture = Picture(pixels=np.repeat(made.image[..., None], 3, axis=2), name="made")
    page = layout_page(picture, ReadSettings(turn=0), layout=HEAD)
    plain = layout_page(picture, ReadSettings(turn=0))
    assert len(page.lines) >= len(plain.lines) > 10
    assert len({line.quad for line in page.lines}) == len(page.lines)
    assert {block.kind for block in page.blocks} <= {"text", "title"}


def test_blocks_are_scored_with_and_without_running_lines_and_kinds() -> None:
    def block(kind: str, *box: float) -> Block:
        return Block(lines=(), kind=kind, box=box)  # type: ignore[arg-type]

    page = Page(width=100, height=100, blocks=(
        block("header", 0, 0, 100, 5), block("caption", 0, 10, 100, 20), block("title", 0, 30, 100, 50),
    ))  # fmt: skip
    drawn = [((0, 10, 100, 20), "text"), ((0, 30, 100, 50), "text")]
    assert [hits(page, drawn) for hits in MEASURES.values()] == [(2, 3), (2, 2), (1, 2)]
