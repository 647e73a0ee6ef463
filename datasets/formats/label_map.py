"""Label maps back on the grid of the scan they came from: one writer, three formats, chosen by suffix or by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.label_info import LabelInfo, label_dtype_name
from vitapps.datasets.formats.volume_types import VolumeMeta
from vitapps.errors import OutputError, UsageError

LabelFormat = Literal["nifti", "nrrd", "dicom-seg"]
SUFFIX: dict[LabelFormat, str] = {"nifti": ".nii.gz", "nrrd": ".seg.nrrd", "dicom-seg": ".dcm"}
_ENDINGS: tuple[tuple[str, LabelFormat], ...] = (
    (".nii.gz", "nifti"), (".nii", "nifti"), (".nrrd", "nrrd"), (".dcm", "dicom-seg"),
)  # fmt: skip


def label_format(path: Path, wanted: str | None = None) -> LabelFormat:
    """Format of an output name; `wanted` must agree with its suffix. Raises UsageError."""
    if wanted is not None and wanted not in get_args(LabelFormat):
        raise UsageError(f"--format {wanted}: no such format", hint="nifti, nrrd or dicom-seg")
    name = path.name.lower()
    told = next((kind for ending, kind in _ENDINGS if name.endswith(ending)), None)
    if told is None:
        raise UsageError(f"{path}: not the name of a label map", hint="end it in .nii.gz, .nii, .nrrd or .dcm")
    if wanted is not None and told != wanted:
        raise UsageError(
            f"{path}: the suffix says {told}, --format says {wanted}", hint=f"end it in {SUFFIX[wanted]}"  # type: ignore[index]
        )  # fmt: skip
    return told


def labels_path(out: Path) -> Path:
    """`seg.nii.gz` -> `seg.labels.json`, the names and colours beside the label map."""
    name = out.name
    for ending in (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".dcm"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return out.with_name(f"{name}.labels.json")


def write_label_map(
    path: Path,
    labels: NDArray[Any],
    meta: VolumeMeta,
    infos: Sequence[LabelInfo],
    *,
    wanted: str | None = None,
    source: str = "vitapps",
    overwrite: bool = False,
) -> None:
    """Write `labels` (X Y Z integers, the grid of `meta`) and `<stem>.labels.json` with their names, atomically.

    `infos` describes every value but 0; `source` names the algorithm. Raises OutputError or UsageError.
    """
    check_output(labels_path(path), overwrite=overwrite)
    with atomic_path(path, overwrite=overwrite) as temporary:
        write_label_files(temporary, labels, meta, infos, wanted=wanted, source=source)


def write_label_files(
    path: Path,
    labels: NDArray[Any],
    meta: VolumeMeta,
    infos: Sequence[LabelInfo],
    *,
    wanted: str | None = None,
    source: str = "vitapps",
) -> None:
    """What `write_label_map` writes, in place: for a caller who moves more files than these two at once."""
    kind = label_format(path, wanted)
    if labels.shape != meta.shape:
        raise ValueError(f"labels {labels.shape} are not on the grid {meta.shape} of {meta.source}")
    typed = labels.astype(np.dtype(label_dtype_name(infos)), copy=False)
    try:
        _write(kind, path, typed, meta, infos, source)
    except RuntimeError as error:  # ITK's word for a full disk
        raise OutputError(f"{path.name}: {str(error).splitlines()[0]}", hint="check free disk space") from error
    labels_path(path).write_text(_names(infos), encoding="utf-8")


def _write(
    kind: LabelFormat, path: Path, labels: NDArray[Any], meta: VolumeMeta, infos: Sequence[LabelInfo], source: str
) -> None:
    if kind == "nifti":
        from vitapps.datasets.formats.nifti_labels import write_nifti_labels

        write_nifti_labels(path, labels, meta, source)
    elif kind == "nrrd":
        from vitapps.datasets.formats.nrrd_labels import write_nrrd_labels

        write_nrrd_labels(path, labels, meta, infos)
    else:
        from vitapps.datasets.formats.dicom_seg import write_dicom_seg

        write_dicom_seg(path, labels, meta, infos, source)


def _names(infos: Sequence[LabelInfo]) -> str:
    rows = [{"value": info.value, "name": info.name, "color": list(info.color)} for info in infos if info.value]
    return json.dumps({"labels": rows}, indent=1) + "\n"
