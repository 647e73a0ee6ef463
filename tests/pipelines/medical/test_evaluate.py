"""Scores against values computed by hand, grids that differ, labels that are mapped."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes.scans import affine, stored_as
from vitapps.errors import OutputError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.medical.evaluate import EvalChoices, evaluate

pytest.importorskip("monai")


def save(path: Path, labels: np.ndarray, matrix: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(labels.astype(np.uint16), affine() if matrix is None else matrix), path)
    return path


def block(shift: int = 0) -> np.ndarray:
    labels = np.zeros((30, 24, 20), np.uint16)
    labels[5 + shift : 15 + shift, 5:15, 5:15] = 17
    return labels


def test_by_hand(tmp_path: Path) -> None:
    spaced = affine((1.5, 1, 1))
    pred, truth = save(tmp_path / "p.nii", block(2), spaced), save(tmp_path / "t.nii", block(), spaced)
    (found,) = evaluate(pred, truth).labels
    assert found.dice == pytest.approx(0.8)
    assert found.hd95_mm == pytest.approx(3.0)
    assert found.truth_ml == pytest.approx(1.5)
    assert 0.5 < found.surface_dice < 0.8  # the four sides along x still agree
    same = evaluate(truth, truth).labels[0]
    assert (same.dice, same.hd95_mm, same.surface_dice) == (1, 0, 1)
    assert evaluate(pred, truth, choices=EvalChoices(tolerance_mm=3)).labels[0].surface_dice == 1


def test_a_label_that_was_missed(tmp_path: Path) -> None:
    both = block()
    both[20:24, 5:9, 5:9] = 53
    pred, truth = save(tmp_path / "p.nii", block()), save(tmp_path / "t.nii", both)
    assert [label.value for label in evaluate(pred, truth, choices=EvalChoices(skip=(53,))).labels] == [17]
    result = evaluate(pred, truth)
    assert [label.dice for label in result.labels] == [1, 0]
    assert math.isnan(result.labels[1].hd95_mm)
    assert result.mean("dice") == 0.5
    assert result.mean("hd95_mm") == 0
    assert result.to_json()["labels"][1]["hd95_mm"] is None
    assert "not scored: 53" in evaluate(truth, pred).notes[0]


def test_another_orientation_is_another_grid_but_the_same_place(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.nii", block())
    turned, matrix = stored_as(block(), affine(), (2, 0, 1), (-1, 1, -1))
    result = evaluate(save(tmp_path / "p.nii", turned, matrix), truth)
    assert result.labels[0].dice == 1
    assert "grids differ" in result.notes[0]


def test_mapping_merging_and_ignoring(tmp_path: Path) -> None:
    truth = block().astype(np.int64)
    truth[truth == 17] = 48
    truth[0:3, 0:3, 0:3] = 71
    predicted = block()
    predicted[0:3, 0:3, 0:3] = 17
    pred, expected = save(tmp_path / "p.nii", predicted), save(tmp_path / "t.nii", truth)
    (tmp_path / "map.json").write_text('{"map": {"48": 17, "71": -1}}')
    result = evaluate(pred, expected, choices=EvalChoices(mapping=tmp_path / "map.json"))
    assert [(label.value, label.dice) for label in result.labels] == [(17, 1.0)]
    assert "27 voxels are excluded" in result.notes[0]
    merged = evaluate(pred, expected, choices=EvalChoices(merge="brain"))
    assert [(label.name, label.dice) for label in merged.labels] == [("brain", 1.0)]


def test_names_and_csv(tmp_path: Path) -> None:
    pred, truth = save(tmp_path / "p.nii", block()), save(tmp_path / "t.nii", block())
    (tmp_path / "p.labels.json").write_text(json.dumps({"labels": [{"value": 17, "name": "left hippocampus"}]}))
    evaluate(pred, truth, choices=EvalChoices(csv=tmp_path / "s.csv"))
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert rows[0]["name"] == "left hippocampus"
    assert float(rows[0]["dice"]) == 1
    with pytest.raises(OutputError):
        evaluate(pred, truth, choices=EvalChoices(csv=tmp_path / "s.csv"), options=RunOptions())


def test_faults(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.nii", block())
    nothing = save(tmp_path / "n.nii", block() * 0)
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((30, 24, 20)), affine()), tmp_path / "f.nii")
    with pytest.raises(UnreadableInputError, match="no label to score"):
        evaluate(truth, nothing)
    with pytest.raises(UnreadableInputError, match="fractions"):
        evaluate(tmp_path / "f.nii", truth)
    with pytest.raises(UsageError):
        evaluate(truth, truth, choices=EvalChoices(merge="x", mapping=tmp_path / "m.json"))
    with pytest.raises(UsageError):
        evaluate(truth, truth, choices=EvalChoices(tolerance_mm=-1))
