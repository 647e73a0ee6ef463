"""Volumes of the labels of a label map, in voxels of the scan's grid and in mL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import write_text
from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.errors import UsageError


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """One structure: its voxels on the scan's own grid (hard labels) and their volume in mL (1 mL = 1000 mm3)."""

    value: int
    name: str
    voxels: int
    ml: float


def measure(labels: NDArray[Any], infos: Sequence[LabelInfo], voxel_ml: float) -> tuple[LabelVolume, ...]:
    """Count every label of `infos` but the background; a structure that is not there has volume 0."""
    top = max((info.value for info in infos), default=0)
    counts = np.zeros(top + 1, np.int64)
    for part in labels:  # slice by slice: bincount makes int64 copies
        counts += np.bincount(part.ravel(), minlength=top + 1)[: top + 1]
    return tuple(
        LabelVolume(info.value, info.name, int(counts[info.value]), round(float(counts[info.value]) * voxel_ml, 4))
        for info in infos
        if info.value
    )


def check_table_name(path: Path) -> None:
    """Raises UsageError unless the name ends in .csv or .json."""
    if path.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"{path}: not the name of a table", hint="end it in .csv or .json")


def write_volumes(path: Path, volumes: Sequence[LabelVolume], *, scan: Path, overwrite: bool = False) -> None:
    """Write a table by the suffix of `path`: CSV with a header line, or JSON."""
    check_table_name(path)
    if path.suffix.lower() == ".json":
        text = json.dumps({"scan": str(scan), "labels": [asdict(volume) for volume in volumes]}, indent=1) + "\n"
    else:
        stream = io.StringIO()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["scan", "value", "name", "voxels", "ml"])
        table.writerows([str(scan), v.value, v.name, v.voxels, v.ml] for v in volumes)
        text = stream.getvalue()
    write_text(path, text, overwrite=overwrite)
