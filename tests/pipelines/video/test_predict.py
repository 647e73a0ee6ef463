"""The next frames: digits that drift, scores against a peer, a card from two steps through every command."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from fakes.clips import write_clip
from vitapps.apps.main import main
from vitapps.datasets.sets.digits import read_digits
from vitapps.datasets.synth.moving_digits import MovingDigits
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.video.predict_scores import advected, copy_last, score_frames, ssim

SPRITE = np.full((1, 28, 28), 200, np.uint8)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, images=rng.integers(0, 256, (12, 28, 28)).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def card(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    words = ["--steps", "2", "--batch", "2", "--dim", "16", "--layout", "ST", "--repeats", "1", "--held", "4"]
    assert main(["video", "train", "predict", "--data", str(digits), "-o", str(folder), *words, "-q"]) == 0
    return folder / "moving-digits.toml"


def test_digits_drift_evenly_and_stay_inside() -> None:
    clip = MovingDigits(sprites=SPRITE, frames=30, count=1).sample(3)
    assert clip.shape == (30, 64, 64) and np.array_equal(
        clip, MovingDigits(sprites=SPRITE, frames=30, count=1).sample(3)
    )
    assert {int((frame > 0).sum()) for frame in clip} == {28 * 28}  # never cut at a side
    corners = np.array([np.argwhere(frame)[0] for frame in clip])
    ways = np.hypot(*np.diff(corners, axis=0).T)
    assert ways.max() < 3.6 + 1.5 and np.median(ways) == pytest.approx(3.6, abs=0.7)  # 0.1 of 36 free pixels
    assert len(np.unique(np.sign(np.diff(corners, axis=0)), axis=0)) > 1  # it has turned somewhere


def test_mnist_files_are_read(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    head = b"".join(number.to_bytes(4, "big") for number in (0x803, 2, 3, 4))
    (tmp_path / "a").write_bytes(head + images.tobytes())
    (tmp_path / "b.gz").write_bytes(gzip.compress(head + images.tobytes()))
    assert np.array_equal(read_digits(tmp_path / "a"), images)
    assert np.array_equal(read_digits(tmp_path / "b.gz"), images)
    (tmp_path / "c.npz").write_bytes(b"PK torn")
    (tmp_path / "d").write_bytes(head + b"short")
    np.savez(tmp_path / "e.npz", images=np.zeros((2, 3)))
    for name in ("c.npz", "d", "e.npz", "none"):
        with pytest.raises(UnreadableInputError, match=name):
            read_digits(tmp_path / name)


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = np.random.default_rng(0).random((2, 40, 31)).astype(np.float32)
    assert ssim(a, b) == pytest.approx(metrics.structural_similarity(a, b, data_range=1.0), abs=1e-6)
    assert ssim(a, a) == pytest.approx(1)


def test_scores_and_rules_by_hand() -> None:
    clip = MovingDigits(sprites=SPRITE, count=1).batch(0, 1)[0, :, 0]
    assert score_frames(clip, clip).mse == 0
    score = score_frames(np.full((2, 8, 8), 2, np.float32), np.zeros((2, 8, 8), np.float32))
    assert (score.mse, score.mae, score.frames) == (64, 64, 2)  # clipped to 1
    shifted = np.stack([np.roll(clip[0], step, axis=1) for step in range(4)])
    moved, copied = (score_frames(rule(shifted[:2], 2), shifted[2:]).mse for rule in (advected, copy_last))
    assert moved < 0.5 * copied


def test_a_card_continues_clips_and_is_scored(
    card: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "grey.mp4", frames=20)
    out = tmp_path / "next.npz"
    words = ["video", "predict", str(clip), "-w", str(card), "--threads", "1", "--json"]
    assert main([*words, "-o", str(out), "--at", "0.48", "--horizon", "12", "--preview"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["at_s"], said["frames"], said["score"]["frames"]) == (0.48, 12, 8)  # frames 12 to 19 are known
    found = np.load(out)
    assert found["frames"].shape == (12, 64, 64) and 0 <= found["frames"].min() <= found["frames"].max() <= 1
    assert np.allclose(found["time_s"], 0.48 + 0.04 * np.arange(12), atol=1e-3)
    assert (tmp_path / "next.npz.preview.png").exists() and (tmp_path / "next.npz.run.json").exists()
    assert main([*words, "-o", str(tmp_path / "next.mp4")]) == 0
    assert json.loads(capsys.readouterr().out)["score"] is None
    array = tmp_path / "clip.npy"
    np.save(array, MovingDigits(sprites=SPRITE).sample(0))
    assert main([*words[:2], str(array), *words[3:], "-o", str(tmp_path / "a.npz"), "--at", "0.4"]) == 0
    assert json.loads(capsys.readouterr().out)["score"]["frames"] == 10
    words = ["--data", str(digits), "-w", str(card), "--held", "4", "--sequences", "2", "--threads", "1", "--json"]
    assert main(["video", "eval", "predict", *words]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["method"] for row in rows] == ["moving-digits", "copy last frame", "optical flow", "mean of inputs"]


def test_what_does_not_fit_is_said(card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "grey.mp4", frames=20)
    out = ["-o", str(tmp_path / "x.npz"), "-w", str(card)]
    (tmp_path / "bad.npy").write_bytes(b"torn")
    cases = [
        ([str(clip), *out, "--at", "0.2"], 3, "5 frames before 0.2 s, 10 are needed"),
        ([str(clip), *out, "--at", "9"], 3, "no frame at 9 s"),
        ([str(clip), "-o", str(tmp_path / "x.gif"), "-w", str(card)], 2, "'.gif'"),
        ([str(clip), *out, "--horizon", "0"], 2, "--horizon 0"),
        ([str(tmp_path / "bad.npy"), *out], 3, "bad.npy"),
        ([str(tmp_path / "no.mp4"), *out], 3, "no such file"),
        ([str(clip), *out[:2], "-w", "trees-neon"], 4, "rs.detect"),
    ]
    for words, code, text in cases:
        assert main(["video", "predict", *words]) == code, words
        said = capsys.readouterr().err
        assert text in said and "Traceback" not in said
    assert not (tmp_path / "x.npz").exists()
