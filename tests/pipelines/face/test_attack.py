"""The margin search crosses what can be crossed, within its epsilon, and says so where nothing can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.pipelines.face.face_views import FaceReader, FaceView
from vitapps.pipelines.face.feature_attack import Encoder, feature_margin
from vitapps.pipelines.face.margin import PATCHES, STEPS, find_margin

GREY = np.full((24, 24, 3), 100, np.uint8)


def brightness_of_a_corner(pixels: NDArray[np.uint8]) -> float:
    assert np.abs(pixels.astype(int) - 100).max() <= max(STEPS)
    return float(pixels[:8, :8].mean())


def test_the_smallest_step_that_crosses() -> None:
    found = find_margin(brightness_of_a_corner, GREY, 102.9, queries=300)
    assert found.start == 100 and found.smallest == 4
    assert found.best[1] <= 101 and found.best[2] <= 102 and found.best[4] >= 102.9
    down = find_margin(brightness_of_a_corner, GREY, 99.9, queries=300)
    assert down.smallest == 1 and down.best[1] < 99.9


def test_what_cannot_be_crossed() -> None:
    found = find_margin(lambda pixels: 0.25, GREY, 0.5, queries=5)
    assert found.smallest is None and found.queries == 1 + 5 * len(STEPS)
    assert set(found.best) == set(STEPS)


def test_a_sticker_changes_its_square_alone() -> None:
    """The mean of 24 x 24 pixels of 100 rises to 101.5 with a white square of one percent, to 107.75 with five."""

    def mean(pixels: NDArray[np.uint8]) -> float:
        rows, columns = np.nonzero((pixels != 100).any(axis=2))
        if len(rows):
            assert max(np.ptp(rows), np.ptp(columns)) < np.sqrt(0.1 * GREY[..., 0].size) + 1
        return float(pixels.mean())

    found = find_margin(mean, GREY, 104.0, queries=300, patches=True)
    assert found.smallest == 5 and set(found.best) == {1, 2, 5}
    assert found.best[1] <= 101.6 and found.best[5] >= 104
    nothing = find_margin(lambda pixels: 0.25, GREY, 0.5, queries=5, patches=True)
    assert nothing.smallest is None and set(nothing.best) == set(PATCHES)


def _of_mean(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pixels.astype(float).mean(axis=(0, 1)) / 255


@pytest.mark.parametrize("gradient", [True, False])
def test_features_move_within_epsilon_and_the_verdict_is_read_afterwards(gradient: bool) -> None:
    """The means of the channels may move by epsilon from 100: a threshold 3 away turns at 4, one 20 away never."""
    asked: list[NDArray[np.uint8]] = []

    def score(pixels: NDArray[np.uint8]) -> float:
        asked.append(pixels)
        assert np.abs(pixels.astype(int) - 100).max() <= max(STEPS)
        return float(np.abs(pixels.mean(axis=(0, 1)) - 100).max())

    encoder = Encoder(
        name="mean", face=GREY, encode=_of_mean, score=score, threshold=2.9,
        differentiable=(lambda x: x.mean(dim=(2, 3))) if gradient else None,
    )  # fmt: skip
    found = feature_margin(encoder, queries=300)
    assert found.way == ("gradient" if gradient else "search") and len(asked) == 1 + len(STEPS)
    assert found.smallest == 4 and found.scores[4] >= 2.9 > found.scores[2]
    assert found.shift[8] > 1.5 * found.shift[4] > 2.5 * found.shift[2] > 0
    assert feature_margin(encoder, queries=300).shift == found.shift
    far = Encoder(name="mean", face=GREY, encode=_of_mean, score=score, threshold=20.0)
    assert feature_margin(far, queries=3).smallest is None


def test_the_gradient_reaches_what_the_network_sees() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 5), torch.nn.Flatten()).requires_grad_(False)

    def encode(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        images = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None] / 255
        return network(images)[0].double().numpy()

    plain = Encoder(name="net", face=GREY, encode=encode, score=lambda pixels: 0.0, threshold=0.5)
    by_search = feature_margin(plain, queries=30)
    by_gradient = feature_margin(
        Encoder(name="net", face=GREY, encode=encode, score=lambda pixels: 0.0, threshold=0.5, differentiable=network)
    )
    assert by_gradient.shift[4] > 1.5 * by_search.shift[4]


def test_a_picture_without_a_face_is_not_attacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "wall.png", photograph(1, 96, 96, quality=0))
    monkeypatch.setattr(FaceReader, "view", lambda self, pixels, *_: FaceView(pixels=pixels, missed=True))
    for model in ("liveness", "deepfake"):
        assert main(["face", "attack-test", str(tmp_path / "wall.png"), "--model", model, "--queries", "2"]) == 3
        assert "wall.png: no face found" in capsys.readouterr().err
