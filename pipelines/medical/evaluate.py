"""`vitapps medical eval`: score a label map, or the segmentation of a scan, against a ground truth."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import check_output, write_text
from vitapps.datasets.formats.label_map import labels_path
from vitapps.datasets.formats.volume import Volume, read_volume
from vitapps.datasets.formats.volume_types import VolumeMeta
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.medical.label_mapping import IGNORE, read_label_mapping
from vitapps.pipelines.medical.scores import LabelScore, score_labels
from vitapps.pipelines.medical.segment import DEFAULT_OPTIONS, EVERYTHING, label_volume
from vitapps.pipelines.medical.segment_types import SegmentChoices
from vitapps.pipelines.medical.volume_model import VolumeModel
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord

log = logging.getLogger("vitapps.medical.evaluate")
SAME_GRID_MM = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalChoices:
    """How to score.

    `mapping` is a JSON file (see label_mapping.py); `merge` names one label that every foreground voxel of both sides
    becomes (mask-only truth); `skip` are numbers of the truth that get no row; `tolerance_mm` is that of the surface
    Dice.
    """

    mapping: Path | None = None
    merge: str | None = None
    skip: tuple[int, ...] = ()
    tolerance_mm: float = 1.0
    csv: Path | None = None


PLAIN = EvalChoices()


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalResult:
    """Scores by label of the truth, their means, and what was done to make both sides comparable."""

    pred: str
    truth: Path
    labels: tuple[LabelScore, ...]
    notes: tuple[str, ...] = ()

    def mean(self, name: str) -> float:
        """Mean of `dice`, `hd95_mm` or `surface_dice` over the labels that have one."""
        values = [v for v in (float(getattr(label, name)) for label in self.labels) if math.isfinite(v)]
        return sum(values) / len(values) if values else math.nan

    def to_json(self) -> dict[str, Any]:
        """JSON-ready mapping; a distance that does not exist is null."""
        rows = [{k: None if v != v else v for k, v in asdict(label).items()} for label in self.labels]
        means = {name: self.mean(name) for name in ("dice", "hd95_mm", "surface_dice")}
        return {"pred": self.pred, "truth": str(self.truth), "labels": rows, "mean": means, "notes": list(self.notes)}


def evaluate(
    pred: Path,
    truth: Path,
    *,
    choices: EvalChoices = PLAIN,
    options: RunOptions = DEFAULT_OPTIONS,
    progress: Progress = null_progress,
) -> EvalResult:
    """Score the label map `pred` against `truth`. Raises VitappsError with the exit code of the fault."""
    _check(choices, options, (pred, truth))
    predicted = read_volume(pred, labels=True)
    return _evaluate(predicted, str(pred), truth, _names_beside(pred), choices, options, progress)


def evaluate_scan(
    scan: Path,
    truth: Path,
    *,
    weights: str | None = None,
    choices: EvalChoices = PLAIN,
    segment: SegmentChoices = EVERYTHING,
    options: RunOptions = DEFAULT_OPTIONS,
    progress: Progress = null_progress,
) -> EvalResult:
    """Segment `scan` in memory, then score it. Raises VitappsError with the exit code of the fault."""
    _check(choices, options, (scan, truth))
    volume = read_volume(scan, series=segment.series, volume=segment.volume)
    model = VolumeModel.load(weights, options)
    labels, infos = label_volume(volume, model, segment, RunRecord(command="vitapps medical eval"), progress)
    names = {info.value: info.name for info in infos}
    told = f"{scan} segmented by {model.card.name}"
    return _evaluate(Volume(labels, volume.meta), told, truth, names, choices, options, progress)


def _evaluate(
    pred: Volume, told: str, truth: Path, names: Mapping[int, str], choices: EvalChoices, options: RunOptions,
    progress: Progress,
) -> EvalResult:  # fmt: skip
    notes: list[str] = []
    reference = read_volume(truth, labels=True)
    expected = whole_numbers(reference)
    found = on_grid(pred, reference.meta, notes)
    if choices.merge is not None:
        expected, found = (expected > 0).astype(np.int64), (found > 0).astype(np.int64)
        names = {1: choices.merge}
    elif choices.mapping is not None:
        expected = read_label_mapping(choices.mapping).apply(expected)
    ignored = expected == IGNORE
    if ignored.any():
        notes.append(f"{int(ignored.sum())} voxels are excluded by the mapping")
        found = np.where(ignored, 0, found)
    if not (expected > 0).any():
        raise UnreadableInputError(f"{truth}: no label to score", hint="check the file and --labels")
    expected = np.where(np.isin(expected, choices.skip), 0, expected)
    extra = sorted(set(np.unique(found).tolist()) - set(np.unique(expected).tolist()) - {0})
    if extra:
        notes.append(f"labels without truth, not scored: {', '.join(names.get(v, str(v)) for v in extra)}")
    scores = score_labels(
        found, expected, reference.meta.spacing, reference.meta.voxel_ml, names,
        tolerance_mm=choices.tolerance_mm, progress=progress,
    )  # fmt: skip
    result = EvalResult(pred=told, truth=truth, labels=scores, notes=tuple(notes))
    for note in notes:
        log.warning("%s", note)
    if choices.csv is not None:
        write_text(choices.csv, _csv(result), overwrite=options.overwrite)
    return result


def on_grid(pred: Volume, grid: VolumeMeta, notes: list[str]) -> NDArray[np.int64]:
    """Label numbers of `pred` on the grid of the truth: as they are, or by the nearest voxel, which is noted."""
    from scipy import ndimage

    labels = whole_numbers(pred)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)
    corners[:, :3] *= np.array(grid.shape) - 1
    apart = np.abs((grid.affine - pred.meta.affine) @ corners.T).max()
    if pred.meta.shape == grid.shape and apart < SAME_GRID_MM:
        return labels
    notes.append("the grids differ: the prediction was brought to the grid of the truth by its nearest voxels")
    to_pred = np.linalg.inv(pred.meta.affine) @ grid.affine  # truth index -> prediction index
    moved = ndimage.affine_transform(
        labels.astype(np.int32), to_pred[:3, :3], to_pred[:3, 3], output_shape=grid.shape, order=0, cval=0
    )  # fmt: skip
    return np.asarray(moved, np.int64)


def whole_numbers(volume: Volume) -> NDArray[np.int64]:
    """Label numbers of a label map. Raises UnreadableInputError for intensities or probabilities."""
    values = volume.array
    if values.dtype.kind == "f":
        rounded = np.rint(np.nan_to_num(values))
        if np.abs(rounded - np.nan_to_num(values)).max() > 1e-3:
            raise UnreadableInputError(
                f"{volume.meta.source}: fractions, not label numbers", hint="give a label map, not probabilities"
            )
        values = rounded
    return values.astype(np.int64)


def _check(choices: EvalChoices, options: RunOptions, inputs: tuple[Path, ...]) -> None:
    if choices.merge is not None and choices.mapping is not None:
        raise UsageError("--merge and --labels exclude each other", hint="leave one of them out")
    if not choices.tolerance_mm >= 0:
        raise UsageError(f"--tolerance {choices.tolerance_mm}: a distance in mm", hint="for example 1.0")
    if choices.csv is not None:
        check_output(choices.csv, overwrite=options.overwrite, sources=inputs)


def _names_beside(pred: Path) -> dict[int, str]:
    """Names from the `<stem>.labels.json` that `segment` wrote; empty when there is none."""
    try:
        rows = json.loads(labels_path(pred).read_text(encoding="utf-8"))["labels"]
        return {int(row["value"]): str(row["name"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _csv(result: EvalResult) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(LabelScore.__slots__)
    for label in result.labels:
        table.writerow([getattr(label, name) for name in LabelScore.__slots__])
    return stream.getvalue()
