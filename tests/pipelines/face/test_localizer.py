"""A tiny localizer from pictures to a card to a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evidence.network import network_evidence
from vitapps.pipelines.face.train_localizer import LocalizerFit, train, window_of
from vitapps.shared_backbones.models.iml_vit import ImlViTConfig


def test_windows_and_masks_belong_together() -> None:
    pictures = [photograph(seed, 96, 96) for seed in range(3)]
    image, mask = window_of(pictures, 5, (64, 64))
    assert image.shape == (3, 64, 64) and mask.shape == (1, 16, 16)
    np.testing.assert_array_equal(image, window_of(pictures, 5, (64, 64))[0])
    assert any(0 < window_of(pictures, seed, (64, 64))[1].mean() < 1 for seed in range(8))


def test_the_network_map_has_the_place_of_its_windows() -> None:
    pixels = np.zeros((128, 192, 3), np.uint8)
    pixels[:] = np.arange(192, dtype=np.uint8)[None, :, None]  # windows need not begin at a multiple of the stride

    def bright(windows: np.ndarray) -> tuple[np.ndarray]:
        return (windows.mean(axis=1, keepdims=True)[:, :, ::4, ::4],)

    found = network_evidence(pixels, bright, (64, 64))
    assert found.map.shape == (32, 48)
    np.testing.assert_allclose(found.map, pixels[::4, ::4, 0] / 255, atol=4.5 / 255)


def test_training_and_use(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(UnreadableInputError):
        train(folder, tmp_path / "run")
    for number in range(6):
        write_png(folder / f"{number}.png", photograph(number, 96, 96))
    model = ImlViTConfig(window=(64, 64), dim=32, depth=2, heads=2, local=2, decoder=16)
    card = train(folder, tmp_path / "run", LocalizerFit(steps=2, batch=2, tests=2, model=model))
    mask = tmp_path / "mask.png"
    words = ["face", "localize", str(folder / "0.png"), "-o", str(mask), "--threads", "1"]
    assert main([*words, "-w", str(card)]) == 0 and mask.exists()
    assert main([*words, "-w", str(card), "--evidence", "ela"]) == 2
    assert main([*words, "-w", "trees-neon", "--overwrite"]) == 4
