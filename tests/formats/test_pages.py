"""Synthetic pages: the same for a seed, truth where the ink is, order kept through every turn."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.datasets.synth.pages import KINDS, make_page
from vitapps.datasets.synth.text.fonts import find_faces

FACES = find_faces(())  # Pillow's own, on every machine the same


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_the_same_for_a_seed_and_its_corners_lie_on_it(kind: str) -> None:
    first = make_page(5, faces=FACES, kind=kind, largest=500)  # type: ignore[arg-type]
    second = make_page(5, faces=FACES, kind=kind, largest=500)  # type: ignore[arg-type]
    assert np.array_equal(first.image, second.image)
    assert first.page == second.page
    assert (first.page.height, first.page.width) == first.image.shape
    for line in first.page.lines:
        x0, y0, x1, y1 = line.box
        assert -30 < x0 < x1 < first.page.width + 30
        assert -30 < y0 < y1 < first.page.height + 30


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_ink_lies_in_the_lines_boxes(turn: int) -> None:
    made = make_page(2, faces=FACES, kind="receipt", turn=turn, skew=0.0, worn=False, largest=500)
    dark = [made.image[int(y0) : int(y1), int(x0) : int(x1)].min() for x0, y0, x1, y1 in
            (word.box for word in made.page.words)]  # fmt: skip
    assert np.mean(np.array(dark) < 120) > 0.97
