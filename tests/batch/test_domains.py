"""The tasks of the domains: the example job, twice, with networks whose answer is known."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes import discs, volume_network
from fakes.scans import affine
from vitapps.apps.main import main
from vitapps.pipelines.batch.job_file import read_job
from vitapps.pipelines.batch.task import task_names

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "nightly.toml"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The example, over two generated inputs a domain and a bad one, with the fake weights."""
    samples = tmp_path / "samples"
    samples.mkdir()
    for number in (1, 2):
        discs.write(samples / f"tile{number}.tif", discs.draw((96, 128), [(40.0, 40.0, 8.0)] * number))
        nib.save(nib.Nifti1Image(volume_network.phantom()[0], affine((2, 2, 2))), samples / f"scan{number}.nii.gz")
    (samples / "bad.tif").write_bytes(b"nothing")
    fakes = {"medical.segment": volume_network, "rs.detect": discs}
    head, *steps = EXAMPLE.read_text().replace("../datasets/samples/", "samples/").split("[[step]]")
    text = "[[step]]".join([head, *(step for step in steps if any(f'"{task}"' in step for task in fakes))])
    for task, fake in fakes.items():
        folder = tmp_path / task
        folder.mkdir()
        card = fake.write_graph_card(folder)
        text = text.replace(f'task = "{task}"', f'task = "{task}"\nweights = "{card}"')
    path = tmp_path / "nightly.toml"
    path.write_text(text + "\n[compute]\nthreads = 1\n")
    return path


def test_the_example_names_every_domain() -> None:
    named = {step.task.partition(".")[0] for step in read_job(EXAMPLE).steps}
    assert named == {task.partition(".")[0] for task in task_names()}


def test_the_example_twice(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "check", str(job)]) == 0
    assert "2 of 2 inputs to do" in capfd.readouterr().out
    assert main(["batch", "run", str(job), "--json"]) == 6
    first = json.loads(capfd.readouterr().out)
    assert {name: (step["done"], step["failed"]) for name, step in first["steps"].items()} == {
        "brain": (2, 0), "trees": (2, 1)
    }  # fmt: skip
    out = job.parent / "out"
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"brain/scan1_seg.nii.gz", "brain/scan1_seg.nii.gz.preview.png", "brain/scan1_seg_volumes.csv",
            "brain/scan1_seg.nii.gz.run.json", "brain/scan1_seg.labels.json", "trees/tile2_detections.gpkg",
            "trees/tile2_detections.gpkg.preview.png", "trees/tile2_detections.gpkg.run.json"} <= made  # fmt: skip
    expected = np.where(volume_network.phantom()[1] == 53, 17, volume_network.phantom()[1])
    np.testing.assert_array_equal(np.asarray(nib.load(out / "brain" / "scan1_seg.nii.gz").dataobj), expected)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(["batch", "run", str(job), "--json"]) == 6
    second = json.loads(capfd.readouterr().out)["counts"]
    assert (second["done"], second["skipped"], second["quarantined"]) == (0, 4, 1)
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(["batch", "report", str(job)]) == 0
    assert "data:image/jpeg" in (job.parent / "nightly.batch" / "report.html").read_text()


def test_the_commands_reproduce_outputs_and_failures(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["batch", "run", str(job), "--quiet"])
    capfd.readouterr()
    assert main(["batch", "status", str(job), "--json"]) == 0
    (failed,) = json.loads(capfd.readouterr().out)["failed"]
    assert main(shlex.split(failed["command"])[1:]) == 3
    assert "bad.tif" in capfd.readouterr().err
    out = job.parent / "out" / "brain" / "scan1_seg.nii.gz"
    before = nib.load(out).get_fdata()
    command = json.loads((out.parent / f"{out.name}.run.json").read_text())["command"]
    assert re.match(r"vitapps medical segment .*scan1.nii.gz -o ", command)
    assert main(shlex.split(command)[1:]) == 0
    np.testing.assert_array_equal(nib.load(out).get_fdata(), before)


def test_an_option_that_no_raster_fits_names_its_line(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job.write_text(job.read_text() + "\n[[step]]\nname = 'x'\ntask = 'rs.detect'\ninputs = {glob = 'a'}\n"
                   "[step.options]\nmin-score = 7.0\n")  # fmt: skip
    assert main(["batch", "check", str(job)]) == 2
    err = capfd.readouterr().err
    assert re.search(r"nightly\.toml:\d+: step\[2\]\.options: --min-score 7", err), err


def test_modality(tmp_path: Path) -> None:
    from fakes.scans import dicom_series, values, write_dicom
    from vitapps.pipelines.batch.inputs import list_inputs
    from vitapps.pipelines.batch.job import Filters, Inputs
    from vitapps.pipelines.batch.task import find_task

    for kind in ("CT", "MR"):
        write_dicom(tmp_path / kind, dicom_series(values(), modality=kind))
    nib.save(nib.Nifti1Image(volume_network.phantom()[0], affine()), tmp_path / "scan.nii.gz")
    task = find_task("medical.segment")
    found, refused = list_inputs(Inputs(glob=("*",)), Filters(modality=("MR",)), task, tmp_path)
    assert ([Path(item.key).name for item in found], refused) == (["MR"], 2)
