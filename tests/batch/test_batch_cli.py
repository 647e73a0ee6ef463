"""`vitapps batch` as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.batch_job import make_job
from vitapps.apps.main import main
from vitapps.pipelines.batch.events import Counts, Prometheus, Rate, progress_line


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["batch", *map(str, words)])
    shown = capfd.readouterr()
    return code, shown.out, shown.err


def test_from_init_to_clean(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "init", "rs.detect", "-o", tmp_path / "new.toml")
    assert (code, (tmp_path / "new.toml").exists()) == (0, True)
    assert run(capfd, "init", "rs.detect", "-o", tmp_path / "new.toml")[0] == 5
    assert run(capfd, "init", "rs.detcet")[0] == 2
    job = make_job(tmp_path, {"a.txt": "hello", "b.txt": "bad"}, extra='[metrics]\nprometheus = "job.prom"')
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = run(capfd, "check", job)
    assert (code, sorted(tmp_path.rglob("*"))) == (0, before), "check touched something"
    assert "2 of 2 inputs to do" in out
    code, out, err = run(capfd, "run", job, "--json-lines", "--progress")
    assert code == 6
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert (kinds[:2], kinds[-2:]) == (["run_started", "step_started"], ["step_ended", "run_ended"])
    assert sorted(kinds[2:-2]) == ["item_done", "item_failed"]
    assert events[-1]["exit_code"] == 6
    assert "shout  2/2" in err
    metrics = (tmp_path / "job.prom").read_text()
    assert 'vitapps_batch_items{job="job",step="shout",state="failed"} 1' in metrics
    assert 'vitapps_batch_last_exit_code{job="job"} 6' in metrics
    code, out, _ = run(capfd, "status", job)
    assert (code, "FAILED" in out, "vitapps shout" in out) == (0, True, True)
    (tmp_path / "in" / "b.txt").write_text("good")
    assert run(capfd, "retry", job)[0] == 0
    code, out, _ = run(capfd, "report", job, "--json")
    assert (code, json.loads(out)["items"], json.loads(out)["failed"]) == (0, 2, 0)
    assert run(capfd, "cancel", job)[1] == "no run goes on\n"
    assert run(capfd, "clean", job)[0] == 0
    assert run(capfd, "clean", job, "--all")[0] == 0
    assert not (tmp_path / "job.batch").exists()
    assert (tmp_path / "out" / "a.loud").exists(), "outputs stay"
    assert run(capfd, "status", job)[0] == 3


def test_options_without_sense(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = make_job(tmp_path, {"a.txt": "hello"})
    for words in (["--shard", "0/3"], ["--shard", "x"], ["--step", "none"], ["--json", "--json-lines"]):
        assert run(capfd, "run", job, *words)[0] == 2, words
    assert not (tmp_path / "out").exists()


def test_progress_and_metrics_texts(tmp_path: Path) -> None:
    counts = Counts(total=10, todo=8, done=3, skipped=2, failed=1)
    assert progress_line("s", counts, 2.0) == "s  4/8  2 skipped  1 failed  2.0/s  ETA 2.0 s"
    times = iter([0.0, 10.0, 100.0, 110.0])
    rate = Rate(lambda: next(times))
    for done in (10, 100, 120):
        rate.add(done)
    assert rate.value() == pytest.approx(2.0, rel=0.5), "of the last minute, not of all time"
    prometheus = Prometheus(tmp_path / "x.prom", 'a "job"')
    prometheus.event("run_started", {"run": 3}, counts)
    text = (tmp_path / "x.prom").read_text()
    assert 'vitapps_batch_run{job="a \\"job\\""} 3' in text
    assert text.endswith("\n")
