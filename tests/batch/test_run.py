"""A job in this process: each input once, skips, changes, faults, exit codes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fakes.batch_job import handled, make_job, outputs, run
from vitapps.errors import ExitCode

TEXTS = {f"{letter}.txt": f"hello {letter}" for letter in "abcde"}


def test_every_input_once_and_the_second_run_skips(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    first = run(job)
    assert (first.exit_code, first.counts.done, first.reason) == (ExitCode.OK, 5, "done")
    assert outputs(tmp_path) == {f"{letter}.loud": f"HELLO {letter.upper()}!" for letter in "abcde"}
    second = run(job)
    assert (second.exit_code, second.counts.done, second.counts.skipped) == (ExitCode.OK, 0, 5)
    assert sorted(handled(tmp_path)) == sorted(TEXTS)


def test_what_changed_is_done_again_and_nothing_else(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    run(job)
    (tmp_path / "in" / "a.txt").write_text("other")  # the content
    (tmp_path / "out" / "b.loud").unlink()  # the output is gone
    (tmp_path / "out" / "c.loud").write_text("someone's edit")  # the output is another
    os.utime(tmp_path / "in" / "d.txt", (1, 1))  # touched, also back in time: the content decides
    (tmp_path / "in" / "new.txt").write_text("new")
    result = run(job)
    assert (result.counts.done, result.counts.skipped) == (4, 2)
    assert sorted(handled(tmp_path)[5:]) == ["a.txt", "b.txt", "c.txt", "new.txt"]
    assert outputs(tmp_path)["a.loud"] == "OTHER!"
    assert run(job).counts.skipped == 6


def test_an_edit_that_keeps_size_and_time_is_seen_by_content(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"a.txt": "one"})
    path = tmp_path / "in" / "a.txt"
    run(job)
    stamp = path.stat()
    path.write_text("two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert run(job).counts.done == 0
    job.write_text(job.read_text().replace("[inputs]", '[inputs]\nidentity = "content"'))
    assert run(job).counts.done == 1
    assert outputs(tmp_path) == {"a.loud": "TWO!"}


@pytest.mark.parametrize(
    "change", [("[step.options]", "[step.options]\ntimes = 2"), ("[step.options]", 'weights = "v2"\n[step.options]')]
)
def test_other_options_or_weights_run_again(tmp_path: Path, change: tuple[str, str]) -> None:
    job = make_job(tmp_path, TEXTS)
    run(job)
    job.write_text(job.read_text().replace(*change))
    assert run(job).counts.done == 5
    assert run(job).counts.skipped == 5


def test_more_workers_are_no_reason_to_run_again(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    run(job)
    job.write_text(job.read_text().replace("workers = 1", "workers = 2") + "[compute]\nthreads = 1\n")
    assert run(job).counts.skipped == 5


def test_a_foreign_output_is_refused_and_kept(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.loud").write_text("precious")
    for _ in range(2):
        result = run(job)
        assert (result.exit_code, result.counts.bad) == (ExitCode.PARTIAL, 1)
        assert outputs(tmp_path)["a.loud"] == "precious"
    assert run(job, overwrite=True).exit_code == ExitCode.OK
    assert outputs(tmp_path)["a.loud"] == "HELLO A!"


def test_failures_are_quarantined_with_their_command(tmp_path: Path) -> None:
    from vitapps.pipelines.batch.status import job_status, retry

    job = make_job(tmp_path, {**TEXTS, "x.txt": "bad", "y.txt": "bug"})
    result = run(job)
    assert (result.exit_code, result.counts.done, result.counts.failed) == (ExitCode.PARTIAL, 5, 2)
    failed = {Path(record.key).name: record for record in job_status(tmp_path / "job.batch").failed}
    assert (failed["x.txt"].kind, failed["x.txt"].failures) == ("unreadable", 1)
    assert (failed["y.txt"].kind, failed["y.txt"].failures) == ("unexpected", 3)  # may pass: tried again twice
    out = tmp_path / "out" / "x.loud"
    assert failed["x.txt"].command == f"vitapps shout {tmp_path / 'in' / 'x.txt'} -o {out}"
    taken = len(handled(tmp_path))
    again = run(job)
    assert (again.counts.quarantined, again.counts.done, again.exit_code) == (2, 0, ExitCode.PARTIAL)
    assert len(handled(tmp_path)) == taken, "a quarantined input was tried again"
    (tmp_path / "in" / "x.txt").write_text("good now")
    assert run(job).counts.done == 1
    assert retry(tmp_path / "job.batch") == 1
    assert run(job).counts.failed == 1


def test_a_fault_that_passes_costs_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"a.txt": "flaky"})
    result = run(job)
    assert (result.exit_code, result.counts.done, result.counts.retried) == (ExitCode.OK, 1, 1)


@pytest.mark.parametrize(("limit", "code"), [("0", 6), ('"19%"', 6), ('"20%"', 0), ("1", 0)])
def test_max_failed(tmp_path: Path, limit: str, code: int) -> None:
    job = make_job(tmp_path, {**TEXTS, "a.txt": "bad"}, extra=f"[limits]\nworkers = 1\nmax_failed = {limit}")
    result = run(job)
    assert (result.exit_code, result.counts.done) == (code, 4)


def test_on_error_stop(tmp_path: Path) -> None:
    job = make_job(tmp_path, {**TEXTS, "a.txt": "bad"})
    job.write_text('on_error = "stop"\n' + job.read_text())
    result = run(job)
    assert (result.exit_code, result.reason) == (ExitCode.PARTIAL, "stopped")
    assert result.counts.done < 4
    (tmp_path / "in" / "a.txt").write_text("mended")
    assert run(job).exit_code == ExitCode.OK
    assert len(outputs(tmp_path)) == 5


def test_missing_weights_end_the_run(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    job.write_text(job.read_text().replace("[step.options]", 'weights = "none"\n[step.options]'))
    result = run(job)
    assert (result.exit_code, result.reason) == (ExitCode.MISSING, "stopped")
    assert "none" in result.error


def test_shards_part_the_inputs(tmp_path: Path) -> None:
    job = make_job(tmp_path, TEXTS)
    assert sum(run(job, shard=(index, 3)).counts.done for index in range(3)) == 5
    assert len(outputs(tmp_path)) == 5


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, TEXTS)
    run(job)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3e8)
    assert run(job).counts.skipped == 5
    (tmp_path / "in" / "a.txt").write_text("another")
    os.utime(tmp_path / "in" / "a.txt", (1e9, 1e9))  # older than what was done before
    assert run(job).counts.done == 1
    assert outputs(tmp_path)["a.loud"] == "ANOTHER!"
