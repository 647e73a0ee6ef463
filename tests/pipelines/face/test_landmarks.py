"""The landmark cascade: what it learns on drawn faces, what it leaves alone, and what comes with a card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import red_faces
from fakes.drawn_faces import draw, write_people
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.pipelines.face.align import inverse, moved
from vitapps.pipelines.face.evaluate_detector import point_error
from vitapps.pipelines.face.find_faces import FaceFinder, spec_of
from vitapps.pipelines.face.landmark_cascade import SIZE, LandmarkCascade, features, mirrored, upright
from vitapps.pipelines.face.train_landmarks import CascadeFit, train
from vitapps.pipelines.runtime.network_facts import NetworkFacts

QUICK = CascadeFit(samples=300, stages=2, ridge=10.0)


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    write_people(folder, people=24, shots=3, kept=2)
    return train(folder, tmp_path_factory.mktemp("card"), config=QUICK)


def test_points_of_new_faces_come_closer(card):
    cascade, rng = LandmarkCascade.load(str(card)), np.random.default_rng(0)
    before, after = [], []
    for person in range(700, 715):
        pixels, truth = draw(person)
        start = truth + rng.normal(0, 2.5, 2) + rng.normal(0, 2.0, (5, 2))
        before.append(point_error(start, truth))
        after.append(point_error(cascade.refine(pixels, start), truth))
    assert np.mean(after) < 0.6 * np.mean(before)


def test_a_mirrored_picture_has_mirrored_points(card):
    cascade = LandmarkCascade.load(str(card))
    pixels, truth = draw(3)
    start = truth + 2.0
    turned = cascade.refine(np.ascontiguousarray(pixels[:, ::-1]), mirrored(start, 112))
    assert np.allclose(mirrored(turned, 112), cascade.refine(pixels, start), atol=1e-6)


def test_points_follow_a_face_that_moves_and_those_outside_stay(card):
    cascade = LandmarkCascade.load(str(card))
    pixels, truth = draw(4)
    wide = np.full((300, 400, 3), 90, np.uint8)
    wide[100:212, 200:312] = pixels
    wider = np.full((400, 700, 3), 90, np.uint8)
    wider[200:312, 500:612] = pixels
    moved_by = cascade.refine(wider, truth + np.array([502, 200])) - cascade.refine(wide, truth + np.array([202, 100]))
    assert np.allclose(moved_by, [300, 100], atol=1e-6)
    outside = truth + 5000.0
    assert np.array_equal(cascade.refine(pixels, outside), outside)
    nothing = np.full((5, 2), 30.0)
    assert np.array_equal(cascade.refine(pixels, nothing), nothing)


def test_no_stage_changes_nothing():
    empty = LandmarkCascade(stages=(), facts=NetworkFacts(name="none"))
    pixels, truth = draw(5)
    assert np.allclose(empty.refine(pixels, truth), truth, atol=1e-9)


def test_features_do_not_depend_on_the_strength_of_the_light():
    crop, points, back = upright(*draw(6))
    assert crop.shape == (SIZE, SIZE, 3)
    assert np.allclose(moved(moved(points, back), inverse(back)), points)
    row = features(crop, points)
    dark, other = features((crop * 0.6).astype(np.uint8), points), features(upright(*draw(7))[0], points)
    assert np.linalg.norm(row - dark) < 0.5 * np.linalg.norm(row - other)


def test_a_finder_hands_out_closer_points_and_names_the_cascade(card):
    cascade = LandmarkCascade.load(str(card))
    finder = red_faces.finder()
    pixels = red_faces.picture(200, 150, [(40, 40, 90, 100)])
    plain, closer = finder.find(pixels)[0], replace(finder, cascade=cascade).find(pixels)[0]
    assert np.array_equal(plain.box, closer.box) and plain.score == closer.score
    assert np.allclose(closer.landmarks, cascade.refine(pixels, plain.landmarks))
    assert [item.name for item in replace(finder, cascade=cascade).networks] == ["", "face-points"]


def test_the_embedded_finder_uses_the_embedded_cascade():
    assert [item.name for item in FaceFinder.load().networks] == ["face-finder", "face-points"]
    words = {"window": 128, "overlap": 0.4, "smallest": 12, "nms_iou": 0.4}
    assert spec_of("x", words, [{"threshold": 0.5}]).landmarks == ""  # a card of older days


def test_faults_are_told(tmp_path):
    with pytest.raises(UsageError, match="0 samples"):
        train(tmp_path, tmp_path, config=CascadeFit(samples=0))
    with pytest.raises(UnreadableInputError, match="no table of faces"):
        train(tmp_path, tmp_path)
    with pytest.raises(MissingError, match=r"face\.verify"):
        LandmarkCascade.load("face-embed")
    with pytest.raises(MissingError, match=r"0\.bias"):
        LandmarkCascade.of({"0.matrix": np.zeros((3, 10))}, NetworkFacts(name="x"))
