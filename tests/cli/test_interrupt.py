"""Ctrl-C and SIGTERM in the middle of a command, sent to a real process: exit 130, and no unfinished output is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes import discs, volume_network
from fakes.scans import affine
from vitapps.errors import ExitCode

OLD = b"an earlier result"
PATIENCE = 120  # seconds; a busy machine takes many to import torch
# Runs a command in which one function, instead of doing its work, begins a file, says so and waits to be stopped.
CHILD = """
import importlib, pathlib, sys, time
from vitapps.apps.main import main
place, marker, *words = sys.argv[1:]
module, _, name = place.partition(":")
*owners, name = name.split(".")
owner = importlib.import_module(module)
for part in owners:
    owner = getattr(owner, part)
def wait(*values, **named):
    for value in values:
        if isinstance(value, pathlib.Path) and not value.exists():
            value.write_bytes(b"half of")
    pathlib.Path(marker).touch()
    while True:
        time.sleep(0.01)
setattr(owner, name, wait)
sys.exit(main(words))
"""
PREDICT = "vitapps.shared_backbones.engines.model:CompiledModel.__call__"
MEDICAL = {
    "read": "vitapps.datasets.formats.nifti:read_nifti",
    "predict": "vitapps.pipelines.medical.volume_model:VolumeModel._answers",  # the network lends its answers
    "write": "vitapps.datasets.formats.label_map:_write",
    "preview": "vitapps.pipelines.medical.segment:draw_preview",
}
RS = {
    "read": "vitapps.pipelines.rs.detect:choose_range",
    "predict": PREDICT,
    "write": "vitapps.pipelines.rs.detect:write_table",
    "preview": "vitapps.pipelines.rs.preview:Preview.save",
}
STAGES = [("medical", stage) for stage in MEDICAL] + [("rs", stage) for stage in RS]


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("medical", "rs")}
    makers = {"medical": volume_network.write_graph_card, "rs": discs.write_graph_card}
    return {name: makers[name](folder) for name, folder in folders.items()}


def stopped(place: str, words: list[str], number: signal.Signals, folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the command, wait until it is in the middle, and send what a terminal sends to its whole group, or `kill`
    to the one process."""
    marker = folder / "marker"
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", CHILD, place, str(marker), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    try:
        for _ in waiting():
            if marker.exists() or child.poll() is not None:
                break
        assert child.poll() is None, child.communicate()
        (os.killpg if number == signal.SIGINT else os.kill)(child.pid, number)
        out, err = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
        child.wait()
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def waiting() -> Iterator[None]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(0.02)


def assert_interrupted(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr == "vitapps: error: interrupted, no unfinished output is left\n"
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("domain", "stage"), STAGES)
def test_inference(domain: str, stage: str, number: signal.Signals, cards: dict[str, Path], tmp_path: Path) -> None:
    if domain == "medical":
        source, out, verb, place = tmp_path / "scan.nii.gz", "out.nii.gz", "segment", MEDICAL[stage]
        nib.save(nib.Nifti1Image(volume_network.phantom()[0], affine((2, 2, 2), 15)), source)
    else:
        source, out, verb, place = tmp_path / "tile.tif", "out.gpkg", "detect", RS[stage]
        discs.write(source, discs.draw((90, 90), [(40.0, 40.0, 8.0)]))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / out).write_bytes(OLD)
    words = [domain, verb, str(source), "-o", str(folder / out), "--overwrite", "--preview", "-w", str(cards[domain])]
    assert_interrupted(stopped(place, [*words, "--threads", "1", "--quiet"], number, tmp_path))
    assert os.listdir(folder) == [out]
    assert (folder / out).read_bytes() == OLD


@pytest.mark.parametrize(
    ("place", "number"), [("vitapps.pipelines.runtime.fit:_step", signal.SIGINT), ("torch:save", signal.SIGTERM)]
)
def test_training(place: str, number: signal.Signals, tmp_path: Path) -> None:
    """A checkpoint that was begun is no checkpoint; the generator process goes, too."""
    pytest.importorskip("torch")
    codes = np.zeros((40, 40, 40), np.int16)
    codes[5:35, 5:35, 5:35] = 2
    (tmp_path / "maps").mkdir()
    nib.save(nib.Nifti1Image(codes, np.eye(4)), tmp_path / "maps" / "one.nii.gz")
    words = ["medical", "train", "brain", "--labelmaps", str(tmp_path / "maps"), "-o", str(tmp_path / "model")]
    assert_interrupted(stopped(place, [*words, "--stages", "12:1", "--device", "cpu"], number, tmp_path))
    assert os.listdir(tmp_path / "model") == []


def test_the_demo(tmp_path: Path) -> None:
    """Commands inside the demo stop, and so does the demo; finished samples stay, unfinished outputs do not."""
    place = "vitapps.datasets.formats.volume:read_volume"
    done = stopped(place, ["demo", "-o", str(tmp_path / "demo")], signal.SIGINT, tmp_path)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert os.listdir(tmp_path / "demo") == ["head_flair.nii.gz"]
