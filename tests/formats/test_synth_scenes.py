"""Synthetic photographs of signs: the same for a seed, lines where ink is, pages on pictures and in light letters."""

from __future__ import annotations

import numpy as np

from vitapps.datasets.synth.pages import make_page
from vitapps.datasets.synth.scenes import make_scene, on_ground, piece_of
from vitapps.datasets.synth.text.fonts import find_faces

FACES = find_faces(())


def test_a_scene_is_the_same_for_a_seed_and_holds_lines_inside() -> None:
    scenes = [make_scene(seed, side=320, faces=FACES) for seed in range(4)]
    again = make_scene(3, side=320, faces=FACES)
    assert np.array_equal(scenes[3].image, again.image) and scenes[3].page == again.page
    lines = [line for scene in scenes for line in scene.page.lines]
    assert len(lines) >= 3
    for line in lines:
        assert min(line.box) >= 0 and max(line.box) <= 320
    assert not np.array_equal(scenes[0].image, scenes[1].image)


def test_signs_change_the_ground_where_their_lines_are() -> None:
    ground = np.full((200, 200), 128, np.uint8)
    for seed in range(4):
        scene = make_scene(seed, side=320, grounds=[ground], faces=FACES)
        for line in scene.page.lines:
            x0, y0, x1, y1 = (int(value) for value in line.box)
            part = scene.image[y0:y1, x0:x1].astype(float)
            assert part.std() > 3, seed


def test_pages_on_pictures_keep_their_extent_and_may_be_light_on_dark() -> None:
    rng = np.random.default_rng(0)
    page = make_page(1, faces=FACES, kind="article", turn=0, skew=0.0, worn=False, largest=300).image
    made = [on_ground(page, [], rng) for _ in range(8)]
    assert {one.shape for one in made} == {page.shape}
    paper = [float(np.median(one)) for one in made]
    assert min(paper) < 128 < max(paper)
    assert piece_of([np.arange(100, dtype=np.uint8).reshape(10, 10)], 64, rng).shape == (64, 64)
