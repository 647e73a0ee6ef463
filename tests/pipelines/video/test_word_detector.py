"""Objects by words: CLIP's pieces, a published OWL-ViT in `video detect` and `video mot`, queries carried over time."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fakes.clips import write_clip  # noqa: E402
from fakes.owl import write_owl, write_vocabulary  # noqa: E402
from vitapps.apps.main import main  # noqa: E402
from vitapps.datasets.formats.tracks import read_tracks  # noqa: E402
from vitapps.datasets.formats.video_read import open_clip  # noqa: E402
from vitapps.errors import MissingError, UsageError  # noqa: E402
from vitapps.options import RunOptions  # noqa: E402
from vitapps.pipelines.runtime.network_facts import NetworkFacts  # noqa: E402
from vitapps.pipelines.video.carried_queries import CarriedQueries  # noqa: E402
from vitapps.pipelines.video.word_detector import Answers, WholeFrames, WordNetwork, load_word_network  # noqa: E402
from vitapps.shared_backbones.weights.clip_pieces import read_clip_pieces  # noqa: E402

SENTENCES = ["a dog", "The  PERSON's cat!!", "hot-dog 42 é", "dodo's, 7_x", "日本"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return write_owl(tmp_path_factory.mktemp("owl"))


def test_pieces_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_vocabulary(tmp_path)
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    peer = transformers.CLIPTokenizer(*map(str, files))
    ours = read_clip_pieces(*files)
    for sentence in SENTENCES:
        assert ours.encode(sentence, 77) == peer(sentence)["input_ids"], sentence
    with pytest.raises(UsageError, match="9 pieces, 6 are"):
        ours.encode("abcd efghi", 8)
    with pytest.raises(UsageError, match="no word"):
        ours.encode("  ", 8)
    files[1].write_text("d o\nq q\n")
    with pytest.raises(MissingError, match="q q"):
        read_clip_pieces(*files)
    files[0].write_text("{}")
    with pytest.raises(MissingError, match="lacks 514 pieces"):
        read_clip_pieces(*files)


def test_whole_frames_are_those_of_transformers(checkpoint: Path, tmp_path: Path) -> None:
    """Boxes and scores of the commands against transformers' own processing of a square frame."""
    import transformers

    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    network = load_word_network(str(checkpoint), ["a dog", "cat"], RunOptions(threads=1))
    (found,) = WholeFrames(network, min_score=0.0).steps([frame])
    peer = transformers.OwlViTForObjectDetection.from_pretrained(checkpoint).eval()
    tokens = transformers.CLIPTokenizer(str(checkpoint / "vocab.json"), str(checkpoint / "merges.txt"), pad_token="!")
    words = tokens(["a dog", "cat"], padding="max_length", max_length=8, return_tensors="pt")
    mean, std = (np.array(values) for values in (network_mean(), network_std()))
    pixels = torch.from_numpy(((frame / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32))
    with torch.inference_mode():
        wanted = peer(pixel_values=pixels, **words)
    scores = wanted.logits.sigmoid()[0].numpy()
    assert found.scores[0] == pytest.approx(scores.max(), abs=1e-5)
    best = int(scores.max(axis=1).argmax())
    x, y, w, h = 64 * wanted.pred_boxes[0, best].numpy()
    box = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 64)
    assert found.boxes[0] == pytest.approx(box, abs=1e-3) and found.labels[0] == scores[best].argmax()


def network_mean() -> tuple[float, ...]:
    from vitapps.shared_backbones.convert.hf_clip_vision import MEAN

    return MEAN


def network_std() -> tuple[float, ...]:
    from vitapps.shared_backbones.convert.hf_clip_vision import STD

    return STD


