"""Two passes over large frames: as good as tiling where the rough pass sees something, with a share of its calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fakes.discs import boxes_of, draw, predict
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import read_tracks
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.detect import Detector, DetectSettings, detect
from vitapps.pipelines.video.two_pass import TwoPassConfig, TwoPassDetector
from vitapps.pipelines.windows.boxes import match

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
    with pytest.raises(UnreadableInputError, match="no frame"):
        detect(str(folder), tmp_path / "b.csv", weights="", settings=DetectSettings(start=50.0), detector=detector)
    assert not (tmp_path / "b.csv").exists()
    with pytest.raises(UsageError, match="rough"):
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
        assert "Traceback" not in capsys.readouterr().err
