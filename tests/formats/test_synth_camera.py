"""What a camera adds to lines: nothing at strength zero, the same for a seed, and each defect what it says it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vitapps.datasets.synth.text.camera import (
    DEFECTS,
    Grey,
    bent,
    by_camera,
    few_dots,
    lit_from_a_side,
    on_screen,
    shown_through,
)
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import Difficulty, LineMaker
from vitapps.datasets.synth.text.words import TextSource

FACES = find_faces(())
SOURCE = TextSource(common=("the", "total", "measured"), rare=("Größe",), prose=("one", "small", "step,"))


def line() -> np.ndarray:
    """A level bar to the left on white paper, 40 x 300."""
    picture = np.full((40, 300), 255, np.uint8)
    picture[18:22, 20:140] = 0
    return picture


def test_strength_zero_is_the_picture_itself() -> None:
    assert np.array_equal(by_camera(line(), np.random.default_rng(0), 0.0), line())


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_seed_gives_one_picture_that_is_another(defect: Callable[[Grey, np.random.Generator, float], Grey]) -> None:
    one, again = (defect(line(), np.random.default_rng(3), 1.0) for _ in range(2))
    assert one.dtype == np.uint8 and np.array_equal(one, again)
    assert one.shape[1] == 300 and (one.shape != line().shape or not np.array_equal(one, line()))


def test_paper_bends_and_keeps_its_ink() -> None:
    seen = bent(line(), np.random.default_rng(1))
    rows = [np.flatnonzero(seen[:, column] < 128).mean() for column in range(25, 135, 10)]
    assert np.ptp(rows) > 1.5 and np.abs(np.diff(rows)).max() < 2  # along a curve, without a jump
    assert (seen < 128).sum() == pytest.approx((line() < 128).sum(), rel=0.1)


def test_the_stripes_of_a_screen_beat_with_the_pixels() -> None:
    seen = on_screen(np.full((64, 256), 255, np.uint8), np.random.default_rng(2)).astype(float)
    across = np.abs(np.fft.fft2(seen - seen.mean()))
    place = np.unravel_index(across.argmax(), across.shape)
    slowest = np.hypot(min(place[0], 64 - place[0]) / 64, min(place[1], 256 - place[1]) / 256)
    assert seen.std() > 3 and 0 < slowest < 0.25  # waves of more than four pixels


def test_the_back_of_the_leaf_is_mirrored_and_faint() -> None:
    seen = shown_through(line(), np.random.default_rng(0))
    added = (line() == 255) & (seen < 250)
    assert added.any() and seen[line() == 255].min() > 150 and np.array_equal(seen < 100, line() < 100)


def test_few_dots_blur_and_light_falls_off() -> None:
    assert 0 < few_dots(line(), np.random.default_rng(0))[17, 30:100].mean() < 255
    lit = lit_from_a_side(np.full((10, 200), 200, np.uint8), np.random.default_rng(0)).astype(float).mean(axis=0)
    assert abs(lit[0] - lit[-1]) > 15 and np.abs(np.diff(lit)).max() < 2


def test_lines_without_a_camera_are_what_they_were() -> None:
    plain, off, seen = (
        LineMaker(FACES, SOURCE, Difficulty(camera=share)).samples(4, 6) if share is not None
        else LineMaker(FACES, SOURCE).samples(4, 6)
        for share in (None, 0.0, 1.0)
    )  # fmt: skip
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(plain, off, strict=True))
    assert any(a.picture.shape != b.picture.shape or not np.array_equal(a.picture, b.picture)
               for a, b in zip(plain, seen, strict=True))  # fmt: skip
