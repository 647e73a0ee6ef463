"""`vitapps face eval expression`: FER2013's public test, as it is and with covered parts, beside HOG with an SVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.photo_faults import texture
from vitapps.pipelines.face.descriptors import hog
from vitapps.pipelines.face.expression_model import LABELS, ExpressionModel
from vitapps.pipelines.face.face_subspace import CELLS
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.face.scores import auc
from vitapps.pipelines.face.train_expression import read_faces
from vitapps.progress import Progress, null_progress
from vitapps.require import require

Ints = NDArray[np.int64]
Guess = Callable[[Pixels], int]  # a framed face -> the number of its label
SIDES = (0.3, 0.5)  # of an occluder, shares of the face


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`macro_f1` the mean F1 over labels; `detection` AUC of covered patches against the others, nan where none is or
    the method does not look for them."""

    method: str
    pictures: str
    count: int
    accuracy: float
    macro_f1: float
    detection: float


def evaluate(data: Path, *, weights: str | None = None, progress: Progress = null_progress) -> list[Row]:
    """One row a method and set of pictures; the SVM is fitted here on the training pictures."""
    model = ExpressionModel.load(weights)
    folder = data / "expression" / "fer2013"
    faces, labels = read_faces(folder / "val", progress)
    svm = _hog_svm(*read_faces(folder / "train", progress))
    methods: dict[str, Guess] = {
        f"{model.facts.name}, as it is": lambda face: int(model.probabilities(face).argmax()),
        f"{model.facts.name}, occlusion-aware": lambda face: int(model.probabilities(model.restored(face)[0]).argmax()),
        "HOG + RBF SVM": svm,
    }
    hidden = [occluded(face, number) for number, face in enumerate(faces)]
    found = _detection(model, hidden)
    rows = []
    for name, guess in methods.items():
        aware = name.endswith("aware")
        rows.append(_row(name, "FER2013 public test", guess, faces, labels, float("nan")))
        rows.append(_row(name, "with an occluder", guess, [face for face, _ in hidden], labels,
                         found if aware else float("nan")))  # fmt: skip
    return rows


def occluded(face: Pixels, number: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """A framed face S S with a textured rectangle over a part of it, and the patches CELLS CELLS that are covered by
    more than a half; the same for the same number."""
    rng = np.random.default_rng(number)
    side = face.shape[0]
    height, width = (max(1, round(side * rng.uniform(*SIDES))) for _ in range(2))
    top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    out, mask = face.copy(), np.zeros(face.shape, np.float32)
    out[top : top + height, left : left + width] = cv2.cvtColor(texture(side, rng), cv2.COLOR_RGB2GRAY)[:height, :width]
    mask[top : top + height, left : left + width] = 1
    return out, cv2.resize(mask, (CELLS, CELLS), interpolation=cv2.INTER_AREA) > 0.5


def _detection(model: ExpressionModel, hidden: Sequence[tuple[Pixels, NDArray[np.bool_]]]) -> float:
    values = np.concatenate([model.subspace.distances(face).ravel() for face, _ in hidden])
    return auc(values, np.concatenate([mask.ravel() for _, mask in hidden]))


def _row(
    name: str, pictures: str, guess: Guess, faces: Sequence[Pixels], labels: Ints, detection: float
) -> Row:  # fmt: skip
    found = np.array([guess(face) for face in faces])
    return Row(
        method=name, pictures=pictures, count=len(faces), accuracy=float((found == labels).mean()),
        macro_f1=macro_f1(found, labels), detection=detection,
    )  # fmt: skip


def macro_f1(found: Ints, labels: Ints) -> float:
    """The mean over labels of 2 TP / (2 TP + FP + FN); 0 for a label that is neither given nor there."""
    values = []
    for number in range(len(LABELS)):
        hits = int(((found == number) & (labels == number)).sum())
        values.append(2 * hits / max(1, int((found == number).sum() + (labels == number).sum())))
    return float(np.mean(values))


def _hog_svm(faces: Sequence[Pixels], labels: Ints) -> Guess:
    """The usual baseline, C and gamma at their common values."""
    svm = require("sklearn.svm", extra="train", package="scikit-learn")
    machine = svm.SVC(C=10.0, gamma="scale").fit(np.stack([_hog(face) for face in faces]), labels)
    return lambda face: int(machine.predict(_hog(face)[None])[0])


def _hog(face: Pixels) -> NDArray[np.float32]:
    return hog(face.astype(np.float32) / np.float32(255), 8)
