"""`vitapps medical` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes.scans import affine, dicom_series, values, write_dicom
from fakes.volume_network import phantom, write_graph_card
from vitapps.apps.main import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_graph_card(tmp_path_factory.mktemp("card")))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    nib.save(nib.Nifti1Image(phantom()[0], affine((2, 2, 2), 15)), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def expected() -> np.ndarray:
    labels = phantom()[1]
    return np.where(labels == 53, 17, labels)


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["medical", *map(str, words)])
    shown = capfd.readouterr()
    return code, shown.out, shown.err


def test_segment(scan: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = scan.parent
    code, out, err = run(capfd, "segment", scan, "-o", folder / "seg.nii.gz", "-w", weights, "--threads", 1)
    assert code == 0, err
    np.testing.assert_array_equal(np.asarray(nib.load(folder / "seg.nii.gz").dataobj), expected())
    assert "left hippocampus" in out
    assert "mL" in err  # the phantom is no brain: said on stderr, and still a success
    code, out, err = run(capfd, "segment", scan, "-o", folder / "seg.nii.gz", "-w", weights)
    assert (code, out) == (5, "")
    assert "seg.nii.gz" in err


def test_segment_json(scan: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    extras = ("--preview", "--volumes", scan.parent / "v.json", "--tta")
    code, out, err = run(capfd, "segment", scan, "-w", weights, "--json", *extras)
    assert code == 0, err
    found = json.loads(out)
    assert found["out"].endswith("scan_seg.nii.gz")
    assert found["labels"][0]["voxels"] == int((expected() == 17).sum())
    assert found["warnings"]
    assert found["preview"].endswith("scan_seg.nii.gz.preview.png")
    made = ("scan_seg.nii.gz.preview.png", "v.json", "scan_seg.nii.gz.run.json")
    assert all((scan.parent / name).stat().st_size for name in made)


def test_formats_and_subsets(scan: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = scan.parent
    code, _, err = run(capfd, "segment", scan, "-w", weights, "--format", "nrrd", "--labels", "hippocampus,16")
    assert code == 0, err
    assert (folder / "scan_seg.seg.nrrd").exists()
    slices = dicom_series(np.flip((phantom()[0] * 1000).astype(np.int16), (0, 1)), step=(0, 0, 2), spacing=(2, 2))
    write_dicom(folder / "series", slices)
    code, _, err = run(capfd, "segment", folder / "series", "-o", folder / "seg.dcm", "-w", weights)
    assert code == 0, err
    code, out, err = run(capfd, "segment", scan, "-o", folder / "x.nii", "-w", weights, "--labels", "liver")
    assert (code, out) == (2, "")
    assert "liver" in err


def test_several_scans(scan: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = scan.parent
    (folder / "bad.nii").write_bytes(b"nothing")
    (folder / "out").mkdir()
    code, out, err = run(capfd, "segment", scan, folder / "bad.nii", "-o", folder / "out", "-w", weights)
    assert code == 6
    assert "scan_seg.nii.gz" in out
    assert "bad.nii" in err
    assert (folder / "out" / "scan_seg.nii.gz").exists()


def test_several_scans_print_one_json_object(
    scan: Path, weights: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    (tmp_path / "out").mkdir()
    words = ("-o", tmp_path / "out", "-w", weights, "--preview", "--json")
    code, out, err = run(capfd, "segment", scan, tmp_path / "bad.nii", *words)
    assert code == 6
    found = json.loads(out)
    assert [Path(item["input"]).name for item in found["results"]] == ["scan.nii.gz"]
    assert [Path(item["input"]).name for item in found["failures"]] == ["bad.nii"]
    assert (tmp_path / "out" / "scan_seg.nii.gz.preview.png").stat().st_size
    assert "bad.nii" in err


def test_missing_weights_are_no_fault_of_the_scans(scan: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (scan.parent / "out").mkdir()
    code, out, err = run(capfd, "segment", scan, scan, "-o", scan.parent / "out", "-w", "absent.toml")
    assert (code, out) == (2, "")  # the same scan twice would write one file twice
    (scan.parent / "other.nii.gz").write_bytes(scan.read_bytes())
    words = (scan, scan.parent / "other.nii.gz", "-o", scan.parent / "out", "-w", "absent.toml")
    code, out, err = run(capfd, "segment", *words)
    assert (code, out) == (4, "")
    assert "absent.toml" in err


def test_series_are_listed(tmp_path: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    slices = [*dicom_series(values(), series="1"), *dicom_series(values(), series="2")]
    code, _, err = run(capfd, "segment", write_dicom(tmp_path / "s", slices), "-w", weights)
    assert code == 3
    assert str(slices[0].SeriesInstanceUID) in err
    assert "--series" in err


def test_eval(scan: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("monai")
    truth = scan.parent / "truth.nii.gz"
    nib.save(nib.Nifti1Image(expected().astype(np.uint8), affine((2, 2, 2), 15)), truth)
    code, out, err = run(capfd, "eval", "--scan", scan, "--truth", truth, "-w", weights, "--json")
    assert code == 0, err
    assert json.loads(out)["mean"]["dice"] == 1
    code, out, err = run(capfd, "eval", truth, truth, "--csv", scan.parent / "s.csv")
    assert code == 0, err
    assert "of 2 labels" in out
    code, out, err = run(capfd, "eval", "--scan", scan, "--truth", truth, "-w", weights, "--merge", "brain")
    assert code == 0, err
    assert "brain" in out
    assert run(capfd, "eval", truth)[0] == 2


def test_a_cpu_run_imports_no_training_library(scan: Path, weights: str) -> None:
    words = ["medical", "segment", str(scan), "-o", str(scan.parent / "seg.nii.gz"), "-w", weights, "--device", "cpu",
             "--preview"]  # fmt: skip
    code = f"""
import sys
from vitapps.apps.main import main
code = main({words!r})
print([name for name in ("torch", "timm", "torchvision", "monai", "transformers") if name in sys.modules])
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_train_needs_label_maps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    words = ("train", "brain", "--labelmaps", tmp_path, "-o", tmp_path / "out", "--device", "cpu")
    code, out, err = run(capfd, *words)
    assert (code, out) == (3, "")
    assert "no label map" in err
    assert not (tmp_path / "out").exists()
