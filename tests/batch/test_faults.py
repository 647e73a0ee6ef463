"""What an operator meets at night: hanging decoders, dying workers, full disks, vanished inputs, two runs at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fakes.batch_job import handled, make_job, outputs, run, start
from vitapps.errors import ExitCode, OutputError
from vitapps.pipelines.batch.status import cancel, clean, job_status, state_folder

TEXTS = {f"{number}.txt": f"text {number}" for number in range(6)}


def wait_for(what: object, seconds: float = 60.0) -> None:
    assert callable(what)
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def failed(folder: Path) -> dict[str, str]:
    return {Path(record.key).name: record.kind for record in job_status(folder / "job.batch").failed}


def test_an_input_that_hangs_the_decoder(tmp_path: Path) -> None:
    limits = "[limits]\nworkers = 1\ntimeout = 0.5\n[retry]\ntimes = 1\ndelay = 0"
    result = run(make_job(tmp_path, {**TEXTS, "3.txt": "hang"}, extra=limits))
    assert (result.exit_code, result.counts.done, result.counts.failed) == (ExitCode.PARTIAL, 5, 1)
    assert failed(tmp_path) == {"3.txt": "timeout"}
    assert handled(tmp_path).count("3.txt") == 2
    assert all(handled(tmp_path).count(name) == 1 for name in TEXTS if name != "3.txt")


def test_a_worker_that_is_killed_for_memory(tmp_path: Path) -> None:
    """What the kernel does to it is a SIGKILL: tried again when nothing else runs, then put aside."""
    result = run(make_job(tmp_path, {**TEXTS, "2.txt": "die"}, workers=2))
    assert (result.exit_code, result.counts.done) == (ExitCode.PARTIAL, 5)
    assert failed(tmp_path) == {"2.txt": "killed"}
    assert handled(tmp_path).count("2.txt") == 2
    assert handled(tmp_path)[-1] == "2.txt", "the second try was not after the others"
    assert sorted(set(handled(tmp_path))) == sorted(TEXTS)


def test_a_worker_that_outgrows_its_ceiling(tmp_path: Path) -> None:
    limits = '[limits]\nworkers = 1\nmemory = "200 MiB"'
    result = run(make_job(tmp_path, {"a.txt": "greedy 300", "b.txt": "fine"}, extra=limits))
    assert (result.counts.done, failed(tmp_path)) == (1, {"a.txt": "memory"})
    assert handled(tmp_path).count("a.txt") == 2


def test_a_full_disk_ends_the_run_and_blames_no_input(tmp_path: Path) -> None:
    job = make_job(tmp_path, {**TEXTS, "2.txt": "full"})
    result = run(job)
    assert (result.exit_code, result.reason) == (ExitCode.OUTPUT, "stopped")
    assert "No space left" in result.error
    assert failed(tmp_path) == {}
    (tmp_path / "in" / "2.txt").write_text("there is space again")
    assert run(job).exit_code == ExitCode.OK
    assert len(outputs(tmp_path)) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path / "out")], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("no right to mount")
    try:
        job = make_job(tmp_path, {f"{number}.txt": "x" * 20000 for number in range(8)})
        result = run(job)
        assert (result.exit_code, result.reason) == (ExitCode.OUTPUT, "stopped")
        made = outputs(tmp_path)
        assert 1 <= len(made) <= 3
        assert all(len(text) == 20001 for text in made.values()), "half an output"
        assert not list((tmp_path / "out").glob(".vitapps-*"))
        subprocess.run(["mount", "-o", "remount,size=1m", str(tmp_path / "out")], check=True)
        assert run(job).counts.done == 8 - len(made)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "out")], check=False)


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    (tmp_path / "out").write_text("a file where the folder should be")
    result = run(job)
    assert (result.exit_code, handled(tmp_path)) == (ExitCode.OUTPUT, [])
    assert str(tmp_path / "out") in result.error
    job.write_text(job.read_text().replace('"out"', '"/proc/nothing"'))
    assert run(job).exit_code == ExitCode.OUTPUT


def test_an_input_that_vanishes(tmp_path: Path) -> None:
    class Remove:
        def event(self, kind: str, fields: object, counts: object) -> None:
            if kind == "step_started":
                (tmp_path / "in" / "4.txt").unlink()

    job = make_job(tmp_path, TEXTS)
    result = run(job, Remove())  # type: ignore[arg-type]
    assert (result.exit_code, result.counts.done) == (ExitCode.PARTIAL, 5)
    assert failed(tmp_path) == {"4.txt": "vanished"}
    assert run(job).exit_code == ExitCode.OK, "it is no input any more"
    (tmp_path / "in" / "4.txt").write_text("back")
    assert run(job).counts.done == 1
    (tmp_path / "in" / "4.txt").unlink()
    assert clean(tmp_path / "job.batch")["rows"] == 1


def test_two_runs_of_one_job(tmp_path: Path) -> None:
    job = make_job(tmp_path, {**TEXTS, "0.txt": "hold"})
    first = start("run", job)
    try:
        wait_for(lambda: handled(tmp_path))
        with pytest.raises(OutputError, match=f"running already \\(process {first.pid} on"):
            run(job)
        second = start("run", job, "--json")
        out, _ = second.communicate(timeout=60)
        assert second.returncode == ExitCode.OUTPUT
        assert "running already" in json.loads(out)["error"]
        (tmp_path / "go").touch()
        assert first.wait(60) == 0
    finally:
        first.kill()
    assert sorted(handled(tmp_path)) == sorted(TEXTS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    job = make_job(tmp_path, TEXTS, options="seconds = 0.4")
    process = start("run", job)
    wait_for(lambda: handled(tmp_path))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert "interrupted" in out
    assert "Traceback" not in err
    taken = handled(tmp_path)
    assert 1 <= len(taken) < 6
    assert len(outputs(tmp_path)) == len(taken), "what was taken up was finished"
    assert job_status(tmp_path / "job.batch").items["shout"] == {"done": len(taken)}
    result = run(job)
    assert (result.counts.done, result.counts.skipped) == (6 - len(taken), len(taken))
    assert sorted(handled(tmp_path)) == sorted(TEXTS)


def test_a_drain_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"a.txt": "hang"}, extra="[limits]\nworkers = 1\ndrain = 0.5")
    process = start("run", job)
    wait_for(lambda: handled(tmp_path))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == ExitCode.INTERRUPTED


def test_cancel(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS, options="seconds = 0.4")
    process = start("run", job)
    wait_for(lambda: handled(tmp_path))
    assert cancel(state_folder(job))
    assert process.wait(60) == ExitCode.INTERRUPTED
    status = job_status(tmp_path / "job.batch")
    assert (status.running, status.last["state"]) == (False, "cancelled")
    assert not cancel(state_folder(job))
    assert run(job).exit_code == ExitCode.OK


def test_outside_its_window_a_job_pauses(tmp_path: Path) -> None:
    now = time.localtime()
    start_hour = (now.tm_hour + 2) % 24
    window = f'window = "{start_hour:02d}:00-{(start_hour + 1) % 24:02d}:00"'
    job = make_job(tmp_path, TEXTS, extra=f"[limits]\nworkers = 1\n{window}")
    result = run(job)
    assert (result.exit_code, result.reason, handled(tmp_path)) == (ExitCode.OK, "paused", [])


def test_the_workers_die_with_a_killed_driver(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"a.txt": "sleep 2", **TEXTS})
    process = start("run", job)
    wait_for(lambda: handled(tmp_path))
    process.kill()
    process.wait()
    time.sleep(2.5)
    assert outputs(tmp_path).get("a.loud") is None or handled(tmp_path)[0] != "a.txt", "an orphan wrote"
    assert run(job).exit_code == ExitCode.OK
    assert job_status(tmp_path / "job.batch").runs == 2
    assert len(outputs(tmp_path)) == 7


def test_leftovers_of_a_killed_worker_are_removed(tmp_path: Path) -> None:
    from vitapps.pipelines.batch.journal import Journal

    job = make_job(tmp_path, TEXTS)
    run(job)
    journal = Journal(tmp_path / "job.batch" / "journal.sqlite")
    journal.run = 1
    journal.add_workers([4242])
    journal.release(everything=True)  # as if they had been in flight
    journal.close()
    for name in (".vitapps-4242-x", ".vitapps-4243-y"):
        (tmp_path / "out" / name).mkdir()
    run(job)
    assert [path.name for path in (tmp_path / "out").glob(".vitapps-*")] == [".vitapps-4243-y"], "another's is kept"


def test_a_watched_folder(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"0.txt": "first"})
    job.write_text(job.read_text().replace('glob = "in/*.txt"', 'watch = "in"\npattern = "*.txt"\nsettle = 0.2'))
    process = start("run", job)
    try:
        wait_for(lambda: len(outputs(tmp_path)) == 1 if (tmp_path / "out").exists() else False)
        (tmp_path / "in" / "1.txt").write_text("second")
        wait_for(lambda: len(outputs(tmp_path)) == 2)
        (tmp_path / "in" / "0.txt").write_text("changed while it runs")
        wait_for(lambda: outputs(tmp_path)["0.loud"].startswith("CHANGED"))
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.INTERRUPTED


def test_urls(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    assert fsspec
    job = make_job(tmp_path, TEXTS)
    job.write_text(job.read_text().replace('glob = "in/*.txt"', f'url = "file://{tmp_path}/in/*.txt"'))
    assert run(job).counts.done == 6
    assert len(outputs(tmp_path)) == 6
    assert run(job).counts.skipped == 6
    (tmp_path / "in" / "0.txt").write_text("changed")
    assert run(job).counts.done == 1
