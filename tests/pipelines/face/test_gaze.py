"""`face gaze` with a checkpoint of random weights: places in the picture's pixels, messages, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fakes.gaze_checkpoint import gaze_state
from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.datasets.formats.picture import read_picture
from vitapps.pipelines.face.gaze import GazeReader, head_box


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vitgaze.pth"
    torch.save({"model": gaze_state(), "iteration": 3}, path)
    return path


def test_the_command(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "a.png", photograph(3, 96, 128))
    out = tmp_path / "gaze.json"
    words = ["face", "gaze", str(tmp_path / "a.png"), "-o", str(out), "--preview", "--json", "--threads", "1"]
    heads = ["--head", "8,8,30,40", "--head", "90,40,30,40"]
    assert main([*words, *heads, "-w", str(checkpoint)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [person["head"] for person in result["people"]] == [[8, 8, 38, 48], [90, 40, 120, 80]]
    for person in result["people"]:
        assert 0 <= person["target"][0] <= 128 and 0 <= person["target"][1] <= 96 and 0 <= person["inside"] <= 1
    assert json.loads(out.read_text())["model"] == "vitgaze.pth" and "limits" in result
    assert (tmp_path / "gaze.json.run.json").exists()
    drawn = read_picture(tmp_path / "gaze.json.preview.png").pixels
    assert drawn.shape == (96, 128, 3)
    assert main([*words, *heads, "-w", str(checkpoint)]) == 5  # exists


def test_without_weights_the_way_to_them_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "a.png", photograph(3, 96, 128))
    assert main(["face", "gaze", str(tmp_path / "a.png")]) == 4
    assert "yhsong/ViTGaze" in capsys.readouterr().err


def test_refusals(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "a.png", photograph(3, 96, 128))
    words = ["face", "gaze", str(tmp_path / "a.png"), "-w"]
    assert main([*words, str(checkpoint), "--head", "100,8,60,40"]) == 2  # beyond the right edge
    assert main([*words, str(checkpoint), "--head", "1,2,3"]) == 2
    assert main([*words, str(tmp_path / "none.pth"), "--head", "1,2,30,30"]) == 4
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert main([*words, str(tmp_path / "other.safetensors"), "--head", "1,2,30,30"]) == 2
    assert "no ViTGaze" in capsys.readouterr().err
    assert head_box("1,2,3,4") == (1, 2, 4, 6)


def test_a_mirrored_map_is_read_at_the_mirrored_place(checkpoint: Path) -> None:
    """The target is the place of the map's highest value in the picture's pixels."""
    person = GazeReader(str(checkpoint), 1).people(photograph(3, 96, 128), [(8, 8, 38, 48)])[0]
    row, column = np.unravel_index(person.map.argmax(), person.map.shape)
    height, width = person.map.shape
    assert person.target == pytest.approx(((column + 0.5) / width * 128, (row + 0.5) / height * 96), abs=0.06)
    assert person.map.min() == 0 and person.map.max() == 1
