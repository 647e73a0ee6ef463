"""Two passes over large frames: as good as tiling where the rough pass sees something, with a share of its calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fakes.discs import boxes_of, draw, predict, scattered
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import read_tracks
from vitapps.datasets.samples import read_faces
from vitapps.datasets.synth.large_scene import LargeScene
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.detect import Detector, DetectSettings, detect, load_detector
from vitapps.pipelines.video.two_pass import TwoPassConfig, TwoPassDetector, scales_for
from vitapps.pipelines.windows.boxes import match
from vitapps.provenance import sha256_files

SIZE = (480, 640)
CONFIG = TwoPassConfig(window=96, thresholds=(0.6,), rough=0.25, refresh=0)
DISCS = [(100.0, 90.0, 11.0), (520.0, 400.0, 12.0)]


def frame(discs: list[tuple[float, float, float]]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(draw(SIZE, discs).transpose(1, 2, 0))


def hits(search: TwoPassDetector, discs: list[tuple[float, float, float]]) -> tuple[int, int, int, int]:
    """(discs found, boxes, calls, tiles) of one frame."""
    found = search.step(frame(discs))
    return int(match(found.boxes, found.scores, boxes_of(discs), 0.6).sum()), len(found.boxes), found.calls, found.tiles


def test_few_objects_need_few_calls() -> None:
    search = TwoPassDetector(predict, CONFIG)
    first = hits(search, DISCS)
    assert first[:2] == (2, 2)
    assert first[2] > first[3]  # the first frame is looked at everywhere, after the rough pass
    found, boxes, calls, tiles = hits(search, DISCS)
    assert (found, boxes) == (2, 2)
    assert calls < tiles / 4
    plain = TwoPassDetector(predict, CONFIG, everywhere=True)
    assert hits(plain, DISCS) == (2, 2, tiles, tiles)


def test_what_the_rough_pass_misses_is_carried_over_time() -> None:
    """A disc of three pixels vanishes at a quarter of the size: kept while it stands still, found again by change."""
    tiny = [*DISCS, (300.0, 240.0, 4.0)]
    blind = TwoPassConfig(window=96, thresholds=(0.6,), rough=0.05, refresh=0)
    search = TwoPassDetector(predict, blind)
    assert hits(search, tiny)[0] == 3
    assert hits(search, tiny)[0] == 3  # where it was in the last frame
    moved = [*DISCS, (304.0, 243.0, 4.0)]
    assert hits(search, moved)[0] == 3
    late = TwoPassDetector(predict, blind)
    hits(late, DISCS)
    assert hits(late, [*DISCS, (180.0, 330.0, 12.0)])[0] >= 2


def test_a_refresh_looks_everywhere() -> None:
    search = TwoPassDetector(predict, TwoPassConfig(window=96, thresholds=(0.6,), rough=0.05, refresh=2))
    calls = [hits(search, DISCS)[2] for _ in range(3)]
    assert calls[0] == calls[2] > calls[1]


def test_a_frame_searched_whole_gives_what_tiling_gives() -> None:
    """With every window forced and a rough pass that is sure of nothing, box by box."""
    config = TwoPassConfig(window=96, thresholds=(0.6,), rough=0.1, refresh=1)
    ours, plain = TwoPassDetector(predict, config), TwoPassDetector(predict, config, everywhere=True)
    discs = scattered(SIZE, 20)
    for shift in (0, 5):
        pixels = frame([(x + shift, y, r) for x, y, r in discs])
        one, other = ours.step(pixels), plain.step(pixels)
        assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.scores, other.scores)
        assert len(one.boxes) == 20  # also those across the edges of windows: one box each


def test_frames_searched_together_share_batches() -> None:
    """As many discs as one by one, in fewer calls of the network; the first frame is the only one searched whole."""
    sizes: list[int] = []

    def counted(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sizes.append(len(windows))
        return predict(windows)

    frames = [frame([(x + 3 * step, y, r) for x, y, r in DISCS]) for step in range(5)]
    alone = TwoPassDetector(counted, CONFIG)
    singly = [alone.step(pixels) for pixels in frames]
    calls = len(sizes)
    together = TwoPassDetector(counted, CONFIG)
    found = [together.step(frames[0]), *together.steps(frames[1:])]
    assert len(sizes) - calls < calls
    assert [len(item.boxes) for item in found] == [2] * 5
    for one, other in zip(singly, found, strict=True):
        assert np.allclose(one.boxes[np.argsort(one.boxes[:, 0])], other.boxes[np.argsort(other.boxes[:, 0])])
    assert max(item.calls for item in found[1:]) < found[0].calls / 2


def test_windows_follow_the_size_of_objects() -> None:
    assert scales_for(36.0, 12.0) == (pytest.approx(1 / 3), 1.0)
    small, large = scales_for(18.0, 12.0), scales_for(144.0, 12.0)
    assert small == (pytest.approx(2 / 3), 2.0)  # enlarged
    assert large == (pytest.approx(1 / 12), 0.25)  # a window covers four times as much a side


def test_a_large_scene_is_what_its_boxes_say() -> None:
    cutout = np.full((40, 30, 3), 250, np.uint8), (5, 8, 20, 24)
    scene = LargeScene(cutouts=[cutout], number=12, size=(300, 400), sides=(20.0, 30.0))
    (first, boxes), (again, _), (later, moved) = scene.frame(0), scene.frame(0), scene.frame(9)
    assert np.array_equal(first, again)
    assert len(boxes) == 12
    assert (boxes[:, 3] - boxes[:, 1]).min() >= 19
    assert np.abs(moved - boxes).max() > 3
    for pixels, drawn in ((first, boxes), (later, moved)):
        x, y = ((drawn[:, :2] + drawn[:, 2:]) / 2).astype(int).T
        assert pixels[y, x].min() > 235  # bright where the objects are
        assert np.median(pixels) < 140
    assert (
        len(LargeScene(cutouts=[cutout], number=500, size=(100, 100), sides=(20.0, 30.0)).objects) < 20
    )  # no more than there is room


def test_a_finder_of_faces_is_a_detector(tmp_path: Path) -> None:
    """The embedded card through the command's loader, on a bundled portrait inside a larger frame."""
    detector = load_detector("face-finder", DetectSettings(smallest=36.0), RunOptions(threads=1))
    assert (detector.config.window, detector.config.scale, detector.config.peaks) == (128, 1.0, True)
    scene = LargeScene(cutouts=read_faces(), number=2, size=(160, 240), sides=(60.0, 70.0), speed=0.0)
    pixels, boxes = scene.frame(0)
    found = TwoPassDetector(detector.predict, detector.config).step(pixels)
    assert match(found.boxes, found.scores, boxes, 0.3).sum() == 2


