"""Voxels and millilitres."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.errors import OutputError, UsageError
from vitapps.pipelines.medical.volumes import LabelVolume, measure, write_volumes

INFOS = (LabelInfo(value=0, name="background"), LabelInfo(value=5, name="a"), LabelInfo(value=300, name="b, c"))


def test_measure() -> None:
    labels = np.zeros((10, 10, 10), np.uint16)
    labels[0, :4, :5] = 5
    found = measure(labels, INFOS, 0.002)
    assert found == (LabelVolume(5, "a", 20, 0.04), LabelVolume(300, "b, c", 0, 0.0))


def test_tables(tmp_path: Path) -> None:
    volumes = (LabelVolume(5, "a", 20, 0.04), LabelVolume(300, "b, c", 0, 0.0))
    write_volumes(tmp_path / "v.csv", volumes, scan=Path("scan.nii"))
    rows = list(csv.DictReader((tmp_path / "v.csv").open()))
    assert rows[1] == {"scan": "scan.nii", "value": "300", "name": "b, c", "voxels": "0", "ml": "0.0"}
    write_volumes(tmp_path / "v.json", volumes, scan=Path("scan.nii"))
    assert json.loads((tmp_path / "v.json").read_text())["labels"][0]["ml"] == 0.04
    with pytest.raises(OutputError):
        write_volumes(tmp_path / "v.csv", volumes, scan=Path("scan.nii"))
    with pytest.raises(UsageError):
        write_volumes(tmp_path / "v.xlsx", volumes, scan=Path("scan.nii"))
