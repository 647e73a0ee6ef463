"""Exported networks compute what their source does, at any batch, and a wrong one is not kept."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vitapps.apps.main import main
from vitapps.errors import MissingError, UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.export_model import export_model
from vitapps.shared_backbones.engines import exported
from vitapps.shared_backbones.engines.check_input import read_check, relative_error, sampled
from vitapps.shared_backbones.engines.exported import SUFFIXES, open_exported
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.int8_card import batches, int8_card


@pytest.mark.parametrize("form", list(SUFFIXES))
def test_the_file_computes_what_the_card_does(vit, form, tmp_path):
    out = tmp_path / f"network{SUFFIXES[form]}"
    done = export_model(str(vit.folder / "tiny-vit.toml"), out, form)
    assert done.error < 1e-5
    assert done.input_shape == (-1, 3, 32, 32)
    assert done.outputs == ("logits",)
    image = np.random.default_rng(5).random((5, 3, 32, 32), np.float32)
    wanted = load_model(vit, RunOptions(engine="torch", precision="exact", device="cpu", threads=1))(image)[0]
    (found,) = open_exported(out)(image)
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert json.loads((tmp_path / f"{out.name}.run.json").read_text())["results"]["form"] == form


def test_a_file_that_differs_is_not_kept(vit, tmp_path, monkeypatch):
    real = exported.open_exported
    monkeypatch.setattr(exported, "open_exported", lambda path: lambda x: tuple(2 * y for y in real(path)(x)))
    with pytest.raises(VitappsError, match="differs from its source"):
        export_model(str(vit.folder / "tiny-vit.toml"), tmp_path / "network.xml", "openvino")
    assert list(tmp_path.iterdir()) == []


def test_the_command(vit, tmp_path, capsys):
    card = str(vit.folder / "tiny-vit.toml")
    out = tmp_path / "network.xml"
    assert main(["models", "export", card, "--to", "openvino", "-o", str(out)]) == 0
    assert "relative error" in capsys.readouterr().out
    assert out.with_suffix(".bin").is_file()
    assert main(["models", "export", card, "--to", "openvino", "-o", str(out)]) == 5
    assert main(["models", "export", card, "--to", "openvino", "-o", str(tmp_path / "network.onnx")]) == 2


def test_what_is_no_network_is_said(tmp_path):
    with pytest.raises(UsageError, match="face-points is no network but a cascade"):
        export_model("face-points", tmp_path / "x.onnx", "onnx")


def test_what_is_no_export_is_said(tmp_path):
    with pytest.raises(MissingError):
        open_exported(tmp_path / "x.zip")
    with pytest.raises(UsageError):
        export_model("x", tmp_path / "x.bin", "onnx")


@pytest.mark.parametrize("layers", ["all", "conv"])
def test_a_published_card_gets_an_int8_graph_later(vit, tmp_path, layers):
    bare = replace(vit, int8_file="", int8_sha256="", int8_size=0)
    images = np.random.default_rng(2).random((4, 3, 32, 32), np.float32)
    made = int8_card(bare, tmp_path, batches(images), layers=layers)
    assert load_card(str(tmp_path / "tiny-vit.toml")) == made
    image, wanted = read_check(made)
    found = load_model(made, RunOptions(engine="openvino", precision="int8", device="cpu", threads=1))(image)
    assert 1e-6 < relative_error([sampled(output) for output in found], wanted) < 0.2
