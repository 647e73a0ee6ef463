"""`vitapps doctor` finds what is broken, `vitapps models` shows what the cards say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vitapps.apps.main import main
from vitapps.errors import ExitCode, MissingError
from vitapps.pipelines.runtime import devices, diagnose
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.engines.choose import Decision
from vitapps.shared_backbones.weights import cards


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with one sound model of 16 parameters in place of the embedded ones."""
    save_file({"w": np.ones(16, np.float32)}, tmp_path / "tiny.safetensors")
    card = cards.Card(
        name="tiny",
        task="rs.detect",
        arch="vit",
        config={"dim": 16},
        summary="a model of nothing",
        licence="CC0-1.0",
        weights_file="tiny.safetensors",
        sha256=sha256_file(tmp_path / "tiny.safetensors"),
        size=(tmp_path / "tiny.safetensors").stat().st_size,
        labels=[{"value": 1, "name": "tree", "threshold": 0.5}, {"value": 2, "name": "palm"}],
        scores=[{"metric": "F1", "value": 0.5, "data": "none", "n": 1, "command": "vitapps rs eval"}],
        limits=["it does nothing"],
        folder=tmp_path,
    )
    cards.write_card(card, tmp_path / "tiny.toml")
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    return tmp_path


def test_doctor_on_a_whole_installation(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["problems"] == []
    assert shown["weights"] == [{"name": "tiny", "task": "rs.detect", "state": "ok"}]
    assert shown["versions"]["numpy"] == np.__version__
    assert set(shown["engines"]) == {"openvino", "onnxruntime", "torch"}
    assert main(["doctor"]) == ExitCode.OK
    assert "all is well" in capsys.readouterr().out


def test_doctor_finds_damaged_and_missing_weights(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (weights / "tiny.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\1")
    assert main(["doctor", "--json"]) == ExitCode.MISSING
    assert "sha256" in json.loads(capsys.readouterr().out)["problems"][0]
    (weights / "tiny.safetensors").unlink()
    assert main(["doctor"]) == ExitCode.MISSING
    assert "PROBLEM  weights tiny:" in capsys.readouterr().out
    (weights / "tiny.toml").unlink()
    assert main(["doctor"]) == ExitCode.MISSING
    assert "no embedded model was found" in capsys.readouterr().out


def test_doctor_finds_a_missing_engine_and_an_engine_that_does_not_load(
    weights: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitapps.pipelines.runtime import diagnose

    broken = tmp_path / "modules" / "brokenengine.py"
    broken.parent.mkdir()
    broken.write_text("raise OSError('libbroken.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(broken.parent)
    monkeypatch.setattr(diagnose, "ENGINES", {"openvino": "no_such_engine", "torch": "brokenengine"})
    monkeypatch.setattr(diagnose.importlib.metadata, "version", lambda name: "1.0")
    assert main(["doctor", "--json"]) == ExitCode.MISSING
    assert json.loads(capsys.readouterr().out)["problems"] == ["engine openvino: not installed"]
    assert main(["doctor", "--full", "--json"]) == ExitCode.MISSING
    assert "libbroken.so" in json.loads(capsys.readouterr().out)["engines"]["torch"]


def test_doctor_names_only_choices_that_are_in_force(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache keeps what was chosen for earlier weights, on other processors, by earlier engines."""
    sha256 = sha256_file(weights / "tiny.safetensors")

    def choice(engine: str, sha256: str = sha256, threads: int = 1) -> Decision:
        return Decision(
            card="tiny", sha256=sha256, asked="auto", threads=threads, engine=engine, precision="exact", reason=""
        )

    kept = [choice("openvino"), choice("openvino", threads=2)]
    old = [choice("onnxruntime"), choice("openvino", sha256="0" * 64)]
    monkeypatch.setattr(diagnose, "remembered_decisions", lambda: [old[1], *kept, old[0]])
    assert diagnose.diagnose().decisions == kept


def test_models_list_and_info(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == ExitCode.OK
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "NAME"
    assert row.startswith("tiny  rs.detect")
    assert main(["models", "list", "--json"]) == ExitCode.OK
    assert [model["name"] for model in json.loads(capsys.readouterr().out)["models"]] == ["tiny"]
    assert main(["models", "info", "tiny"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for text in ("CC0-1.0", "palm", "vitapps rs eval", "- it does nothing"):
        assert text in shown
    assert main(["models", "info", "tiny", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["labels"][0]["threshold"] == 0.5


def test_an_unknown_model_gets_close_matches(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "tinny"]) == ExitCode.MISSING
    shown = capsys.readouterr().err
    assert "'tinny'" in shown
    assert "did you mean tiny?" in shown


def test_gpus_are_asked_of_the_driver_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    found = devices.cuda_devices()
    assert "torch" not in sys.modules
    assert all(gpu.memory > 0 and gpu.name for gpu in found)
    with pytest.raises(MissingError):
        devices.require_cuda(len(found))


@pytest.mark.gpu
def test_gpus_are_those_of_torch() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = devices.cuda_devices()
    assert [gpu.name for gpu in found] == [torch.cuda.get_device_name(index) for index in range(len(found))]
    assert len(found) == torch.cuda.device_count()
    major, minor = torch.cuda.get_device_capability(0)
    assert found[0].capability == f"{major}.{minor}"
    assert found[0].memory == torch.cuda.get_device_properties(0).total_memory
    devices.require_cuda(len(found) - 1)
