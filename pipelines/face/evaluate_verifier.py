"""`vitapps face eval verify`: our templates beside eigenfaces and LBP+HOG+LDA, on people that no fit saw."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.face.descriptors import hog, lbp, prepared
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint, Rows, unit
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.people import Pairs, file_pairs, lfw_pairs, lfw_protocol, orl_pairs, training_people
from vitapps.pipelines.face.train_verifier import VerifierFit, fit_axes
from vitapps.pipelines.face.verification import Figures, balanced_accuracy, figures, roc
from vitapps.progress import Progress, null_progress

EIGENFACES = 150
Protocol = Literal["visible", "lfw"]
Describe = Callable[[Sequence[Pixels]], Rows]  # crops -> n d of length 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`fixed`: accuracy at the threshold that the card names for even odds, nan for a method without one; `left_out`
    pairs of people whom the methods know."""

    method: str
    set: str
    aligned_by: str
    missed: int
    left_out: int
    figures: Figures
    fixed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PointRow:
    """An operating point of the card on one set: the rates that it states, and those found at its threshold."""

    set: str
    aligned_by: str
    threshold: float
    stated_fmr: float
    stated_fnmr: float
    fmr: float
    fnmr: float


@dataclass(frozen=True, slots=True)
class Report:
    """`curves`: similarities n and whether a pair is of one person n, by set and method."""

    rows: list[Row]
    points: list[PointRow]
    curves: dict[tuple[str, str], tuple[Floats, NDArray[np.bool_]]]


def evaluate_verifier(
    data: Path,
    *,
    weights: str | None = None,
    pairs: Path | None = None,
    protocol: Protocol = "visible",
    baseline: bool = True,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> Report:
    """One row a method and set of pairs, each method on the same pairs and folds. LFW fold 8 counts twice: with the
    table's landmarks, and with those of our own finder, as in use; `protocol` "lfw" takes the official ten folds
    instead. Raises as the readers do."""
    embedder = Embedder.load(weights, options.threads if options else None)
    finder = FaceFinder.load(None, options)
    sets = [lfw_protocol(data, finder)] if protocol == "lfw" else _visible(data, finder)
    sets += [file_pairs(pairs, finder)] if pairs is not None else []
    methods: dict[str, Describe] = {embedder.facts.name: embedder.embed}
    if baseline:
        people = training_people(data)
        methods["eigenfaces"] = eigenfaces(people.crops)
        methods["LBP+HOG+LDA"] = lbp_hog_lda(people.crops, people.owners)
    report = Report([], [], {})
    with progress.task("scoring", total=len(sets) * len(methods)) as task:
        for group in sets:
            for name, describe in methods.items():
                own = embedder if name == embedder.facts.name else None
                _score(report, name, group, describe, own)
                task.advance()
    return report


def _visible(data: Path, finder: FaceFinder) -> list[Pairs]:
    found = [lfw_pairs(data), lfw_pairs(data, finder)]
    return found + ([orl_pairs(data, finder)] if (data / "verify" / "orl").is_dir() else [])


def _score(report: Report, method: str, pairs: Pairs, describe: Describe, embedder: Embedder | None) -> None:
    """Add the figures of one method on one set; `embedder`: ours, whose card states points."""
    templates = describe(pairs.crops)
    similarity = np.einsum("nd,nd->n", templates[pairs.first], templates[pairs.second]).astype(np.float64)
    fixed = float("nan")
    if embedder is not None and embedder.points:
        fixed = balanced_accuracy(similarity, pairs.same, -embedder.offset / embedder.slope)
        measured = [point for point in embedder.points if np.isfinite(point.threshold)]
        report.points.extend(_at_point(pairs, similarity, point) for point in measured)
    report.rows.append(Row(
        method=method, set=pairs.name, aligned_by=pairs.aligned_by, missed=pairs.missed, left_out=pairs.left_out,
        figures=figures(similarity, pairs.same, pairs.folds), fixed=fixed,
    ))  # fmt: skip
    report.curves[f"{pairs.name}, {pairs.aligned_by}", method] = similarity, pairs.same


def _at_point(pairs: Pairs, similarity: Floats, point: OperatingPoint) -> PointRow:
    taken = similarity >= point.threshold
    return PointRow(
        set=pairs.name, aligned_by=pairs.aligned_by, threshold=point.threshold, stated_fmr=point.fmr,
        stated_fnmr=point.fnmr, fmr=float(taken[~pairs.same].mean()), fnmr=float((~taken[pairs.same]).mean()),
    )  # fmt: skip


def roc_text(report: Report) -> str:
    """The ROC curves as CSV: set, method, FMR, TAR."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["set", "method", "fmr", "tar"])
    for (name, method), (similarity, same) in report.curves.items():
        writer.writerows([name, method, f"{f:.6f}", f"{t:.6f}"] for f, t in zip(*roc(similarity, same), strict=True))
    return stream.getvalue()


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