def test_clips_and_pictures_by_words(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(write_clip(tmp_path / "clip.mp4"))
    with open_clip(clip) as opened:
        frames = sum(1 for _ in opened.frames())
    words = ["-w", str(checkpoint), "--words", "a dog, cat", "--min-score", "0.01", "--json"]
    assert main(["video", "detect", clip, "-o", str(tmp_path / "o.csv"), *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["work"]) == (frames, 1.0) and said["boxes"] > 0
    assert {(row.id, row.label) for row in read_tracks(tmp_path / "o.csv")} <= {(-1, "a dog"), (-1, "cat")}
    assert main(["video", "detect", clip, "-o", str(tmp_path / "c.csv"), *words, "--carry", "0.9"]) == 0
    assert min(row.id for row in read_tracks(tmp_path / "c.csv")) == 1
    assert main(["video", "detect", clip, "-o", str(tmp_path / "t.csv"), *words, "--smallest", "20"]) == 0
    assert read_tracks(tmp_path / "t.csv")
    assert json.loads((tmp_path / "t.csv.run.json").read_text())["engine"] == "torch"
    assert main(["video", "mot", clip, "-o", str(tmp_path / "m.txt"), "--detect-weights", *words[1:4]]) == 0


def test_what_is_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out = str(write_clip(tmp_path / "clip.mp4")), str(tmp_path / "o.csv")
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    bare = tmp_path / "bare"
    bare.mkdir()
    for words, code in (
        (["-w", str(checkpoint)], 2), (["-w", str(checkpoint), "--words", "dog, dog"], 2),
        (["-w", str(checkpoint), "--words", "abc def ghi"], 2), (["-w", "face-finder", "--words", "dog"], 2),
        (["-w", "face-finder", "--carry", "0.5"], 2), (["-w", str(checkpoint), "--words", "dog", "--carry", "2"], 2),
        (["-w", str(checkpoint), "--words", "dog", "--carry", "0.5", "--tiles"], 2),
        (["-w", str(broken), "--words", "dog"], 4), (["-w", str(bare), "--words", "dog"], 4),
    ):  # fmt: skip
        assert main(["video", "detect", clip, "-o", out, *words]) == code, words
        shown = capsys.readouterr().err
        assert "Traceback" not in shown and "hint: " in shown
        assert not Path(out).exists()
    assert main(["video", "mot", clip, "-o", str(tmp_path / "m.txt"), "--words", "dog"]) == 2


def scene(blinks: bool) -> list[Answers]:
    """Six frames of two objects that pass each other, each with an embedding of its own; the words miss the first in
    every other frame."""
    frames = []
    for number in range(6):
        centres = np.array([[20 + 9 * number, 30], [74 - 9 * number, 46]], np.float32)
        half = np.array([8, 10], np.float32)
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        score = 0.05 if blinks and number % 2 else 0.4
        scores = np.array([[score, 0.0], [0.4, 0.0]], np.float32)
        frames.append(Answers(scores=scores[None], boxes=boxes[None], embeddings=np.eye(4, dtype=np.float32)[None, :2]))
    return frames


def search(frames: list[Answers], carry: float) -> list:
    answers = iter(frames)
    network = WordNetwork(
        run=lambda windows: next(answers), side=96, grid=(1, 2), words=("a", "b"), facts=NetworkFacts(name="words")
    )
    whole = WholeFrames(network, min_score=0.2, carry=carry)
    return [whole.steps([np.zeros((96, 96, 3), np.uint8)])[0] for _ in frames]


def test_nothing_carried_is_every_frame_for_itself() -> None:
    plain = search(scene(blinks=True), 0.0)
    assert [len(found.boxes) for found in plain] == [2, 1, 2, 1, 2, 1] and plain[0].ids is None
    scores = np.random.default_rng(0).random((5, 2))
    carried = CarriedQueries(0.0)
    carried.numbered(np.ones((1, 4)), np.ones(1), np.zeros(1, np.int64), np.ones((1, 3)))
    assert carried.raised(scores, np.ones((5, 4)), np.ones((5, 3))) is scores


def test_carried_objects_do_not_blink_and_keep_their_numbers() -> None:
    found = search(scene(blinks=True), 0.9)
    assert [len(item.boxes) for item in found] == [2] * 6
    owners = [{float(box[1]): int(number) for box, number in zip(item.boxes, item.ids, strict=True)} for item in found]
    assert sorted(owners[0].values()) == [1, 2]
    assert all(names == owners[0] for names in owners)  # by their heights, which differ
    same = search([scene(blinks=False)[0]] * 4, 0.9)
    assert all((item.ids == same[0].ids).all() for item in same)  # a frame shown again changes nobody


def test_what_leaves_is_forgotten() -> None:
    carried = CarriedQueries(0.9)
    box, one, label = np.array([[0.0, 0, 10, 10]]), np.ones(1), np.zeros(1, np.int64)
    looks = np.eye(1, 3)
    assert carried.numbered(box, one, label, looks).tolist() == [1]
    raised = [carried.raised(np.zeros((1, 1)), box, looks)[0, 0]]
    for _ in range(7):
        carried.numbered(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 3)))
        raised.append(carried.raised(np.zeros((1, 1)), box, looks)[0, 0])
    assert raised[0] == pytest.approx(0.9) and all(a > b for a, b in pairwise(raised[:6]))
    assert raised[-1] == 0 and carried.numbered(box, one, label, looks).tolist() == [2]
