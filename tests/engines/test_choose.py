"""`--engine auto`: the fastest engine within the card's tolerance, decided once, remembered with its reason."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines import choose, machine
from vitapps.shared_backbones.engines.check_input import (
    SAMPLES,
    allowed_error,
    read_check,
    relative_error,
    sampled,
)
from vitapps.shared_backbones.engines.choose import Trial, decide, remembered_decisions
from vitapps.shared_backbones.engines.graph import input_shape
from vitapps.shared_backbones.engines.load import load_model

AUTO = RunOptions(device="cpu", threads=1)


@pytest.fixture
def card(vit):
    return replace(vit, tolerance={"bf16": True, "int8": 0.2})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choose, "bf16_is_fast", lambda: True)


def times(monkeypatch, table, errors=None):
    """Replace the measurement: milliseconds by (engine, precision)."""
    asked = []

    def trial(card, engine, precision, threads, image, wanted):
        asked.append((engine, precision))
        error = (errors or {}).get((engine, precision), 1e-6)
        limit = allowed_error(card, precision)
        return Trial(
            engine=engine, precision=precision, milliseconds=table[engine, precision], error=error, limit=limit
        )

    monkeypatch.setattr(choose, "_trial", trial)
    return asked


ALL = {
    ("openvino", "exact"): 10.0, ("onnxruntime", "exact"): 12.0, ("openvino", "bf16"): 5.0, ("openvino", "int8"): 2.0,
    ("onnxruntime", "int8"): 3.0,
}  # fmt: skip


def test_the_fastest_within_tolerance_is_chosen(card, monkeypatch):
    times(monkeypatch, ALL)
    chosen = decide(card, AUTO, 1)
    assert (chosen.engine, chosen.precision) == ("openvino", "int8")
    assert "2.0 ms" in chosen.reason
    assert len(chosen.trials) == 5


def test_what_errs_too_much_is_not(card, monkeypatch):
    times(monkeypatch, ALL, {("openvino", "int8"): 0.21, ("onnxruntime", "int8"): float("inf")})
    chosen = decide(card, AUTO, 1)
    assert (chosen.engine, chosen.precision) == ("openvino", "bf16")
    times(monkeypatch, ALL, dict.fromkeys(ALL, 1.0))
    with pytest.raises(MissingError, match="no engine reproduces"):
        decide(replace(card, tolerance={"bf16": True}), AUTO, 1)


def test_a_precision_needs_the_permission_of_the_card(card, monkeypatch):
    asked = times(monkeypatch, ALL)
    assert decide(replace(card, tolerance={}), AUTO, 1).precision == "exact"
    assert {precision for _, precision in asked} == {"exact"}
    asked.clear()
    assert decide(replace(card, tolerance={"bf16": False, "int8": True}), AUTO, 1).precision == "int8"
    assert "bf16" not in {precision for _, precision in asked}
    asked.clear()
    monkeypatch.setattr(choose, "bf16_is_fast", lambda: False)
    decide(replace(card, tolerance={"bf16": True}), AUTO, 1)
    assert {precision for _, precision in asked} == {"exact"}


def test_a_precision_that_is_asked_for_binds(card, monkeypatch):
    times(monkeypatch, ALL, dict.fromkeys(ALL, 1.0))  # the user's word counts, not the tolerance
    assert decide(card, replace(AUTO, precision="bf16"), 1).reason == "the only candidate here"
    chosen = decide(card, replace(AUTO, precision="int8"), 1)
    assert (chosen.engine, chosen.precision) == ("openvino", "int8")
    with pytest.raises(MissingError, match="int8"):
        decide(replace(card, int8_file=""), replace(AUTO, precision="int8"), 1)


def test_it_is_measured_once_and_again_when_something_changed(card, monkeypatch):
    asked = times(monkeypatch, ALL)
    first = decide(card, AUTO, 1)
    assert len(asked) == 5
    assert decide(card, AUTO, 1) == first
    assert len(asked) == 5
    assert remembered_decisions() == [first]
    for changed, threads in ((card, 2), (replace(card, graph_sha256="0"), 1), (replace(card, tolerance={}), 1)):
        before = len(asked)
        decide(changed, AUTO, threads)
        assert len(asked) > before


def test_equal_speed_keeps_the_more_exact_one(card, monkeypatch):
    times(monkeypatch, dict.fromkeys(ALL, 5.0))
    chosen = decide(card, AUTO, 1)
    assert (chosen.engine, chosen.precision) == ("openvino", "exact")


def test_the_real_measurement_finds_the_check_reproduced(card):
    decide(card, AUTO, 1)
    model = load_model(card, AUTO)
    assert model.reason.startswith("fastest within tolerance")
    assert "error" in model.reason
    image, wanted = read_check(card)
    assert relative_error([sampled(out) for out in model(image)], wanted) <= allowed_error(card, model.precision)


def test_nobody_waits_for_a_measurement_at_the_first_start(card, monkeypatch):
    asked = times(monkeypatch, ALL)
    image, _ = read_check(card)
    model = load_model(card, AUTO)
    assert (model.engine, model.precision, model.reason) == ("openvino", "exact", "not measured yet")
    model(image)
    assert asked == []
    monkeypatch.setattr(choose, "_EARNED", 1e-9)
    model = load_model(card, AUTO)
    model(image), model(image)  # a process of its own measures in truth, once, for the next run
    assert [found.card for found in remembered_decisions()] == [card.name]
    assert load_model(card, AUTO).reason.startswith("fastest within tolerance")
    assert asked == []


def test_a_card_without_check_is_measured_against_its_float32_graph(card):
    bare = replace(card, check={})
    chosen = decide(bare, AUTO, 1)
    assert len(chosen.trials) == 5
    assert input_shape(bare) == (1, 3, 32, 32)


def test_a_wrong_check_is_noticed(card, monkeypatch):
    real = choose.read_check
    monkeypatch.setattr(choose, "read_check", lambda card: (real(card)[0], [out + 1 for out in real(card)[1]]))
    with pytest.raises(MissingError, match="no engine reproduces"):
        decide(card, AUTO, 1)


def test_error_and_samples():
    assert relative_error([np.array([1.0, 2.0])], [np.array([1.0, 4.0])]) == 0.5
    assert relative_error([np.array([np.nan])], [np.array([1.0])]) == float("inf")
    assert relative_error([np.zeros(2)], [np.zeros(3)]) == float("inf")
    assert relative_error([], [np.zeros(3)]) == float("inf")
    assert len(sampled(np.zeros(SAMPLES))) == SAMPLES
    assert SAMPLES / 2 <= len(sampled(np.zeros(SAMPLES + 1))) <= SAMPLES


def test_limits():
    some = SimpleNamespace(tolerance={"bf16": True, "int8": 0.05})
    assert [allowed_error(some, precision) for precision in ("exact", "bf16", "int8")] == [1e-3, 2e-2, 0.05]
    some.tolerance = {"bf16": False}
    assert [allowed_error(some, precision) for precision in ("bf16", "int8")] == [None, None]


def test_a_gain_that_nobody_feels_changes_nothing(card, monkeypatch):
    times(monkeypatch, {pair: value / 100 for pair, value in ALL.items()})  # tenths of a millisecond
    chosen = decide(card, AUTO, 1)
    assert (chosen.engine, chosen.precision) == ("openvino", "exact")


def test_an_entry_of_another_release_is_measured_again(card, monkeypatch):
    asked = times(monkeypatch, ALL)
    cache = choose.open_cache(choose.CACHE)
    for content in (b"{}", b"no json", b'{"card": "x", "trials": [], "unknown": 1}'):
        cache.put(choose._key(card, AUTO, 1), content)
        assert remembered_decisions() == []
        asked.clear()
        assert decide(card, AUTO, 1).engine == "openvino"
        assert len(asked) == 5


@pytest.mark.parametrize(("flags", "vendor", "fast"), [
    (("avx512_bf16",), "AuthenticAMD", True), (("avx512_bf16",), "GenuineIntel", False),
    (("amx_bf16", "avx512_bf16"), "GenuineIntel", True), (("bf16",), "", True), (("avx2",), "AuthenticAMD", False),
])  # fmt: skip
def test_bf16_counts_where_the_processor_is_faster_with_it(monkeypatch, flags, vendor, fast):
    monkeypatch.setattr(machine, "cpu_flags", lambda: flags)
    monkeypatch.setattr(machine, "_listed", lambda *names: vendor)
    assert machine.bf16_is_fast.__wrapped__() is fast
