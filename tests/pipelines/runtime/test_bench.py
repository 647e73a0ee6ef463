"""The means of the benches: interleaving, child processes, discovery of commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vitapps.apps import bench
from vitapps.errors import VitappsError
from vitapps.pipelines.runtime import bench_engines
from vitapps.pipelines.runtime.bench_engines import Case, EngineRow, verdicts
from vitapps.pipelines.runtime.measure import cache_at, command_in_child, in_child, interleaved
from vitapps.pipelines.runtime.worker import Worker


def test_rounds_are_interleaved_and_the_first_is_not_counted():
    order = []
    seconds = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 2)
    assert "".join(order) == "abcabcabc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2, "c": 2}


def test_patience_ends_the_rounds_but_not_the_first_that_counts():
    order = []
    seconds = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 5, patience=0.0)
    assert "".join(order) == "abab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 1, "b": 1}


def counting(first):
    """Child process: each call gives the next number; the third fails."""
    numbers = iter((first, first + 1))
    return lambda: next(numbers)


def test_a_worker_keeps_its_state_and_fails_aloud(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with Worker(f"{Path(__file__).stem}:counting", first=7) as worker:
        assert [worker.ask(), worker.ask()] == [7, 8]
        assert worker.peak > 5e6
        with pytest.raises(VitappsError, match="StopIteration"):
            worker.ask()
    with pytest.raises(VitappsError, match="no attribute"):
        Worker("os:nothing_of_this_name")


def test_an_interrupted_bench_of_engines_goes_on(tmp_path, monkeypatch):
    cases, measured, shown = bench_engines.FULL[:2], [], []

    def measure(made, case, threads, rounds):
        measured.append(case)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return [EngineRow(case=case, engine="torch", precision="exact")]

    monkeypatch.setattr(bench_engines, "_made", lambda *_: None)
    monkeypatch.setattr(bench_engines, "_measure", measure)
    monkeypatch.setattr(bench_engines, "verdicts", lambda rows: [])
    with pytest.raises(KeyboardInterrupt):
        bench_engines.bench_engines(cases, threads=1, keep=tmp_path)
    found = bench_engines.bench_engines(cases, threads=1, keep=tmp_path, done=shown.append)
    assert measured == [cases[0], cases[1], cases[1]] and [row.case for row in found.rows] == list(cases)
    assert [row for rows in shown for row in rows] == list(found.rows)
    bench_engines.bench_engines(cases, threads=2, keep=tmp_path)
    assert measured[3:] == list(cases)  # other threads, other figures


def test_a_child_returns_what_it_made_and_fails_aloud():
    done = in_child("os:getenv", key="VITAPPS_CACHE", default="none")
    assert done.value == os.environ.get("VITAPPS_CACHE", "none")
    assert done.peak > 5e6
    assert done.cpu_s > 0
    with pytest.raises(VitappsError, match=r"NameError|ModuleNotFound|AttributeError|no attribute"):
        in_child("os:nothing_of_this_name")


def test_a_command_runs_in_a_child(tmp_path):
    assert command_in_child(["--version"]).peak > 5e6
    with pytest.raises(VitappsError, match="no such card"):
        command_in_child(["models", "info", str(tmp_path / "x.toml")])


def test_the_users_cache_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAPPS_CACHE", "before")
    with cache_at(tmp_path):
        assert os.environ["VITAPPS_CACHE"] == str(tmp_path)
    assert os.environ["VITAPPS_CACHE"] == "before"
    monkeypatch.delenv("VITAPPS_CACHE")
    with cache_at(tmp_path):
        pass
    assert "VITAPPS_CACHE" not in os.environ


def test_bench_all_runs_every_other_command():
    found = {" ".join(words[:2]): words[2:] for words in bench._all_commands(quick=True)}
    names = {f"bench {item.name}" for item in bench.app.registered_commands}
    assert set(found) == names - {"bench all"} | {"models quantize"}
    assert {"bench engines", "bench load", "bench many"} <= set(found)
    assert found["bench engines"] == ["--quick", "--threads", "1"]
    *benches, quantize = bench._all_commands(quick=False)
    assert all(words[2:] == [] for words in benches) and "all" in quantize


def test_the_bars_are_judged():
    def row(engine, precision, to_eager, error=1e-6, peak=100.0):
        return EngineRow(
            case=Case(model="m", size=1, batch=1), engine=engine, precision=precision, cpu_ms=1, to_eager=to_eager,
            to_packed=to_eager / 1.5, error=error, peak_mb=peak, chosen=False,
        )  # fmt: skip

    eager = row("torch", "exact", 1.0)
    assert verdicts([eager, row("openvino", "exact", 2.5)])[0].startswith("met")
    assert verdicts([eager, row("openvino", "exact", 1.9)])[0].startswith("MISS")
    assert verdicts([eager, row("openvino", "exact", 2.5, error=1e-3)])[0].startswith("MISS")
    assert verdicts([eager, row("openvino", "exact", 2.5, peak=101.0)])[0].startswith("MISS")
