"""core: outputs are whole or absent, records are strict JSON, missing packages are named."""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from vitapps.atomic import atomic_path, check_output, write_text
from vitapps.errors import ExitCode, MissingError, OutOfMemoryError, OutputError, UsageError, VitappsError
from vitapps.jsonable import json_ready, json_text
from vitapps.progress import null_progress
from vitapps.provenance import RunRecord, record_path, sha256_file, write_run_record
from vitapps.require import require, without


def listing(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_success_leaves_exactly_the_output(tmp_path: Path) -> None:
    write_text(tmp_path / "out.txt", "grün")
    assert listing(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_bytes() == "grün".encode()


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_failure_leaves_nothing_and_passes_through(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), atomic_path(tmp_path / "out.bin") as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert listing(tmp_path) == []


def test_failure_keeps_the_existing_output(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(out, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert out.read_text() == "old"
    assert listing(tmp_path) == ["out.txt"]


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        write_text(out, "new")
    write_text(out, "new", overwrite=True)
    assert out.read_text() == "new"


def test_the_input_is_never_replaced(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii"
    scan.write_text("precious")
    link = tmp_path / "link.nii"
    link.symlink_to(scan)
    hard = tmp_path / "hard.nii"
    hard.hardlink_to(scan)
    folder, shortcut = tmp_path / "series", tmp_path / "shortcut"
    folder.mkdir()
    (folder / "1.dcm").write_text("precious")
    shortcut.symlink_to(folder)
    other = tmp_path / "other.nii"
    for out in (scan, link, hard):
        with pytest.raises(OutputError, match=r"is the input .* itself"):
            check_output(out, overwrite=True, sources=[other, scan])
    for out in (folder / "1.dcm", shortcut / "1.dcm"):
        with pytest.raises(OutputError, match="lies in the input"):
            check_output(out, overwrite=True, sources=[folder])
    check_output(folder / "new.dcm", overwrite=True, sources=[folder])
    other.write_text("an output")
    check_output(other, overwrite=True, sources=[tmp_path / ("long" * 100)])  # of that name there is no input
    other.unlink()
    other.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        check_output(other, overwrite=False)


def test_unusable_targets_are_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    targets = {
        tmp_path / "folder": "is a folder",
        tmp_path / "absent" / "out": "no such folder",
        tmp_path / "file" / "out": "no such folder",
        tmp_path / "pipe": "is a device or a pipe",
        tmp_path / ("long" * 100): "too long",
    }
    for target, fault in targets.items():
        with pytest.raises(OutputError, match=fault) as caught:
            check_output(target, overwrite=True)
        assert caught.value.hint
        assert caught.value.exit_code == ExitCode.OUTPUT


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere, so the answer is planted
    with pytest.raises(OutputError, match="not writable"):
        write_text(tmp_path / "out.txt", "x")
    assert listing(tmp_path) == []


def test_full_disk_is_an_output_error_and_a_reading_error_is_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), atomic_path(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "input").read_bytes()
    with pytest.raises(OutputError, match="made no file"), atomic_path(tmp_path / "out"):
        pass
    assert listing(tmp_path) == []


def test_companions_move_together_or_not_at_all(tmp_path: Path) -> None:
    def write_shapefile(overwrite: bool) -> None:
        with atomic_path(tmp_path / "trees.shp", overwrite=overwrite) as temporary:
            for suffix in (".shp", ".dbf", ".shx"):
                temporary.with_suffix(suffix).write_text("new")

    (tmp_path / "trees.dbf").write_text("somebody's table")
    with pytest.raises(OutputError, match=r"trees\.dbf: exists already"):
        write_shapefile(overwrite=False)
    assert listing(tmp_path) == ["trees.dbf"]
    write_shapefile(overwrite=True)
    assert listing(tmp_path) == ["trees.dbf", "trees.shp", "trees.shx"]
    assert (tmp_path / "trees.dbf").read_text() == "new"


def test_a_name_of_the_longest_length_is_written(tmp_path: Path) -> None:
    out = tmp_path / ("n" * 251 + ".txt")
    write_text(out, "x")
    assert listing(tmp_path) == [out.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_no_output(tmp_path: Path, number: signal.Signals) -> None:
    script = """
import signal, sys, time
from pathlib import Path
from vitapps.apps.failure import guarded
from vitapps.atomic import atomic_path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
def work():
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
sys.exit(guarded(work, []))
"""
    command = [sys.executable, "-P", "-c", script, str(tmp_path / "out.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    assert listing(tmp_path) == []


def test_run_record_is_strict_json_beside_the_output(tmp_path: Path) -> None:
    out = tmp_path / "seg.nii.gz"
    record = RunRecord(command="vitapps", results={"volume": float("nan"), "labels": np.arange(3)})
    with record.timed("read"):
        pass
    with record.timed("read"):
        pass
    assert write_run_record(out, record) == record_path(out) == tmp_path / "seg.nii.gz.run.json"
    write_run_record(out, record)  # a second run replaces it
    read = json.loads(record_path(out).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["results"] == {"volume": None, "labels": [0, 1, 2]}
    assert list(read["timings"]) == ["read"]
    assert read["versions"]["numpy"] == np.__version__


def test_json_of_what_the_code_holds() -> None:
    @dataclass(frozen=True, slots=True)
    class Box:
        path: Path
        score: float

    value = {"box": Box(Path("a/b"), np.float32(0.5)), "set": {1}, "flag": np.bool_(True), 3: float("inf")}
    assert json_ready(value) == {
        "box": {"path": "a/b", "score": 0.5},
        "set": [1],
        "flag": True,
        "3": None,
    }
    not_utf8 = os.fsdecode(b"caf\xe9.tif")
    assert json.loads(json_text({"path": Path(not_utf8)})) == {"path": "caf\\xe9.tif"}


def test_sha256_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b").write_bytes(b"2" * 3_000_000)
    (tmp_path / "sub" / "a").write_bytes(b"1")
    assert sha256_file(tmp_path / "b") == hashlib.sha256(b"2" * 3_000_000).hexdigest()
    assert sha256_file(tmp_path) == hashlib.sha256(b"2" * 3_000_000 + b"1").hexdigest()


def test_require_names_the_package_and_the_extra() -> None:
    with pytest.raises(MissingError, match="'no-such-thing' is not installed") as caught:
        require("no_such_thing", extra="rs", package="no-such-thing")
    assert "pip install -U no-such-thing" in caught.value.hint
    assert "vitapps[rs]" in caught.value.hint
    assert caught.value.exit_code == ExitCode.MISSING
    assert require("json") is json
    with pytest.raises(MissingError, match=r"too old: it has no 'json\.absent'"):
        require("json.absent")


def test_require_does_not_blame_a_package_for_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "absentplus.py").write_text("import absent")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("absentplus")
    assert caught.value.name == "absent"


@pytest.mark.parametrize(
    ("make", "kind"),
    [(lambda: UsageError("m", hint="h"), ValueError), (lambda: OutOfMemoryError("m", hint="h"), MemoryError)],
)
def test_errors_are_also_what_python_calls_them(make: Callable[[], VitappsError], kind: type[Exception]) -> None:
    error = make()
    assert isinstance(error, kind)
    assert str(error) == "m (h)"


def test_null_progress_accepts_everything() -> None:
    with null_progress.task("reading", total=None) as task:
        task.advance()
        task.advance(2.5)


def test_without_hides_a_package_for_a_moment() -> None:
    with without("vitapps_no_such"), pytest.raises(ImportError):
        importlib.import_module("vitapps_no_such")
    assert "vitapps_no_such" not in sys.modules
    with without("json"):  # loaded already: it stays
        assert importlib.import_module("json") is json