def test_a_frame_smaller_than_a_window() -> None:
    found = TwoPassDetector(predict, CONFIG).step(frame([(30.0, 30.0, 8.0)])[:60, :70])
    assert len(found.boxes) == 1
    assert found.tiles == 1


@pytest.fixture
def detector() -> Detector:
    return Detector(predict=predict, config=CONFIG, names=("disc",), facts=NetworkFacts(name="discs", device="cpu"))


def test_a_clip_gives_rows_that_mot_reads(tmp_path: Path, detector: Detector) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(frame(DISCS)).save(folder / f"{number}.png")
    out = tmp_path / "boxes.csv"
    result = detect(str(folder), out, weights="", settings=DetectSettings(preview=True), detector=detector)
    rows = read_tracks(out)
    assert [row.frame for row in rows] == [0, 0, 1, 1, 2, 2]
    assert {(row.id, row.label) for row in rows} == {(-1, "disc")}
    assert result.work < 0.6
    assert result.preview is not None
    assert result.preview.exists()
    record = json.loads((tmp_path / "boxes.csv.run.json").read_text())
    assert record["inputs"] == {str(folder): sha256_files(folder / f"{number}.png" for number in range(3))}
    assert record["options"]["decoder"] == "pictures"
    detect(str(folder / "%d.png"), tmp_path / "o.txt", weights="", detector=detector)
    again = json.loads((tmp_path / "o.txt.run.json").read_text())
    assert list(again["inputs"].values()) == list(record["inputs"].values()), "a pattern of the same pictures"
    with pytest.raises(UnreadableInputError, match="no frame"):
        detect(str(folder), tmp_path / "b.csv", weights="", settings=DetectSettings(start=50.0), detector=detector)
    assert not (tmp_path / "b.csv").exists()
    with pytest.raises(UsageError, match="scales 0,1"):
        detect(str(folder), tmp_path / "b.csv", weights="", settings=DetectSettings(rough=0.0), detector=detector)


def test_errors_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    for words, code in (
        ([str(clip), "-w", "trees-neon", "-o", str(tmp_path / "o.csv")], 3),
        ([str(tmp_path / "no.mp4"), "-w", "trees-neon", "-o", str(tmp_path / "o.csv")], 3),
        ([str(clip), "-w", "trees-neon", "-o", str(tmp_path / "o.xyz")], 2),
    ):
        assert main(["video", "detect", *words]) == code
        shown = capsys.readouterr().err
        assert "Traceback" not in shown and "--format" not in shown, "an option that it has not"
