from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes import red_faces
from fakes.drawn_faces import write_people, write_scenes
from vitapps.datasets.synth.face_composites import FaceComposites
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.face import evaluate_detector as evaluation
from vitapps.pipelines.face.detector_data import bsds, face_sets, read_backgrounds, read_sources
from vitapps.pipelines.face.evaluate_detector import all_cases, boxes_alone, score
from vitapps.pipelines.face.train_detector import (
    CONFIG,
    DetectorFit,
    choose_threshold,
    fit_detector,
    threshold_of_precision,
    train,
)
from vitapps.shared_backbones.models.plain_detector import PlainDetector

QUICK = DetectorFit(steps=2, batch=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    write_people(folder, people=6, shots=2, kept=2)
    write_scenes(folder, 6)
    return folder


@pytest.fixture(scope="module")
def composites(folder):
    return FaceComposites([read_sources(part.shown) for part in face_sets(folder)], read_backgrounds(folder, ()))


def test_people_and_scenes_are_kept_back(folder):
    (lfw,) = face_sets(folder)
    shown, kept = ({face.row["person"] for face in part} for part in (lfw.shown, lfw.kept))
    assert len(shown) == 4 and len(kept) == 2 and not shown & kept
    assert not set(bsds(folder, kept=True)) & set(bsds(folder, kept=False))


def test_one_seed_one_result(composites, tmp_path):
    first = fit_detector(composites, tmp_path / "a.pt", QUICK).state_dict()
    second = fit_detector(composites, tmp_path / "b.pt", QUICK).state_dict()
    other = fit_detector(composites, tmp_path / "c.pt", replace(QUICK, seed=1)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_landmarks_are_a_third_output():
    module = PlainDetector(CONFIG).eval()
    with torch.inference_mode():
        scores, boxes, points = module(torch.rand(1, 3, 128, 128))
    assert scores.shape == (1, 1, 32, 32) and boxes.shape == (1, 4, 32, 32) and points.shape == (1, 10, 32, 32)
    assert sum(parameter.numel() for parameter in module.parameters()) <= 500_000


def test_the_threshold_gives_the_wanted_precision(composites):
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    hits = np.array([1, 1, 1, 0, 1, 0], bool)
    assert threshold_of_precision(scores, hits, 0.9) == pytest.approx(0.61)
    assert threshold_of_precision(scores, ~hits, 0.9) == pytest.approx(0.8)
    assert 0.2 <= choose_threshold(PlainDetector(CONFIG), composites, 0, number=2) <= 0.8


def test_an_oracle_scores_one_and_nothing_scores_none(folder):
    cases = all_cases(folder, 3)
    assert set(cases) >= {"plain LFW", "16 px in a scene", "48 px in a scene", "scenes without faces"}
    for name, group in cases.items():
        answers = iter([_oracle(case) for case in group])
        row = score("oracle", name, group, lambda pixels, answers=answers: next(answers))
        assert row.extra == 0
        assert row.recall_50 == 1 or np.isnan(row.recall_50)
        assert (row.landmarks, row.coarse) == pytest.approx((0, 0.5), abs=1e-9) or np.isnan(row.recall_50)
        row = score("nothing", name, group, lambda pixels: boxes_alone(np.zeros((0, 4))))
        assert row.recall_30 == 0 or np.isnan(row.recall_30)
    wrong = boxes_alone(np.array([[0.0, 0, 9, 9]]))
    row = score("noise", "scenes", cases["scenes without faces"], lambda pixels: wrong)
    assert row.extra == 1


def _oracle(case):
    """Box and landmarks as marked; before, they were half of the distance between the eyes too far to the right."""
    if not case.box[2]:
        return boxes_alone(np.zeros((0, 4)))
    eyes = np.hypot(*(case.points[1] - case.points[0]))
    return case.box[None], case.points[None], case.points[None] + [eyes / 2, 0]


def test_the_table_beside_the_cascade(folder, monkeypatch):
    pytest.importorskip("skimage")
    finder = replace(red_faces.finder(), facts=replace(red_faces.finder().facts, name="red"))
    monkeypatch.setattr(evaluation.FaceFinder, "load", classmethod(lambda cls, *_: finder))
    rows = evaluation.evaluate_detector(folder, limit=1)
    assert {row.finder for row in rows} == {"red", "red --tilted", "LBP cascade"}


def test_faults_are_told(folder, tmp_path):
    with pytest.raises(UsageError):
        train(folder, tmp_path, config=replace(QUICK, steps=0))
    with pytest.raises(UnreadableInputError, match="no table of faces"):
        train(tmp_path, tmp_path / "out")
    with pytest.raises(UnreadableInputError, match="no pictures"):
        read_backgrounds(folder, [tmp_path])
    with pytest.raises(UsageError, match="--limit"):
        evaluation.evaluate_detector(folder, limit=0)
