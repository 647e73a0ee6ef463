"""The means of the benches: interleaving, child processes, discovery of commands."""

from __future__ import annotations

import os

import pytest

from vitapps.apps import bench
from vitapps.errors import VitappsError
from vitapps.pipelines.runtime.bench_engines import Case, EngineRow, _verdicts
from vitapps.pipelines.runtime.measure import cache_at, command_in_child, in_child, interleaved


def test_rounds_are_interleaved_and_the_first_is_not_counted():
    order = []
    seconds = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 2)
    assert "".join(order) == "abcabcabc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2, "c": 2}


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
    found = {words[0]: words[1:] for words in bench._all_commands(quick=True)}
    names = {item.name for item in bench.app.registered_commands}
    assert set(found) == names - {"all"}
    assert {"engines", "load", "many"} <= set(found)
    assert found["engines"] == ["--quick", "--threads", "1"]
    assert all(words == [] for _, *words in bench._all_commands(quick=False))


def test_the_bars_are_judged():
    def row(engine, precision, to_eager, error=1e-6, peak=100.0):
        return EngineRow(
            case=Case(model="m", size=1, batch=1), engine=engine, precision=precision, cpu_ms=1, to_eager=to_eager,
            to_packed=to_eager / 1.5, error=error, peak_mb=peak, chosen=False,
        )  # fmt: skip

    eager = row("torch", "exact", 1.0)
    assert _verdicts([eager, row("openvino", "exact", 2.5)])[0].startswith("met")
    assert _verdicts([eager, row("openvino", "exact", 1.9)])[0].startswith("MISS")
    assert _verdicts([eager, row("openvino", "exact", 2.5, error=1e-3)])[0].startswith("MISS")
    assert _verdicts([eager, row("openvino", "exact", 2.5, peak=101.0)])[0].startswith("MISS")
