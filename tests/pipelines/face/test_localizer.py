"""A tiny localizer from pictures to a card to a mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.face.evidence.fuse import gather, guide_of
from vitapps.pipelines.face.evidence.network import Localizer, network_evidence
from vitapps.pipelines.face.localize_eval import evaluate
from vitapps.pipelines.face.train_localizer import LocalizerFit, sample_of, train, window_of
from vitapps.shared_backbones.models.iml_vit import ImlViTConfig

SMALL = ImlViTConfig(window=(64, 64), dim=32, depth=2, heads=2, local=2, decoder=16)
TRACES = ImlViTConfig(window=(16, 16), patch=4, dim=32, depth=2, heads=2, local=2, decoder=16, traces=5)


@pytest.mark.parametrize("config", [SMALL, TRACES])
def test_windows_and_masks_belong_together(config: ImlViTConfig) -> None:
    pictures = [photograph(seed, 98, 131) for seed in range(3)]
    sample = sample_of(pictures, 5, config)
    assert all((one == two).all() for one, two in zip(sample, sample_of(pictures, 5, config), strict=True))
    unit = config.window[0] // 16
    marked = np.zeros_like(sample[0]) + sample[1].repeat(unit, 1).repeat(unit, 2)
    for seed in range(6):
        image, mask = window_of((marked, sample[1]), config, np.random.default_rng(seed))
        assert image.shape == (3 + config.traces, *config.window) and mask.shape == (1, 16, 16)
        np.testing.assert_array_equal(image[0, ::unit, ::unit], mask[0])  # cut and mirrored alike
    assert any(0 < sample_of(pictures, seed, config)[1].mean() < 1 for seed in range(8))


def test_a_network_of_traces_takes_the_place_of_their_sum() -> None:
    """What it says of the planes is the map where nothing is copied; the score of the picture stays."""
    pixels = photograph(4, 100, 130)
    plain = gather(pixels)
    seen = []

    def predict(windows: np.ndarray) -> tuple[np.ndarray]:
        seen.append(windows.shape[1:])
        return (windows[:, 3:4] * 0 + windows[:, :3].mean(axis=1, keepdims=True),)

    found = Localizer(predict=predict, window=(16, 16), traces=True).evidence(pixels)
    assert set(seen) == {(8, 16, 16)} and found.score == plain.score and plain.inliers == 0
    np.testing.assert_allclose(found.map, guide_of(pixels, *found.map.shape).mean(axis=2), atol=1e-5)


def test_the_network_map_has_the_place_of_its_windows() -> None:
    pixels = np.zeros((128, 192, 3), np.uint8)
    pixels[:] = np.arange(192, dtype=np.uint8)[None, :, None]  # windows need not begin at a multiple of the stride

    def bright(windows: np.ndarray) -> tuple[np.ndarray]:
        return (windows.mean(axis=1, keepdims=True)[:, :, ::4, ::4],)

    found = network_evidence(pixels, bright, (64, 64))
    assert found.map.shape == (32, 48)
    np.testing.assert_allclose(found.map, pixels[::4, ::4, 0] / 255, atol=4.5 / 255)


def test_training_and_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(UnreadableInputError):
        train(folder, tmp_path / "run")
    for number in range(6):
        write_png(folder / f"{number}.png", photograph(number, 96, 96))
    card = train(folder, tmp_path / "run", LocalizerFit(steps=2, batch=2, tests=2, pool=3, model=SMALL))
    mask = tmp_path / "mask.png"
    words = ["face", "localize", str(folder / "0.png"), "-o", str(mask), "--threads", "1", "--json"]
    assert main([*words, "-w", str(card)]) == 0 and mask.exists()
    assert json.loads(capsys.readouterr().out)["verdict"] == "unsure"  # no thresholds belong to its score
    assert main([*words, "-w", str(card), "--evidence", "ela"]) == 2
    assert main([*words, "-w", "trees-neon", "--overwrite"]) == 4


def test_traces_are_learnt_resumed_used_and_scored(tmp_path: Path) -> None:
    folder = tmp_path / "Tp"
    for name in ("Tp", "Gt"):
        (tmp_path / name).mkdir()
    for number in range(5):
        write_png(folder / f"{number}.png", photograph(number, 96, 96))
        write_png(tmp_path / "Gt" / f"{number}.png", np.tri(96, dtype=np.uint8) * 255)
    config = LocalizerFit(steps=2, batch=2, tests=1, pool=3, model=TRACES)
    card = train(folder, tmp_path / "run", config)
    first = card.with_suffix(".safetensors").read_bytes()
    assert train(folder, tmp_path / "run", config, resume=True).with_suffix(".safetensors").read_bytes() == first
    network = Localizer.load(str(card), RunOptions(threads=1))
    assert network.traces and network.evidence(photograph(9, 96, 96)).map.shape == (24, 24)
    report = evaluate(tmp_path, network=network)
    assert {row.method for row in report.rows} >= {"all", "face-localizer", "ela"}
