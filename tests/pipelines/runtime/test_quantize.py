"""`vitapps models quantize` on a tiny card: the table, the written state, the refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vitapps.apps.main import main
from vitapps.errors import OutputError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime import quantize as quantize_module
from vitapps.pipelines.runtime.own_metric import Judge, Metric
from vitapps.pipelines.runtime.quantize import QuantizeSettings, packed_size, quantize_card
from vitapps.provenance import sha256_file
from vitapps.shared_backbones import models
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.quantization._protocol import QuantConfig, load_quantized, prepare
from vitapps.shared_backbones.weights.cards import Card, load_card, write_card

CONFIG = {"image_size": [16, 16], "patch": [4, 4], "dim": 16, "depth": 1, "heads": 2, "num_classes": 3}


@pytest.fixture
def card(tmp_path: Path) -> str:
    return make_card(tmp_path, CONFIG)


def make_card(tmp_path: Path, config: dict[str, Any]) -> str:
    torch.manual_seed(0)
    module = models.build("vit", config)
    weights = tmp_path / "tiny.safetensors"
    save_file(module.state_dict(), weights)
    made = Card(
        name="tiny", task="none", arch="vit", config=config, summary="for the test", licence="Apache-2.0",
        weights_file=weights.name, sha256=sha256_file(weights), size=weights.stat().st_size,
    )  # fmt: skip
    write_card(made, tmp_path / "tiny.toml")
    return str(tmp_path / "tiny.toml")


@pytest.fixture
def calib(tmp_path: Path) -> Path:
    folder = tmp_path / "calib"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(8):
        np.save(folder / f"{index}.npy", generator.normal(size=(3, 16, 16)).astype(np.float32))
    return folder


def test_the_table_and_the_state(card: str, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tiny-w4a4.safetensors"
    line = ["models", "quantize", card, "--calib", str(calib), "--method", "repq", "--bits", "w4a4", "-o", str(out)]
    assert main([*line, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in report["rows"]] == ["minmax", "repq"]
    assert (report["calibration"], report["held_out"]) == (6, 2)
    assert all(0 < row["error"] < 1 and row["size"] < row["float_size"] for row in report["rows"])
    plain = models.build("vit", CONFIG).eval()
    loaded = load_quantized(plain, QuantConfig(method="repq", weight_bits=4, act_bits=4), load_file(out))
    assert loaded(torch.zeros(1, 3, 16, 16)).isfinite().all()
    assert main(line) == 5  # it exists
    assert main([*line, "--overwrite"]) == 0
    table = capsys.readouterr().out
    assert "repq" in table and "minmax" in table and "dB" in table


def test_size_counts_weights_at_their_bits() -> None:
    model = models.build("vit", CONFIG)
    whole, four = (packed_size(prepare(model, QuantConfig(weight_bits=bits, act_bits=8))) for bits in (32, 4))
    weights = 16 * 48 + 16 * 16 + 2 * 16 * 64  # qkv, proj, fc1, fc2
    levels = (48 + 16 + 64 + 16) * 2 * 4  # scale and zero of every row
    assert whole - four == weights * 28 // 8 - levels


def test_refusals(card: str, calib: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnreadableInputError, match=r"0 \.npy files"):
        quantize_card(card, empty)
    (calib / "bad.npy").write_bytes(b"no array")
    with pytest.raises(UnreadableInputError, match=r"bad\.npy"):
        quantize_card(card, calib)
    (calib / "bad.npy").unlink()
    with pytest.raises(OutputError):
        quantize_card(card, calib, out=tmp_path / "no" / "x.safetensors")
    with pytest.raises(UsageError, match="one state"):
        quantize_card(card, calib, QuantizeSettings(methods=("repq", "ivit")), out=tmp_path / "x.safetensors")
    assert main(["models", "quantize", card, "--calib", str(calib), "--method", "repk"]) == 2


def test_one_table_holds_every_method_and_the_own_metric(card: str, calib: Path) -> None:
    def score(options: RunOptions) -> Metric:
        answer = load_model(load_card(card), options)(np.ones((1, 3, 16, 16), np.float32))[0]
        return Metric(name="first logit", value=float(answer[0, 0]))

    settings = QuantizeSettings(methods=("minmax", "ivit"), bits=("w8a8", "w4a4"))
    report = quantize_card(card, calib, settings, judge=Judge(weights=card, score=score))
    assert [(row.method, row.bits) for row in report.rows] == [
        (method, bits) for bits in ("w8a8", "w4a4") for method in ("minmax", "ivit")
    ]
    assert report.metric == "first logit" and np.isfinite(report.float_metric)
    off = [abs(row.metric - report.float_metric) for row in report.rows]
    assert all(value > 0 for value in off) and max(off[:2]) < 0.1  # each network answered for itself


def test_finished_rows_are_kept(card: str, calib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, shown = tmp_path / "keep", []
    settings = QuantizeSettings(methods=("repq",), bits=("w8a8", "w4a4"), keep=keep)
    first = quantize_card(card, calib, settings)
    monkeypatch.setattr(quantize_module, "_quantized", lambda *_: pytest.fail("computed again"))
    again = quantize_card(card, calib, settings, done=shown.append)
    assert str(again.rows) == str(first.rows)  # NaN included
    assert [[row.bits for row in rows] for rows in shown] == [["w8a8"] * 2, ["w4a4"] * 2]
    np.save(calib / "more.npy", np.zeros((3, 16, 16), np.float32))
    with pytest.raises(pytest.fail.Exception):  # other inputs
        quantize_card(card, calib, settings)


def test_a_budget_gives_layers_their_own_bits(card: str, calib: Path) -> None:
    mixed, whole = (
        quantize_card(card, calib, QuantizeSettings(methods=("mptq",), budget=budget)).rows for budget in (5.0, 8.0)
    )
    assert [row.method for row in mixed] == ["minmax", "mptq"] and mixed[1].bits == "mixed 5"
    assert mixed[1].size < whole[1].size and mixed[1].error > whole[1].error


def test_a_network_that_a_method_does_not_fit_is_a_row_of_its_own(calib: Path, tmp_path: Path) -> None:
    rope = make_card(tmp_path, CONFIG | {"pos": "rope"})
    _, first, second = quantize_card(rope, calib, QuantizeSettings(methods=("repq", "ivit"))).rows
    assert not first.fault and "rotary" in second.fault
    with pytest.raises(UsageError, match="rotary"):
        quantize_card(rope, calib, QuantizeSettings(methods=("ivit",)))
