"""Several scans in one run give what each gives alone; a folder of scans stands for them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes.scans import affine
from fakes.volume_network import loader, phantom
from vitapps.pipelines.medical.inputs import scans_in
from vitapps.pipelines.medical.segment import segment, segment_many
from vitapps.pipelines.medical.volume_model import VolumeModel


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VolumeModel, "load", loader())


def write_scan(path: Path, shift: int) -> Path:
    image = np.roll(phantom()[0], shift, axis=1)
    nib.save(nib.Nifti1Image(image, affine((2.0, 2.0, 2.0))), path)
    return path


def test_many_scans_give_what_each_gives_alone(tmp_path: Path) -> None:
    scans = [write_scan(tmp_path / f"scan{index}.nii.gz", index) for index in range(5)]
    (tmp_path / "scan9.nii.gz").write_bytes(b"no scan")
    (tmp_path / "many").mkdir()
    (tmp_path / "alone").mkdir()
    batch = segment_many([scans[0], tmp_path / "scan9.nii.gz", *scans[1:]], tmp_path / "many")
    assert [result.input for result in batch.results] == scans
    assert [path for path, _ in batch.failures] == [tmp_path / "scan9.nii.gz"]
    for scan, result in zip(scans, batch.results, strict=True):
        alone = segment(scan, tmp_path / "alone")
        assert np.array_equal(nib.load(result.out).get_fdata(), nib.load(alone.out).get_fdata())
        record = json.loads(Path(f"{result.out}.run.json").read_text())
        assert record["engine"] == "fake"
        assert list(record["inputs"]) == [str(scan)]
    assert not [item for item in (tmp_path / "many").iterdir() if item.name.startswith(".")]


def test_a_folder_stands_for_its_scans(tmp_path: Path) -> None:
    folder, dicom = tmp_path / "scans", tmp_path / "dicom"
    folder.mkdir()
    dicom.mkdir()
    for name in ("b.nii.gz", "a.mha", "c.hdr", "c.img", "b_seg.nii.gz", ".hidden.nii", "notes.txt"):
        (folder / name).write_bytes(b"")
    (dicom / "1.dcm").write_bytes(b"")
    single = tmp_path / "x_seg.nii"
    assert scans_in([folder, dicom, single]) == [folder / "a.mha", folder / "b.nii.gz", folder / "c.hdr", dicom, single]
