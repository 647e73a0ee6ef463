"""Lines from letters: gutters part them, wide gaps do not; touching rows are cut, initials are set apart."""

from __future__ import annotations

import cv2
import numpy as np

from vitapps.pipelines.document import components
from vitapps.pipelines.document.components import WINDOW, binarise, components_of, grain, x_height
from vitapps.pipelines.document.find_lines import lines_by_components
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.line_crops import inked_rows

X_HEIGHT, PITCH = 10, 24


def set_row(ink: np.ndarray, x0: int, x1: int, baseline: int, *, gap: int = 7) -> None:
    """Words of five block letters, the second with an ascender; where words end differs from row to row."""
    x, letter = x0, baseline // PITCH * 2
    while x + 7 <= x1:
        top = baseline - X_HEIGHT - (4 if letter % 5 == 1 else 0)
        ink[top:baseline, x : x + 7] = 1
        x += 9
        letter += 1
        if letter % 5 == 0:
            x += gap


def lines_of(ink: np.ndarray) -> list[FoundLine]:
    found = components_of(ink)
    return sorted(lines_by_components(found, x_height(found)), key=lambda line: (line.box[1], line.box[0]))


def test_a_narrow_gutter_parts_columns_and_a_wide_gap_in_one_line_does_not() -> None:
    ink = np.zeros((260, 430), np.uint8)
    for row in range(8):
        set_row(ink, 10, 200, 40 + row * PITCH, gap=7 + 5 * (row == 3))
        set_row(ink, 213, 420, 40 + row * PITCH)
    lines = lines_of(ink)
    assert len(lines) == 16
    assert all(line.box[2] < 205 or line.box[0] > 205 for line in lines)


def test_rows_that_touch_are_two_lines() -> None:
    ink = np.zeros((160, 300), np.uint8)
    for row in range(4):
        set_row(ink, 10, 290, 40 + row * PITCH)
    ink[40:54, 101:103] = 1  # a foot of the first row that reaches the head of the second
    assert components_of(ink).heights.max() > 3 * X_HEIGHT
    feet = [line.box[3] for line in lines_of(ink)]
    assert len(feet) == 4
    assert 40 <= feet[0] < 54


def test_a_large_initial_is_a_line_of_its_own() -> None:
    ink = np.zeros((160, 300), np.uint8)
    set_row(ink, 40, 290, 40)
    set_row(ink, 40, 290, 40 + PITCH)
    set_row(ink, 10, 290, 40 + 2 * PITCH)
    ink[26:64, 10:32] = 1
    boxes = [line.box for line in lines_of(ink)]
    assert (10.0, 26.0, 32.0, 64.0) in boxes
    assert len(boxes) == 4


def test_specks_and_rules_are_no_lines() -> None:
    ink = np.zeros((200, 300), np.uint8)
    for row in range(4):
        set_row(ink, 10, 290, 40 + row * PITCH)
    ink[130:132, 10:290] = 1
    ink[150:152, 50:52] = 1
    ink[150:175, 200:203] = 1  # a lone stroke
    assert len(lines_of(ink)) == 4


def test_a_hanging_letter_at_the_beginning_of_small_ones_is_no_initial() -> None:
    ink = np.zeros((80, 300), np.uint8)
    for x in range(10, 200, 9):
        ink[30:40, x : x + 7] = 1
    ink[30:46, 10:17] = 1  # g
    (line,) = lines_of(ink)
    assert line.box[0] == 10


def test_letters_of_close_rows_that_touch_are_cut() -> None:
    ink = np.zeros((120, 300), np.uint8)
    for foot in (40, 53):
        for x in range(10, 200, 9):
            ink[foot - 12 : foot, x : x + 7] = 1
    ink[40, 49] = 1  # it hangs down to the row below: 25 pixels together, 2.08 of what is taken for the x-height
    lines = lines_of(ink)
    assert len(lines) == 2 and all(line.height < 22 for line in lines)


def test_stains_and_what_shows_through_are_no_ink() -> None:
    grey = np.full((200, 300), 250, np.uint8)
    grey[20:40, 20:30] = 60  # writing
    for x in range(60, 160, 20):
        grey[20:40, x : x + 10] = 200  # faint writing
    grey[100:120, 100:110] = 232  # a stain
    ink = binarise(grey)
    assert ink[30, 25] and ink[30, 65] and not ink[110, 105]


def test_rows_of_the_neighbours_are_left_out_of_a_crop() -> None:
    ink = np.zeros((40, 100), bool)
    ink[12:28, 10:90] = True
    ink[8:10, 20] = True  # the dot of an i
    ink[:3, 50] = ink[37:, 60] = True  # letters of the lines above and below
    assert inked_rows(ink) == (8.0, 28.0)
    assert inked_rows(np.zeros((40, 100), bool)) == (0.0, 40.0)


def test_ink_is_what_niblack_says() -> None:
    grey = np.asarray(
        cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 70), np.uint8), (0, 0), 2), np.uint8
    )
    ink, depth = components._darker_than_around(grey)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(grey.astype(np.float64), WINDOW // 2, mode="edge"), (WINDOW, WINDOW)
    )
    mean = np.rint(around.mean(axis=(2, 3)))
    deviation = np.sqrt(np.maximum((around**2).mean(axis=(2, 3)) - mean**2, 0))
    margin = mean - grey - np.maximum(0.35 * deviation, max(5.0, 3.0 * grain(grey)))
    clear = np.abs(margin) > 1e-3
    assert 0.1 < ink.mean() < 0.9 and clear.mean() > 0.9
    assert (ink[clear] == (margin > 0)[clear]).all()
    assert np.abs(depth - (mean - grey)).max() == 0
