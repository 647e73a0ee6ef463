"""A sheet in a photograph: its corners, the perspective undone, places in the photograph, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fakes.line_readers import FakeReader
from vitapps.datasets.formats.page_json import page_from_dict, page_to_dict
from vitapps.datasets.formats.page_text import Line
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.synth.page_photo import photographed
from vitapps.datasets.synth.pages import SyntheticPage, make_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.pipelines.document.deskew import moved
from vitapps.pipelines.document.read_page import PageReader, read_page
from vitapps.pipelines.document.sheet import find_sheet, flattened

FACES = find_faces(())


def drawn_page() -> SyntheticPage:
    return make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=900)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def corners_of(width: int, height: int, matrix: np.ndarray) -> np.ndarray:
    return np.array(moved(((0, 0), (width, 0), (width, height), (0, height)), matrix))


@pytest.mark.parametrize("seed", range(4))
def test_the_corners_are_found(seed: int) -> None:
    page = np.full((700, 500, 3), 245, np.uint8)
    page[80:620:25, 50:450] = page[90:630:25, 50:450] = 30
    photo, matrix = photographed(page, np.random.default_rng(seed))
    sheet = find_sheet(grey_of(photo))
    assert sheet is not None
    true = corners_of(page.shape[1], page.shape[0], matrix)
    assert np.abs(np.array(sheet) - true).max() < 0.01 * max(photo.shape)


@pytest.mark.parametrize("seed", range(3))
def test_dark_borders_and_pictures_belong_to_the_sheet(seed: int) -> None:
    """As in a spread with a picture that bleeds, or a copy with a black border: light regions alone are no sheet."""
    page = np.full((700, 500, 3), 245, np.uint8)
    page[80:500:25, 50:450] = page[90:510:25, 50:450] = 30
    page[600:] = page[300:, :120] = 0
    photo, matrix = photographed(page, np.random.default_rng(seed))
    sheet = find_sheet(grey_of(photo))
    assert sheet is not None
    true = corners_of(page.shape[1], page.shape[0], matrix)
    assert np.abs(np.array(sheet) - true).max() < 0.02 * max(photo.shape)


def test_a_photographed_page_is_read_as_the_flat_one() -> None:
    """The same lines, in the same order, where they lie in the photograph."""
    made = drawn_page()
    page = np.repeat(made.image[..., None], 3, axis=2)
    photo, matrix = photographed(page, np.random.default_rng(5))
    reader = PageReader(lines=FakeReader())
    flat, seen = (read_page(Picture(pixels=pixels, name="page"), reader) for pixels in (page, photo))
    assert seen.sheet is not None and flat.sheet is None
    assert len(seen.lines) == pytest.approx(len(flat.lines), abs=1)
    middles = np.array([middle(line) for line in seen.lines])
    there = np.array([middle(replace(line, quad=moved(line.quad, matrix))) for line in flat.lines])
    away = np.linalg.norm(there[:, None] - middles[None], axis=2)  # flat lines, seen lines
    assert np.mean(away.min(axis=1) < 0.01 * max(photo.shape)) > 0.9
    assert np.mean(np.diff(away.argmin(axis=1)) > 0) > 0.9
    again = page_from_dict(page_to_dict(seen)).sheet
    assert np.array(again) == pytest.approx(np.array(seen.sheet), abs=0.01)


def middle(line: Line) -> np.ndarray:
    return np.array(line.quad).mean(axis=0)


def test_flattening_is_the_inverse_of_photographing() -> None:
    page = np.full((300, 200, 3), 255, np.uint8)
    page[100:140, 50:150] = 0
    photo, matrix = photographed(page, np.random.default_rng(1), strength=0.8)
    true = corners_of(200, 300, matrix)
    flat = flattened(grey_of(photo), tuple(map(tuple, true.tolist())))  # type: ignore[arg-type]
    assert np.array(moved(tuple(map(tuple, true.tolist())), flat.matrix)) == pytest.approx(  # type: ignore[arg-type]
        np.array([[0, 0], [flat.grey.shape[1], 0], flat.grey.shape[::-1], [0, flat.grey.shape[0]]]), abs=0.01
    )
    again = cv2.resize(flat.grey, (200, 300))
    assert again[110:130, 60:140].max() < 90 and again[40:80].min() > 110


@pytest.mark.parametrize("kind", ["scan", "square", "bent", "light desk", "cut off", "tiny", "littered"])
def test_what_is_no_certain_photograph_is_left_alone(kind: str) -> None:
    picture = np.full((600, 500), 60, np.uint8)
    shapes = {
        "square": [[60, 60], [440, 60], [440, 540], [60, 540]],
        "bent": [[60, 60], [440, 90], [300, 300], [440, 540], [60, 500]],
        "cut off": [[-40, 60], [440, 90], [400, 540], [-40, 500]],
        "tiny": [[60, 60], [120, 70], [115, 140], [62, 130]],
        "light desk": [[60, 60], [440, 90], [400, 540], [90, 500]],
        "littered": [[60, 60], [440, 90], [400, 540], [90, 500]],
    }
    if kind == "scan":
        picture[:] = 250
        picture[100:500:20, 50:450] = 20
    else:
        desk, paper = (225, 240) if kind == "light desk" else (60, 240)
        picture[:] = desk
        cv2.fillPoly(picture, [np.array(shapes[kind], np.int32)], paper)
    if kind == "littered":  # another sheet lies over its foot: which of the edges are its own is not certain
        picture[420:480, 30:470] = 200
    assert find_sheet(picture) is None
