"""Actions from a clip: a published checkpoint laid out by hand, the motion classifier from a few made-up clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.clips import squares, write_clip
from vitapps.apps.main import main
from vitapps.pipelines.video.action import merge
from vitapps.pipelines.video.action_scores import area_under_curve, best_temperature, score_action
from vitapps.pipelines.video.motion_descriptor import WIDTH, describe, small_grey

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "grey.mp4", frames=30)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videomae")
    config = transformers.VideoMAEConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32, num_frames=4,
        id2label={0: "jump", 1: "run", 2: "sit"}, label2id={"jump": 0, "run": 1, "sit": 2},
    )  # fmt: skip
    transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    return folder


def test_a_published_checkpoint_classifies(
    clip: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    words = ["video", "action", str(clip), "-w", str(checkpoint), "-o", str(out), "--preview", "--json", "--crops", "3"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert {item["label"] for item in said["clip"]} == {"jump", "run", "sit"}
    assert sum(item["score"] for item in said["clip"]) == pytest.approx(1, abs=1e-3)
    assert (said["segments"][0]["start_s"], said["segments"][-1]["end_s"]) == (0, 1.16)
    assert json.loads(out.read_text())["segments"] == said["segments"]
    assert (tmp_path / "out.json.preview.png").exists()
    assert main(words) == 5
    assert main([*words[:5], "-o", str(tmp_path / "out.srt"), "-q"]) == 0
    assert (tmp_path / "out.srt").read_text().startswith("1\n00:00:00,000 --> ")


def test_embeddings_of_two_clips(clip: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    assert (
        main(["video", "embed", str(clip), str(clip), "-w", str(checkpoint), "-o", str(out), "--hop", "8", "-q"]) == 0
    )
    found = np.load(out)
    assert found["embedding"].shape == (len(found["clip"]), 32)
    half = len(found["clip"]) // 2
    assert half == 4
    assert np.array_equal(found["embedding"][:half], found["embedding"][half:])
    assert main(["video", "embed", str(clip), "-w", str(checkpoint), "-o", str(tmp_path / "e.txt")]) == 2


def test_what_does_not_fit_is_said(
    clip: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.mp4").write_bytes(clip.read_bytes()[:200])
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        ([str(tmp_path / "no.mp4"), "-w", str(checkpoint)], 3, "no such file"),
        ([str(tmp_path / "torn.mp4"), "-w", str(checkpoint)], 3, "torn.mp4"),
        ([str(clip), "-w", str(empty)], 4, "config.json"),
        ([str(clip), "-w", "trees-neon"], 4, "rs.detect"),
        ([str(clip), "-w", str(checkpoint), "-o", str(tmp_path / "out.xml")], 2, ".xml"),
        ([str(clip), "-w", str(checkpoint), "--crops", "2"], 2, "--crops 2"),
        ([str(clip), "-w", str(checkpoint), "--preview"], 2, "give -o"),
        ([str(clip), "-w", str(checkpoint), "--start", "50"], 3, "--start"),
    ]
    for words, code, text in cases:
        assert main(["video", "action", *words]) == code, words
        said = capsys.readouterr().err
        assert text in said
        assert "Traceback" not in said


def test_descriptors_do_not_change_with_place_mirror_or_camera() -> None:
    frames, _ = squares(6, speed=(5.0, 0.0))
    grey = [small_grey(frame) for frame in frames]
    found = describe(grey)
    assert found.shape == (5, WIDTH)
    assert np.array_equal(describe([grey[0]] * 3), describe([grey[1]] * 3))  # nothing moves, whatever is shown
    mirrored = describe([np.ascontiguousarray(picture[:, ::-1]) for picture in grey])
    assert np.abs(mirrored - found).mean() < 0.25 * np.abs(found).mean()
    assert found.mean() > 3 * describe([grey[0]] * 6).mean()


def test_segments_join_neighbours_of_one_class() -> None:
    shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], np.float32)
    first, second = merge([(0, 2), (1, 3), (2, 4)], shares, ["calm", "fight"])
    assert (first.label, first.start_s, first.end_s, first.score) == ("calm", 0, 2.5, 0.8)
    assert (second.label, second.start_s, second.end_s) == ("fight", 2.5, 4)


def test_scores_by_hand() -> None:
    logits = np.array([[2, 0], [0, 1], [0, 3], [1, 0]], np.float32)
    labels = np.array([0, 0, 1, 1])
    score = score_action(logits, labels)
    assert (score.accuracy, score.mean_class) == (0.5, 0.5)
    assert score.auc == pytest.approx(0.75)  # 3 and -1 of class 1 against -2 and 1 of class 0: three pairs of four
    assert area_under_curve(np.array([1.0, 2, 3], np.float32), np.array([0, 1, 1])) == 1
    even = score_action(np.log(np.array([[0.95, 0.05], [0.95, 0.05]], np.float32)), np.array([0, 1]))
    assert even.ece == pytest.approx(0.45)
    sure = np.array([[9, 0], [9, 0], [0, 9], [9, 0]], np.float32)
    assert best_temperature(sure, np.array([0, 0, 1, 1])) > 2


def test_training_writes_a_card_that_classifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Still and moving clips, a few steps: the card loads and says its classes."""
    rows = ["clip\tlabel\tsource_group"]
    for number in range(4):
        for label, speed in (("calm", 0.0), ("fast", 2.0)):
            frames, _ = squares(14, speed=(speed, speed / 2))
            path = tmp_path / label / f"c{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            write_pixels(path, frames)
            rows.append(f"c{number}\t{label}\tg{number}")
    (tmp_path / "list.tsv").write_text("\n".join(rows))
    words = ["--data", str(tmp_path / "list.tsv"), "-o", str(tmp_path / "run"), "--steps", "30", "--folds", "2"]
    assert main(["video", "train", "action", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"]["clips"] == 8
    assert main(["video", "eval", "action", *words[:2], "--steps", "30", "--folds", "2", "--json"]) == 0
    rows_of = {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows_of) == [
        "vitapps", "flow alone, random forest", "HOG + flow, random forest", "one frame, HOG, logistic",
    ]  # fmt: skip
    assert rows_of["flow alone, random forest"]["accuracy"] == 1
    card = tmp_path / "run" / "fight-motion.toml"
    clip = tmp_path / "fast" / "c0.mp4"
    assert main(["video", "action", str(clip), "-w", str(card), "--json", "--threads", "1"]) == 0
    assert {item["label"] for item in json.loads(capsys.readouterr().out)["clip"]} == {"calm", "fast"}
    lists = ["--train", str(tmp_path / "list.tsv"), "--test", str(tmp_path / "list.tsv")]
    for protocol in ("linear", "knn", "attentive"):
        words = [*lists, "-w", str(card), "--json", "--threads", "1", "--protocol", protocol]
        assert main(["video", "probe", *words]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["score"]["accuracy"] >= 0.75, protocol
        assert (said["protocol"], said["shared_sources"]) == (protocol, 4)
    assert main(["video", "probe", *lists, "-w", str(card), "--json", "--threads", "1", "--ask", "direction"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["classes"], said["score"]["clips"]) == (["forwards", "backwards"], 16)


def write_pixels(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    from vitapps.datasets.formats.video_write import open_writer

    with open_writer(path) as writer:
        for number, pixels in enumerate(frames):
            writer.add(pixels, number / 25)
