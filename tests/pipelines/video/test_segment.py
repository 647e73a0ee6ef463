"""`vitapps video segment` on a square that moves: masks that follow, files that appear whole, errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fakes.clips import squares
from vitapps.apps.main import main
from vitapps.datasets.formats.mask_series import decode_rle, read_index_png, write_index_png
from vitapps.pipelines.batch.task import Item, TaskSpec
from vitapps.pipelines.video.batch_segment import BatchTask, Settings
from vitapps.pipelines.video.davis_scores import region_similarity
from vitapps.pipelines.video.first_mask import grown_labels, mask_in_box, read_first_mask
from vitapps.pipelines.video.propagate import MaskPropagator
from vitapps.pipelines.video.segment import default_output
from vitapps.pipelines.video.starts import Prompt

FRAMES = 8
Boxes = list[tuple[float, float, float, float]]


def mask_of(box: tuple[float, float, float, float], size: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
    mask = np.zeros(size, np.uint8)
    x, y, width, height = (int(value) for value in box)
    mask[y : y + height, x : x + width] = 1
    return mask


@pytest.fixture(scope="module")
def scene() -> tuple[list[NDArray[np.uint8]], Boxes]:
    return squares(FRAMES)


@pytest.fixture
def clip(tmp_path: Path, scene: tuple[list[NDArray[np.uint8]], Boxes]) -> tuple[Path, Path]:
    """(folder of pictures, mask of the first)."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, picture in enumerate(scene[0]):
        Image.fromarray(picture).save(folder / f"{number:05d}.png")
    write_index_png(tmp_path / "first.png", mask_of(scene[1][0]))
    return folder, tmp_path / "first.png"


def test_masks_follow_the_object(scene: tuple[list[NDArray[np.uint8]], Boxes]) -> None:
    pictures, boxes = scene
    propagator = MaskPropagator(pictures[0], mask_of(boxes[0]))
    found = [propagator.step(picture) for picture in pictures[1:]]
    assert min(region_similarity(a > 0, mask_of(b) > 0) for a, b in zip(found, boxes[1:], strict=True)) > 0.75
    assert region_similarity(found[-1] > 0, mask_of(boxes[0]) > 0) < 0.4  # a mask that stays does not pass


def test_two_objects_keep_their_numbers(scene: tuple[list[NDArray[np.uint8]], Boxes]) -> None:
    pictures, boxes = scene
    labels = 7 * mask_of(boxes[0])
    labels[80:110, 100:150] = 3  # a piece of the still background
    propagator = MaskPropagator(pictures[0], labels)
    last = [propagator.step(picture) for picture in pictures[1:4]][-1]
    assert set(np.unique(last)) == {0, 3, 7}
    assert region_similarity(last == 7, mask_of(boxes[3]) > 0) > 0.75
    assert (last[80:110, 100:150] == 3).mean() > 0.8


def test_a_folder_of_masks_and_its_record(
    clip: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, mask = clip
    words = ["video", "segment", str(source), "--mask", str(mask), "-o", str(tmp_path / "out"), "--preview", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["objects"], said["lost_s"]) == (FRAMES, [1], {})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n:05d}.png" for n in range(FRAMES)]
    assert np.array_equal(read_index_png(tmp_path / "out" / "00000.png"), read_index_png(mask))
    assert (tmp_path / "out.preview.png").exists()
    assert json.loads((tmp_path / "out.run.json").read_text())["results"]["frames"] == FRAMES
    assert main(words) == 5  # exists
    assert main([*words, "--overwrite"]) == 0


def test_where_masks_go_without_a_name() -> None:
    for source, wanted in (
        ("a/dog.mp4", "a/dog_masks"), ("a/img_%05d.png", "a/img_masks"), ("a/img.*.png", "a/img_masks"),
        ("a/%d.png", "a/clip_masks"), ("rtsp://camera/1", "clip_masks"),
    ):  # fmt: skip
        assert default_output(source) == Path(wanted)


