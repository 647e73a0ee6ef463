"""The text detector: its maps, what it is to answer for a page, its loss, and a training of two steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitapps.datasets.formats.page_text import Block, Line, Page, quad_of  # noqa: E402
from vitapps.datasets.synth.pages import make_page  # noqa: E402
from vitapps.datasets.synth.text.fonts import find_faces  # noqa: E402
from vitapps.pipelines.document.detector_targets import (  # noqa: E402
    FIGURE,
    NOTHING,
    TEXT,
    detector_loss,
    page_maps,
    windows_of,
)
from vitapps.pipelines.document.train_detector import DetectorFit, fit_detector  # noqa: E402
from vitapps.shared_backbones.models.text_detector import TextDetector, TextDetectorConfig  # noqa: E402

FACES = find_faces(())  # Pillow's own, on every machine the same


def one_line(rotation: int = 0) -> Page:
    line = Line(words=(), quad=quad_of((32, 40, 128, 72)))
    blocks = (Block(lines=(line,)), Block(lines=(), kind="figure", box=(160, 96, 240, 144)))
    return Page(width=256, height=160, blocks=blocks, rotation=rotation)


def test_maps_of_one_line() -> None:
    maps = page_maps(one_line())
    rows, columns = np.nonzero(maps.kernel)
    assert (rows.min(), rows.max()) == (12, 15)  # the band 48.3 to 63.7 of the line 40 to 72, in cells of 4
    assert columns.min() * 4 >= 32
    assert columns.max() * 4 <= 124
    assert maps.sides[:, 13, 20].tolist() == [14.0, 18.0]  # the cell's centre is at y = 54
    assert maps.kinds[3, 4] == TEXT
    assert maps.kinds[7, 12] == FIGURE
    assert maps.kinds[0, 0] == NOTHING
    assert maps.turn[3, 4] == 0
    assert maps.turn[0, 0] == -1


def test_pages_that_lie_on_their_side_teach_the_turn_but_no_kernel() -> None:
    maps = page_maps(one_line(90))
    assert not maps.kernel.any()
    assert maps.turn[3, 4] == 1
    made = make_page(3, faces=FACES, kind="sparse", turn=90, skew=0.0, worn=False, largest=400)
    window = next(iter(windows_of(made, 1, 320, np.random.default_rng(0))))
    assert (window[1] == -1).all()


def test_shapes_and_a_loss_that_falls_to_almost_nothing_for_the_right_answer() -> None:
    config = TextDetectorConfig(window=(64, 64), stem=(8, 8, 16), dim=16, depth=1, heads=2, pyramid=(8, 8))
    kernel, sides, regions, features = TextDetector(config)(torch.rand(2, 1, 64, 64))
    assert features.shape == (2, 8 + 16, 8, 8)  # the fine map and the tokens at stride 8
    assert (kernel.shape, sides.shape, regions.shape) == ((2, 1, 16, 16), (2, 2, 16, 16), (2, 8, 4, 4))
    maps = page_maps(one_line())
    target = torch.from_numpy(maps.kernel)[None, None]
    want = torch.from_numpy(maps.sides)[None]
    kinds, turn = torch.from_numpy(maps.kinds)[None], torch.from_numpy(maps.turn)[None]
    sure = torch.cat([torch.nn.functional.one_hot(part, 4) for part in (kinds, turn.clamp(min=0))], dim=-1)
    right = (40 * target - 20, want, 40.0 * sure.permute(0, 3, 1, 2))
    wrong = (-right[0], want + 5, -right[2])
    assert float(detector_loss(right, target, want, kinds, turn)) < 0.02
    assert float(detector_loss(wrong, target, want, kinds, turn)) > 5


def test_training_is_the_same_for_a_seed(tmp_path: Path) -> None:
    config = DetectorFit(steps=1, batch=1, windows=1)
    first = fit_detector(tmp_path / "a.pt", config).line.weight
    second = fit_detector(tmp_path / "b.pt", config).line.weight
    assert torch.equal(first, second)
