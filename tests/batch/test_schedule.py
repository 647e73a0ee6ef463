"""When a job runs: cron lines across changes of the clock, the served store, units for other schedulers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fakes.batch_job import make_job, outputs, start
from vitapps.apps.main import main
from vitapps.errors import UsageError
from vitapps.pipelines.batch.cron import read_cron
from vitapps.pipelines.batch.emit import Kind, calendars, emit
from vitapps.pipelines.batch.job_file import read_job

BERLIN = "Europe/Berlin"


def fires(line: str, start: str, count: int, zone: str = BERLIN) -> list[str]:
    cron = read_cron(line, zone)
    moment, found = datetime.fromisoformat(start).replace(tzinfo=cron.zone), []
    for _ in range(count):
        moment = cron.after(moment)
        found.append(moment.astimezone(cron.zone).strftime("%m-%d %H:%M%z"))
    return found


def test_a_nightly_line_runs_once_a_night_also_when_the_clock_changes() -> None:
    spring = fires("30 2 * * *", "2026-03-28T00:00", 3)
    assert spring == ["03-28 02:30+0100", "03-29 03:30+0200", "03-30 02:30+0200"]
    autumn = fires("30 2 * * *", "2026-10-24T00:00", 3)
    assert autumn == ["10-24 02:30+0200", "10-25 02:30+0200", "10-26 02:30+0100"]
    assert fires("0 2 * * *", "2026-03-28T12:00", 1, "UTC") == ["03-29 02:00+0000"]
    south = fires("30 2 * * *", "2026-10-03T12:00", 2, "Australia/Sydney")
    assert south == ["10-04 03:30+1100", "10-05 02:30+1100"]
    assert fires("45 23 * * *", "2026-01-01T00:00", 1, "Asia/Kathmandu") == ["01-01 23:45+0545"]


def test_a_line_of_every_hour_keeps_its_distance() -> None:
    cron = read_cron("*/30 * * * *", BERLIN)
    for day in ("2026-03-28T23:10", "2026-10-24T23:10"):
        moment = datetime.fromisoformat(day).replace(tzinfo=cron.zone).astimezone(UTC)
        following = [moment := cron.after(moment) for _ in range(12)]
        gaps = {after - before for before, after in pairwise(following)}
        assert gaps == {timedelta(minutes=30)}


def test_fields() -> None:
    assert fires("0 4 * * 1-5", "2026-11-20T05:00", 2) == ["11-23 04:00+0100", "11-24 04:00+0100"]  # Friday -> Monday
    assert fires("0 4 * * 7", "2026-11-20T05:00", 1) == fires("0 4 * * sun", "2026-11-20T05:00", 1)
    assert fires("0 0 13 * 5", "2026-11-14T00:00", 3) == ["11-20 00:00+0100", "11-27 00:00+0100", "12-04 00:00+0100"]
    assert fires("0 0 13 * 5", "2026-12-05T00:00", 3)[1:] == ["12-13 00:00+0100", "12-18 00:00+0100"]
    assert fires("0 0 29 2 *", "2026-03-01T00:00", 1, "UTC") == ["02-29 00:00+0000"]
    assert fires("@daily", "2026-01-01T12:00", 1, "UTC") == ["01-02 00:00+0000"]


@pytest.mark.parametrize("line", ["", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "0 0 30 2 *"])
def test_lines_without_sense(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_cron(line, "UTC")
    assert caught.value.hint


def test_an_unknown_zone() -> None:
    with pytest.raises(UsageError, match="Atlantis"):
        read_cron("@daily", "Europe/Atlantis")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 2 * * *", ["*-*-* 02:00:00 Europe/Berlin"]),
        ("*/20 8-10 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 08,09,10:00,20,40:00 Europe/Berlin"]),
        ("0 0 13 * 5", ["*-*-13 00:00:00 Europe/Berlin", "Fri *-*-* 00:00:00 Europe/Berlin"]),
    ],
)
def test_calendars_of_systemd(line: str, expected: list[str]) -> None:
    assert calendars(read_cron(line, BERLIN)) == expected
    if tool := shutil.which("systemd-analyze"):
        for calendar in expected:
            subprocess.run([tool, "calendar", calendar], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["systemd", "cron", "k8s", "airflow"])
def test_units_for_others(tmp_path: Path, kind: Kind) -> None:
    folder = tmp_path / "with space 100%"
    folder.mkdir()
    job = read_job(make_job(folder, {}))
    text = emit(kind, job, read_cron("0 2 * * *", BERLIN))
    assert "batch" in text
    assert "job.toml" in text
    assert BERLIN in text
    if kind == "airflow":
        compile(text, "dag.py", "exec")
    if kind == "cron":
        assert "100\\%" in text.splitlines()[-1]
    if kind == "systemd":
        assert "100%%" in text
        assert "TimeoutStopSec=45" in text
    if kind == "k8s":
        yaml = pytest.importorskip("yaml")
        spec = yaml.safe_load(text)["spec"]
        assert (spec["timeZone"], spec["concurrencyPolicy"]) == (BERLIN, "Forbid")
        container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        assert container["args"] == ["batch", "run", str(job.path), "--quiet"]


def test_a_served_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A schedule that another process adds, its run, a missed time made up for, SIGTERM during a run."""
    pytest.importorskip("apscheduler")
    job, store = make_job(tmp_path, {"a.txt": "hello", "b.txt": "hold"}), tmp_path / "schedules.sqlite"
    words = ["batch", "schedule", str(job), "--cron", "0 2 * * *", "--timezone", BERLIN, "--store", str(store)]
    assert main([*words, "--json"]) == 0
    following = datetime.fromisoformat(json.loads(capfd.readouterr().out)["following"])
    assert following > datetime.now(UTC)
    _set_back(store)  # its time came ten minutes ago, when nobody served
    served = start("serve", "--store", store)
    try:
        end = time.monotonic() + 90
        while not ((tmp_path / "out").exists() and outputs(tmp_path)):
            assert time.monotonic() < end, "nothing was run"
            time.sleep(0.1)
    finally:
        (tmp_path / "go").touch()
        served.send_signal(signal.SIGTERM)
    out, err = served.communicate(timeout=90)
    assert served.returncode == 0, err
    assert "job: started" in err
    assert "1 runs were started" in out
    assert outputs(tmp_path)["a.loud"] == "HELLO!"
    assert main(["batch", "schedule", "--store", str(store), "--json"]) == 0
    (entry,) = json.loads(capfd.readouterr().out)["schedules"]
    assert datetime.fromisoformat(entry["following"]) > datetime.now(UTC)
    assert main(["batch", "schedule", "--remove", "job", "--store", str(store)]) == 0
    assert main(["batch", "schedule", "--remove", "job", "--store", str(store)]) == 2


def _set_back(store: Path) -> None:
    """Ten minutes ago, in the store of APScheduler."""
    from vitapps.pipelines.batch.serve import open_store

    scheduler = open_store(store)
    scheduler.modify_job("job", next_run_time=datetime.now(UTC) - timedelta(minutes=10))
    scheduler.shutdown()
