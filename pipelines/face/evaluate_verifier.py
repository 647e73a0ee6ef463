"""`vitapps face eval verify`: our templates beside eigenfaces and LBP+HOG+LDA, on people that no fit saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vitapps.options import RunOptions
from vitapps.pipelines.face.descriptors import hog, lbp, prepared
from vitapps.pipelines.face.embedder import Embedder, Rows, unit
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.people import Pairs, file_pairs, lfw_pairs, orl_pairs, training_people
from vitapps.pipelines.face.train_verifier import VerifierFit, fit_axes
from vitapps.pipelines.face.verification import Figures, balanced_accuracy, figures
from vitapps.progress import Progress, null_progress

EIGENFACES = 150
Describe = Callable[[Sequence[Pixels]], Rows]  # crops -> n d of length 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`fixed`: accuracy at the threshold that the card names for even odds, nan for a method without one."""

    method: str
    set: str
    aligned_by: str
    missed: int
    figures: Figures
    fixed: float


def evaluate_verifier(
    data: Path,
    *,
    weights: str | None = None,
    pairs: Path | None = None,
    baseline: bool = True,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[Row]:
    """One row a method and set of pairs. LFW fold 8 counts twice: with the table's landmarks, as in training, and with
    those of our own finder, as in use. Raises as the readers do."""
    embedder = Embedder.load(weights)
    finder = FaceFinder.load(None, options)
    sets = [lfw_pairs(data), lfw_pairs(data, finder), orl_pairs(data, finder)]
    sets += [file_pairs(pairs, finder)] if pairs is not None else []
    methods: dict[str, Describe] = {embedder.facts.name: embedder.embed}
    if baseline:
        people = training_people(data, 0.0, 0)
        methods["eigenfaces"] = eigenfaces(people.crops)
        methods["LBP+HOG+LDA"] = lbp_hog_lda(people.crops, people.owners)
    rows = []
    with progress.task("scoring", total=len(sets) * len(methods)) as task:
        for group in sets:
            for name, describe in methods.items():
                even = -embedder.offset / embedder.slope if name == embedder.facts.name else None
                rows.append(score(name, group, describe, even))
                task.advance()
    return rows


def score(method: str, pairs: Pairs, describe: Describe, threshold: float | None = None) -> Row:
    """Figures of one method on one set of pairs."""
    templates = describe(pairs.crops)
    similarity = np.einsum("nd,nd->n", templates[pairs.first], templates[pairs.second]).astype(np.float64)
    fixed = balanced_accuracy(similarity, pairs.same, threshold) if threshold is not None else float("nan")
    return Row(
        method=method, set=pairs.name, aligned_by=pairs.aligned_by, missed=pairs.missed,
        figures=figures(similarity, pairs.same), fixed=fixed,
    )  # fmt: skip


def eigenfaces(crops: Sequence[Pixels]) -> Describe:
    """Whitened principal components of grey pixels (Turk and Pentland 1991), compared by their angle."""
    rows = _grey(crops)
    mean = rows.mean(axis=0)
    _, lengths, axes = np.linalg.svd(rows - mean, full_matrices=False)
    matrix = axes[:EIGENFACES].T / np.maximum(lengths[:EIGENFACES], 1e-6)
    return lambda faces: unit(np.asarray((_grey(faces) - mean) @ matrix, np.float32))


def lbp_hog_lda(crops: Sequence[Pixels], owners: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Describe:
    """LBP and HOG of one scale, PCA to 500, LDA to 300: the usual classical verifier."""
    rows = {"both": _lbp_hog(crops)}
    config = VerifierFit(principal=500, dim=300, shrink=0.1, power=0.0)
    mean, matrix = fit_axes(rows, rows, owners, config)["both"]
    return lambda faces: unit(np.asarray((_lbp_hog(faces) - mean) @ matrix, np.float32))


def _grey(crops: Sequence[Pixels]) -> Rows:
    small = [
        cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (48, 48), interpolation=cv2.INTER_AREA) for crop in crops
    ]
    return np.asarray(np.stack(small).reshape(len(crops), -1) / 255, np.float32)


def _lbp_hog(crops: Sequence[Pixels]) -> Rows:
    even = [prepared(crop) for crop in crops]
    return np.stack([np.concatenate([lbp(face, 2), hog(face, 8)]) for face in even])
