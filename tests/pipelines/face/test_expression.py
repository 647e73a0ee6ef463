"""Expressions of drawn faces: what is covered is found and filled in, and the command says what it reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.apps.main import main
from vitapps.datasets.sets.expressions import read_expressions
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.pipelines.face import expression
from vitapps.pipelines.face.evaluate_expression import macro_f1, occluded
from vitapps.pipelines.face.expression_features import FRAME, SIZE, framed
from vitapps.pipelines.face.expression_model import LABELS, ExpressionModel, arrays_of, both_ways, likely
from vitapps.pipelines.face.face_subspace import CELLS, fit_subspace, from_patches, to_patches
from vitapps.pipelines.face.scores import auc
from vitapps.pipelines.face.train_expression import ExpressionFit, export, fit_machine
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.provenance import preview_path

QUICK = ExpressionFit(principal=20, axes=24)


def drawn(label: int, shot: int) -> NDArray[np.uint8]:
    """A framed face whose mouth and brows depend on the label; light, size and place on the shot."""
    rng = np.random.default_rng(100 * label + shot)
    face = np.full((SIZE, SIZE), rng.uniform(40, 80), np.float32)
    cv2.ellipse(face, (32, 34), (int(rng.integers(24, 28)), 30), 0, 0, 360, float(rng.uniform(150, 190)), -1)
    shift = rng.normal(0, 0.8, 2)
    for x, y in FRAME[:2] * SIZE + shift:
        cv2.circle(face, (round(x), round(y)), 3, 30.0, -1)
        turn = (label % 3 - 1) * 4 * (1 if x < 32 else -1)
        cv2.line(face, (round(x - 6), round(y - 8 - turn / 2)), (round(x + 6), round(y - 8 + turn / 2)), 50.0, 2)
    x, y = FRAME[3:].mean(axis=0) * SIZE + shift
    cv2.ellipse(face, (round(x), round(y)), (8, 2 + 2 * (label // 2)), 0, 0, 180 if label % 2 else 360, 60.0, 2)
    face = cv2.GaussianBlur(face, (0, 0), 0.8) + rng.normal(0, 4, face.shape)
    return np.asarray(face.clip(0, 255), np.uint8)


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    shots = [(label, shot) for label in range(7) for shot in range(20)]
    faces, labels = [drawn(*each) for each in shots], np.array([label for label, _ in shots])
    machine = fit_machine(np.stack([both_ways(face) for face in faces]), labels, QUICK)
    return ExpressionModel(
        machine=machine, temperature=0.3, subspace=fit_subspace(faces, QUICK.axes), facts=NetworkFacts(name="drawn")
    )  # fmt: skip


FRESH = [(label, shot) for label in range(7) for shot in range(40, 44)]


def test_expressions_of_new_faces(model: ExpressionModel) -> None:
    found = np.array([model.probabilities(drawn(*each)).argmax() for each in FRESH])
    assert (found == [label for label, _ in FRESH]).mean() > 0.7
    assert model.probabilities(drawn(0, 50)).sum() == pytest.approx(1)
    mirrored = np.ascontiguousarray(drawn(3, 41)[:, ::-1])
    assert np.allclose(model.probabilities(mirrored), model.probabilities(drawn(3, 41)), atol=1e-4)


def test_an_occluder_never_seen_is_found_and_filled_in(model: ExpressionModel) -> None:
    """The check of S264: AUROC of covered patches at least 0.9, restored pixels 3 dB nearer than the mean face's."""
    scores, truth, gains = [], [], []
    mean = cv2.resize(from_patches(model.subspace.mean) * 255, (SIZE, SIZE))
    for number, each in enumerate(FRESH):
        clean = drawn(*each)
        hidden, mask = occluded(clean, number)
        scores.append(model.subspace.distances(hidden).ravel())
        truth.append(mask.ravel())
        restored, _ = model.restored(hidden)
        there = cv2.resize(mask.astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) > 0
        error, plain = (float(((part.astype(float) - clean)[there] ** 2).mean()) for part in (restored, mean))
        gains.append(10 * np.log10(plain / error))
    assert auc(np.concatenate(scores), np.concatenate(truth)) >= 0.9
    assert np.median(gains) >= 3


