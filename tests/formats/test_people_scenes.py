"""Drawn people: repeatable, their boxes lie on them, poses and pictures are read as they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.poses import standing, write_poses
from vitapps.datasets.sets.mocap import read_poses
from vitapps.datasets.synth.figures import Cutout, draw_figure
from vitapps.datasets.synth.people import PeopleScenes
from vitapps.errors import UnreadableInputError


def test_poses_stand_on_the_ground_in_metres(tmp_path: Path) -> None:
    poses = read_poses(write_poses(tmp_path / "p.npz", sequences=2, frames=13))
    assert poses.shape == (6, 38, 3), "every sixth frame of both sequences, and no array that holds no poses"
    assert np.allclose(poses[:, :, 1].min(axis=1), 0)
    assert np.allclose(poses[:, 0, [0, 2]], 0)
    assert 1.5 < poses[:, :, 1].max() < 2.0
    np.savez(tmp_path / "q.npz", a=np.zeros((3, 4)))
    with pytest.raises(UnreadableInputError, match="no array of frames"):
        read_poses(tmp_path / "q.npz")
    (tmp_path / "r.npz").write_text("no archive")
    with pytest.raises(UnreadableInputError):
        read_poses(tmp_path / "r.npz")


def test_a_figure_fills_its_cutout() -> None:
    figure = draw_figure(standing(), np.random.default_rng(3))
    solid = figure.alpha > 0.5
    assert figure.pixels.shape == (*figure.alpha.shape, 3)
    assert abs(len(solid) - 176) <= 6 and 0.15 < solid.shape[1] / len(solid) < 0.9
    for edge in (solid[:3], solid[-3:], solid[:, :3], solid[:, -3:]):
        assert edge.any()
    assert 0.3 < solid.mean() < 0.9
    again = draw_figure(standing(), np.random.default_rng(3))
    assert np.array_equal(figure.pixels, again.pixels) and np.array_equal(figure.alpha, again.alpha)


def test_boxes_lie_on_people() -> None:
    """All figures are painted pure blue here; blue then fills the boxes and is rare elsewhere."""
    scenes = PeopleScenes(poses=standing()[None], number=8)
    blue = [Cutout(np.full_like(item.pixels, (0, 0, 255)), item.alpha, item.pitch) for item in scenes.figures]
    object.__setattr__(scenes, "figures", blue)
    inside, outside, boxes = [], [], 0
    for seed in range(40):
        scene = scenes.make(seed)
        colours = scene.pixels.astype(float)
        marked = np.zeros(colours.shape[:2], bool)
        for x0, y0, x1, y1 in scene.boxes.astype(int):
            marked[y0:y1, x0:x1] = True
        excess = colours[..., 2] - colours[..., :2].max(axis=2)
        inside.append(excess[marked])
        outside.append(excess[~marked])
        boxes += len(scene.boxes)
        assert (scene.boxes >= 0).all() and (scene.boxes <= 256).all()
    assert boxes > 40
    assert np.concatenate(inside).mean() > np.concatenate(outside).mean() + 40


def test_a_seed_is_a_scene() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    scenes = [PeopleScenes(poses=standing()[None], backgrounds=[picture], number=6, seed=2) for _ in range(2)]
    for seed in range(12):
        first, again = (item.make(seed) for item in scenes)
        assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(scenes[0].make(0).pixels, scenes[0].make(1).pixels)
