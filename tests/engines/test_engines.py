"""A card's network gives the same answer by every engine; what is missing is said, never replaced."""

import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.models.volume_segmenter import VolumeSegmenter, VolumeSegmenterConfig
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.publish import publish

CONFIG = VolumeSegmenterConfig(
    num_classes=3, window=(16, 32, 16), stem=(8, 16), dim=24, depth=1, heads=2, decoder=(8, 16)
)


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    torch.manual_seed(0)
    fields = {
        "name": "tiny", "task": "medical.segment", "arch": "volume_segmenter", "config": asdict(CONFIG),
        "summary": "random weights", "licence": "CC0-1.0",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    example = torch.zeros(1, 1, *CONFIG.window)
    return load_card(publish(VolumeSegmenter(CONFIG), fields, folder, example=example, output_names=["logits"]))


def test_engines_agree_at_any_batch(card):
    image = np.random.default_rng(0).random((3, 1, *CONFIG.window), np.float32)
    wanted = load_model(card, RunOptions(engine="torch", device="cpu", threads=1))(image)[0]
    for engine in ("auto", "openvino", "onnxruntime"):
        model = load_model(card, RunOptions(engine=engine, device="cpu", threads=1))
        found = model(image)[0]
        assert found.shape == (3, 3, *CONFIG.window)
        assert np.abs(found - wanted).max() < 5e-3 * np.abs(wanted).max()
    assert model.engine == "onnxruntime"
    assert model.precision == "exact"


def test_weights_are_stored_as_halves(card):
    overhead = 230_000  # the graph itself, which does not grow with the width
    assert card.graph_size < 2.5 * sum(p.numel() for p in VolumeSegmenter(CONFIG).parameters()) + overhead


def test_what_is_not_there_is_an_error(card):
    with pytest.raises(MissingError):
        load_model(replace(card, graph_file=""), RunOptions(device="cpu"))
    with pytest.raises(UsageError):
        load_model(card, RunOptions(device="cuda:0", engine="openvino"))
    with pytest.raises(MissingError):
        load_model(card, RunOptions(device="cpu", precision="int8"))
    (card.folder / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(MissingError, match="sha256"):
        load_model(replace(card, graph_file="broken.onnx"), RunOptions(device="cpu"))


def test_the_cpu_path_imports_no_torch(card):
    code = (
        "import sys, numpy as np\n"
        "from vitapps.options import RunOptions\n"
        "from vitapps.shared_backbones.engines.load import load_model\n"
        "from vitapps.shared_backbones.weights.cards import load_card\n"
        f"load_model(load_card({str(card.folder / 'tiny.toml')!r}), RunOptions(device='cpu'))"
        f"(np.zeros((1, 1, 16, 32, 16), 'float32'))\n"
        "assert not {'torch', 'timm', 'monai', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_openvino_reports_nothing_to_anyone(tmp_path: Path) -> None:
    """Its converter sends a message to Google Analytics when it is imported, and leaves an identifier in the home."""
    code = """
import sys
from vitapps.shared_backbones.engines.openvino import load_openvino
assert load_openvino().Core().available_devices
sent = sorted(name for name in sys.modules if "telemetry" in name or name == "openvino.tools.ovc")
assert not sent, sent
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()