def test_a_clean_face_stays_as_it_is(model: ExpressionModel) -> None:
    faces = [drawn(*each) for each in FRESH]
    read = [model.restored(face) for face in faces]
    whole = [place for place, (_, mask) in enumerate(read) if not mask.any()]
    assert whole and all(np.array_equal(read[place][0], faces[place]) for place in whole)
    face = drawn(1, 1)
    assert np.allclose(
        from_patches(to_patches(face).ravel()) * 255, cv2.resize(face, (32, 32), interpolation=3), atol=1
    )
    assert read[0][1].shape == (CELLS, CELLS)


def test_a_found_face_comes_into_the_frame() -> None:
    pixels = np.full((200, 200, 3), 90, np.uint8)
    marks = FRAME * 100 + [60, 40]
    for x, y in marks:
        cv2.circle(pixels, (round(x), round(y)), 4, (255, 255, 255), -1)
    face = framed(pixels, marks)
    for x, y in FRAME * SIZE:
        assert face[round(y), round(x)] > 200


def test_the_command(model: ExpressionModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = export(model, {"data": "drawn"}, tmp_path / "card")
    picture, out = tmp_path / "face.png", tmp_path / "out.json"
    cv2.imwrite(str(picture), cv2.resize(drawn(2, 41), (96, 96)))
    words = ["face", "expression", str(picture), "--crop", "--weights", str(card), "-o", str(out), "--preview"]
    assert main([*words, "--occlusion-aware"]) == 0
    found = json.loads(out.read_text())["faces"][0]
    assert found["expression"] in (*LABELS, "unsure")
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "out.json.run.json").exists() and preview_path(out).exists()
    assert main(words) == 5  # it exists
    cv2.imwrite(str(picture), np.zeros((12, 12, 3), np.uint8))
    capsys.readouterr()
    assert main(["face", "expression", str(picture), "--crop", "--weights", str(card), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"][0]["expression"] == "unsure"
    assert main(["face", "expression", str(picture), "--crop", "--weights", "face-embed"]) == 4
    picture.write_bytes(b"no picture")
    assert main([*words, "--overwrite"]) == 3 and json.loads(out.read_text())["faces"][0] == found


def test_a_card_comes_back(model: ExpressionModel, tmp_path: Path) -> None:
    export(model, {}, tmp_path)
    again = ExpressionModel.load(str(tmp_path / "face-expression.toml"))
    face = drawn(4, 45)
    assert np.allclose(again.probabilities(face), model.probabilities(face), atol=0.02)
    arrays = arrays_of(model)
    del arrays["support"]
    with pytest.raises(MissingError, match="support"):
        ExpressionModel.of(arrays, {"gamma": 1, "temperature": 1, "noise": 1}, NetworkFacts(name="x"))
    with pytest.raises(UnreadableInputError, match="angry"):
        read_expressions(tmp_path, LABELS)


def test_nothing_is_said_of_a_face_that_is_mostly_covered() -> None:
    chances = likely(np.arange(7.0), 1.0)
    said = expression._expression(chances, 0.1, 60.0, None)
    assert said.expression == "surprise"
    assert expression._expression(chances, None, 60.0, None).expression == "surprise"
    assert expression._expression(chances, 0.5, 60.0, None).expression == "unsure"
    assert replace(said, expression="unsure") == expression._expression(chances, 0.1, 10.0, None)


def test_macro_f1_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert macro_f1(labels, labels) == pytest.approx(3 / 7)
    assert macro_f1(np.array([0, 1, 1, 1, 2, 0]), labels) == pytest.approx((0.5 + 0.8 + 2 / 3) / 7)
