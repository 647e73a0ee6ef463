"""Drawn sequences: the same from one seed, and the object is where the box says."""

from __future__ import annotations

import numpy as np

from vitapps.datasets.samples import read_scene_pictures
from vitapps.datasets.synth.tracked_scenes import SceneConfig, TrackedScene

ALONE = SceneConfig(side=160, frames=8, hidden=0.0, crossing=0)


def test_a_seed_is_a_scene() -> None:
    pictures = read_scene_pictures()
    scenes = [TrackedScene(pictures, seed, ALONE) for seed in (1, 1, 2)]
    frames = [np.stack(list(scene.frames())) for scene in scenes]
    assert frames[0].shape == (8, 160, 160, 3) and frames[0].dtype == np.uint8
    assert np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])
    assert np.array_equal(scenes[0].boxes(), scenes[1].boxes())
    assert scenes[0].boxes().shape == (8, 4) and (scenes[0].boxes()[:, 2:] > 4).all()


def test_the_box_holds_the_object() -> None:
    """Without the object the same scene differs inside the box alone."""
    scene = TrackedScene(read_scene_pictures(), 3, ALONE)
    bare = TrackedScene(read_scene_pictures(), 3, ALONE)
    bare._object = bare._part(bare._object.looks[0], np.random.default_rng(0), reach=9.0, growth=1.0)
    bare._object.path[:] = -1000.0
    for shown, empty, (x, y, w, h) in zip(scene.frames(), bare.frames(), scene.boxes(), strict=True):
        changed = np.abs(shown.astype(int) - empty).max(axis=2) > 60  # coding reaches a block of 16 further
        rows, columns = np.nonzero(changed)
        assert changed.sum() > 0.1 * w * h
        assert columns.min() > x - 17 and columns.max() < x + w + 17 and rows.min() > y - 17 and rows.max() < y + h + 17
