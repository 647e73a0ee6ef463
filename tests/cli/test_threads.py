"""`--threads` reaches everything that computes, and what was used stands in the run record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib

from fakes.scans import affine
from fakes.volume_network import phantom, write_graph_card


def test_threads_and_precision_are_honoured_and_recorded(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(phantom()[0], affine((2, 2, 2), 15)), tmp_path / "scan.nii.gz")
    words = ["medical", "segment", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "seg.nii.gz"), "-w",
             str(write_graph_card(tmp_path)), "--threads", "1", "--precision", "exact", "--device", "cpu"]  # fmt: skip
    code = f"""
import os
from vitapps.apps.main import main
assert main({words!r}) == 0
# set only while numpy is not loaded yet, so that its BLAS has read them
assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "seg.nii.gz.run.json").read_text())
    assert (record["threads"], record["precision"], record["engine"]) == (1, "exact", "openvino")
    assert record["options"]["threads"] == 1
