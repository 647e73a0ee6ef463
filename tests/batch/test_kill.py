"""The test that the journal is for: kill the job at random moments, start it again, and count."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from fakes.batch_job import handled, make_job, outputs, run, start
from vitapps.errors import ExitCode
from vitapps.pipelines.batch.status import job_status

WORKERS, AHEAD = 2, 2


def killed_job(folder: Path, files: int, kills: int, seconds: float, seed: int) -> int:
    """Run a job of small files with `kills` SIGKILLs at random moments; how many fell into the work itself."""
    texts = {f"{number:03d}.txt": f"text {number} " * 20 for number in range(files)}
    job = make_job(folder, texts, workers=WORKERS, options=f"seconds = {seconds}")
    rng, hits = random.Random(seed), 0
    for kill in range(kills):
        before = len(handled(folder))
        process = start("run", job)
        end = time.monotonic() + 60
        share = (files - len(set(handled(folder)))) // (kills - kill)  # spread over the whole job
        wanted = before + rng.randint(0, max(1, 2 * share - 1))
        while len(handled(folder)) < wanted and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, seconds))
        hits += process.poll() is None and len(handled(folder)) > before
        process.kill()
        process.communicate()
    assert run(job).exit_code == ExitCode.OK
    return hits


def check(folder: Path, files: int, kills: int, hits: int) -> None:
    names = {f"{number:03d}.txt" for number in range(files)}
    expected = {f"{number:03d}.loud": (f"text {number} " * 20).upper() + "!" for number in range(files)}
    assert outputs(folder) == expected, "lost, torn or different from an undisturbed run"
    taken = handled(folder)
    assert set(taken) == names
    assert len(taken) - files <= hits * WORKERS * AHEAD, "more was done twice than can have been in flight"
    status = job_status(folder / "job.batch")
    assert status.items == {"shout": {"done": files}}
    again = run(folder / "job.toml")
    assert (again.counts.skipped, again.counts.done) == (files, 0)
    assert len(handled(folder)) == len(taken)


def test_killed_and_started_again(tmp_path: Path) -> None:
    hits = killed_job(tmp_path, files=60, kills=6, seconds=0.02, seed=7)
    assert hits >= 3, "the kills missed the work"
    check(tmp_path, 60, 6, hits)


@pytest.mark.slow
def test_300_files_and_25_kills(tmp_path: Path) -> None:
    hits = killed_job(tmp_path, files=300, kills=25, seconds=0.02, seed=11)
    print(f"{hits} of 25 kills hit the work; {len(handled(tmp_path)) - 300} items were done twice")  # noqa: T201
    assert hits >= 15
    check(tmp_path, 300, 25, hits)