def test_run_lengths_and_a_drawn_clip_say_the_same_as_the_folder(clip: tuple[Path, Path], tmp_path: Path) -> None:
    source, mask = clip
    for name in ("out", "out.json", "out.mp4"):
        assert main(["video", "segment", str(source), "--mask", str(mask), "-o", str(tmp_path / name), "-q"]) == 0
    table = json.loads((tmp_path / "out.json").read_text())
    last = table["frames"][-1]
    code = {"size": table["size"], "counts": last["objects"]["1"]}
    assert np.array_equal(decode_rle(code), read_index_png(tmp_path / "out" / f"{last['frame']:05d}.png") == 1)
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_what_is_wrong_with_a_mask_is_said(
    clip: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = clip
    write_index_png(tmp_path / "none.png", np.zeros((120, 160), np.uint8))
    write_index_png(tmp_path / "tall.png", np.ones((160, 120), np.uint8))
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    good = tmp_path / "first.png"
    cases = {
        (str(source), "none.png", "out"): (3, "marks no object"),
        (str(source), "tall.png", "out"): (2, "120 x 160"),
        (str(source), "torn.png", "out"): (3, "torn.png"),
        (str(source), "absent.png", "out"): (3, "absent.png"),
        (str(tmp_path / "empty.mp4"), good.name, "out"): (3, "empty"),
        (str(tmp_path / "absent.mp4"), good.name, "out"): (3, "no such file"),
        (str(source), good.name, "out.xyz"): (2, ".xyz"),
        (str(source), good.name, "clip"): (5, "clip"),
    }  # fmt: skip
    for (film, mask, out), (code, words) in cases.items():
        assert main(["video", "segment", film, "--mask", str(tmp_path / mask), "-o", str(tmp_path / out)]) == code
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
        assert out == "clip" or not (tmp_path / out).exists()


def test_a_painted_mask_with_soft_edges_is_one_object(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :80]
    soft = np.clip(255 - 8 * (np.hypot(x - 40, y - 30) - 12), 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    found = read_first_mask(tmp_path / "soft.png")
    assert np.array_equal(found, (soft > 127).astype(np.uint8))


def test_eval_prints_both_methods(clip: tuple[Path, Path], tmp_path: Path, scene: tuple[list[NDArray[np.uint8]], Boxes],
                                  capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / part / "480p" / "square").mkdir(parents=True)
    for number, (picture, box) in enumerate(zip(*scene, strict=True)):
        Image.fromarray(picture).save(tmp_path / "JPEGImages" / "480p" / "square" / f"{number:05d}.jpg", quality=95)
        Image.fromarray(255 * mask_of(box)).save(tmp_path / "Annotations" / "480p" / "square" / f"{number:05d}.png")
    assert main(["video", "eval", "segment", "--data", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["method"] for row in rows] == ["vitapps", "vitapps", "flow + GrabCut", "flow + GrabCut"]
    assert rows[0]["J&F"] > 0.75
    assert main(["video", "eval", "segment", "--data", str(tmp_path / "clip")]) == 3
    assert main(["video", "eval", "segment", "--data", str(tmp_path), "--sequence", "cow"]) == 2


def test_the_batch_task_finds_the_mask_beside_the_clip(clip: tuple[Path, Path], tmp_path: Path) -> None:
    source, mask = clip
    mask.rename(tmp_path / "clip.png")
    spec = TaskSpec(settings=Settings())
    item = Item(input=source, out=tmp_path / f"clip{BatchTask.extension(spec)}")
    done = BatchTask(spec)(item)
    assert item.out in done.outputs
    assert done.summary == {"frames": FRAMES, "objects": 1, "lost": 0}
    assert main([*BatchTask.words(spec, item), "--overwrite", "-q"]) == 0


def test_a_box_or_a_point_is_enough(clip: tuple[Path, Path], tmp_path: Path, scene: tuple[list, Boxes]) -> None:
    source, mask = clip
    x, y, width, height = (int(value) for value in scene[1][0])
    around = f"{x - 6},{y - 6},{width + 12},{height + 12}"
    middle = f"{x + width // 2},{y + height // 2}"
    for words in (["--box", around], ["--point", middle]):
        out = tmp_path / words[0]
        assert main(["video", "segment", str(source), *words, "-o", str(out)]) == 0
        assert region_similarity(read_index_png(out / "00000.png") > 0, read_index_png(mask) > 0) > 0.7
        assert region_similarity(read_index_png(out / "00007.png") > 0, mask_of(scene[1][7]) > 0) > 0.6
        assert "GrabCut" in json.loads((tmp_path / f"{words[0]}.run.json").read_text())["warnings"][0]


def test_two_boxes_are_two_objects_and_the_smaller_one_shows(scene: tuple[list, Boxes]) -> None:
    picture = scene[0][0]
    x, y, width, height = scene[1][0]
    small = Prompt(where=(x + 4, y + 4, width / 2, height / 2))
    labels = grown_labels(picture, [Prompt(where=(x - 8, y - 8, width + 16, height + 16)), small])
    assert set(np.unique(labels)) == {0, 1, 2}
    flat = np.full((80, 80, 3), 90, np.uint8)  # nothing differs from anything: the ellipse in the box
    ellipse = mask_in_box(flat, np.array([20.0, 20, 60, 60]))
    assert ellipse[40, 40] and not ellipse[21, 21] and 0.6 < ellipse.sum() / 1600 < 0.9
    whole = mask_in_box(flat, np.array([0.0, 0, 80, 80]))
    assert whole.any()


@pytest.mark.parametrize(
    "words",
    [
        [], ["--box", "900,900,20,20"], ["--point", "-3,5"], ["--box", "1,2,3"],
        ["--box", "10,10,30,30@2", "--end", "1"],
        ["--box", "10,10,30,30@-1"], ["--box", "20,20,24,24", "--box", "20,20,24,24"],
        ["--mask", "first.png", "--box", "10,10,30,30"],
    ],
)  # fmt: skip
def test_what_cannot_begin_a_mask(clip: tuple[Path, Path], tmp_path: Path, words: list[str]) -> None:
    words = [str(tmp_path / word) if word.endswith(".png") else word for word in words]
    assert main(["video", "segment", str(clip[0]), *words, "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_objects_that_begin_later(
    clip: tuple[Path, Path], tmp_path: Path, scene: tuple[list, Boxes], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y, width, height = (int(value) for value in scene[1][3])
    later = f"{x - 6},{y - 6},{width + 12},{height + 12}@{3 / 25}"
    words = ["video", "segment", str(clip[0]), "--json"]
    assert main([*words, "--box", later, "--box", "100,80,50,30", "-o", str(tmp_path / "two")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["objects"], said["frames"]) == ([1, 2], FRAMES)
    labels = [read_index_png(tmp_path / "two" / f"{number:05d}.png") for number in range(FRAMES)]
    assert [(1 in found, 2 in found) for found in labels[1:4]] == [(False, True), (False, True), (True, True)]
    assert region_similarity(labels[7] == 1, mask_of(scene[1][7]) > 0) > 0.6
    assert main([*words, "--box", later, "-o", str(tmp_path / "one")]) == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir())[0] == "00003.png"  # nothing before it begins
    assert main([*words, "--box", "20,20,24,24@9", "-o", str(tmp_path / "none")]) == 3
    assert not (tmp_path / "none").exists()
