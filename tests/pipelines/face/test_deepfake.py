"""Self-blends differ where they say, cues see them, and the command keeps silent where it knows nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.datasets.sets.face_fakes import read_fakes, read_marked
from vitapps.datasets.synth.self_blended import blending_mask, self_blend
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.face.blend_cues import SIZE, blend_cues
from vitapps.pipelines.face.deepfake import Deepfake, DeepfakeSettings
from vitapps.pipelines.face.deepfake_eval import evaluate
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, RangeTested
from vitapps.pipelines.face.train_deepfake import train

MARKS = np.array([[66.0, 72], [126, 72], [96, 104], [72, 136], [120, 136]])


def face(seed: int) -> NDArray[np.uint8]:
    return photograph(seed, 192, 192, quality=92)


def softened(seed: int) -> NDArray[np.uint8]:
    """A face whose inner part is softer than what is around it, as a swap's is."""
    pixels = face(seed)
    mask = np.zeros((192, 192, 1), np.float32)
    cv2.ellipse(mask, (96, 100), (50, 64), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(pixels, (0, 0), 2.0)
    return (pixels + cv2.GaussianBlur(mask, (0, 0), 4)[..., None] * (soft.astype(np.float32) - pixels)).astype(np.uint8)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    names = ("reye", "leye", "nose", "rmouth", "lmouth")
    rows = ["file,label,person_hint,box_x,box_y,box_w,box_h," + ",".join(f"{name}_x,{name}_y" for name in names)]
    for number in range(9):
        write_png(root / f"{number}.png", face(number))
        marks = ",".join(f"{x},{y}" for x, y in MARKS)
        rows.append(f"{number}.png,no_mask,p{number},22,22,148,148,{marks}")
    rows.append("9.png,mask,p9,,,,,,,,,,,,,,")
    (root / "faces_rgb.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def swaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("swaps")
    for kind, make in (("real", face), ("fake", softened)):
        (root / "set" / kind).mkdir(parents=True)
        for number in range(6):
            write_png(root / "set" / kind / f"v{number // 2}_{number:03}.png", make(20 + number))
    (root / "made" / "fake").mkdir(parents=True)
    write_png(root / "made" / "fake" / "one_1.png", softened(40))
    return root


@pytest.fixture(scope="module")
def card(faces: Path, swaps: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train(faces, tmp_path_factory.mktemp("card"), swaps=swaps))


def test_blends_differ_inside_the_mask_alone() -> None:
    changed_in, changed_out = [], []
    for seed in range(6):
        plain, blended, mask = self_blend(face(1), MARKS, seed)
        assert plain.shape == blended.shape == (192, 192, 3) and mask.min() >= 0 and mask.max() <= 1
        change = np.abs(plain.astype(int) - blended).mean(axis=2)
        changed_in.append(change[mask > 0.15].mean())
        changed_out.append(change[mask < 0.01].mean())
        np.testing.assert_array_equal(blended, self_blend(face(1), MARKS, seed)[1])
    assert np.mean(changed_in) > 3 * np.mean(changed_out)


def test_masks_lie_on_the_face() -> None:
    for seed in range(8):
        mask = blending_mask(192, 192, MARKS, np.random.default_rng(seed))
        assert mask[104, 96] > 0.1 or mask[136, 96] > 0.1
        assert mask[:, :6].max() < 0.2 and 0.02 < (mask > 0.1).mean() < 0.7


def test_cues_rise_where_the_ring_is_sharper() -> None:
    plain, soft = (np.stack([blend_cues(make(seed)) for seed in range(6)]) for make in (face, softened))
    kinds = 8  # maps: the first ratio block is inner against outer
    assert (soft[:, 0] < plain[:, 0] - 0.3).all()  # finest octave, inner against outer
    assert np.isfinite(blend_cues(np.zeros((SIZE, SIZE, 3), np.uint8))).all()
    assert plain.shape[1] == 6 * kinds + 12


def test_sets_are_read_by_video(swaps: Path, faces: Path, tmp_path: Path) -> None:
    cases = read_fakes(swaps)
    assert len({case.video for case in cases if case.source == "set"}) == 6
    assert [case.generated for case in cases if case.source == "made"] == [True]
    assert len(read_marked(faces)) == 9 and read_marked(faces)[0].side == 148
    for reader in (read_fakes, read_marked):
        with pytest.raises(UnreadableInputError):
            reader(tmp_path)


def test_untested_models_keep_silent(card: str, swaps: Path, tmp_path: Path) -> None:
    judge = Deepfake(card, DeepfakeSettings(crop=True, preview=True), RunOptions())
    judge.model = replace(judge.model, tested=replace(judge.model.tested, low=0.45))
    found = judge.judge(swaps / "set" / "fake" / "v0_000.png", tmp_path / "a.json")
    assert found.verdict == "withheld" and "chance" in found.withheld[0]
    assert (tmp_path / "a.json.preview.png").exists() and (tmp_path / "a.json.run.json").exists()
    assert not RangeTested(smallest=1, swap_auc=0.6, low=0.49, high=0.7, fake_from=0.7, none_below=0.2).speaks


def test_a_tested_model_speaks_within_its_range(card: str, swaps: Path, tmp_path: Path) -> None:
    model = DeepfakeModel.load(card)
    assert 0 <= model.tested.none_below < 1 and 0 < model.tested.fake_from < 1.01
    assert model.tested.swap_auc > 0.8 and model.tested.speaks
    judge = Deepfake(card, DeepfakeSettings(crop=True), RunOptions())
    assert judge.judge(swaps / "set" / "fake" / "v0_000.png").verdict in ("fake", "no trace", "unsure")
    write_png(tmp_path / "small.png", face(3)[:40, :40])
    assert judge.judge(tmp_path / "small.png").verdict == "withheld"


def test_evaluation_beside_its_baselines(card: str, swaps: Path) -> None:
    report = evaluate(swaps, weights=card, robustness=True)
    sources = {row.source for row in report.rows}
    assert sources == {"set", "made (generated)", "all swaps"}
    assert len({row.method for row in report.rows}) == 3
    assert {"JPEG 50", "half size"} <= set(report.robustness)
    ratio = next(row for row in report.rows if row.source == "set" and row.method.startswith("inner/outer"))
    assert ratio.auc > 0.9


def test_commands(card: str, swaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(swaps / "set" / "real" / "v0_000.png")
    assert main(["face", "deepfake", picture, "--crop", "-w", card, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] in ("fake", "no trace", "unsure", "withheld")
    assert main(["face", "deepfake", picture, "--crop", "-w", card, "--preview"]) == 2
    assert main(["face", "deepfake", str(tmp_path / "none.png"), "--crop", "-w", card]) == 3
    capsys.readouterr()
    assert main(["face", "eval", "deepfake", "--data", str(swaps), "-w", card]) == 0
    assert "all swaps" in capsys.readouterr().out


def test_other_cards_are_refused() -> None:
    with pytest.raises(MissingError):
        DeepfakeModel.load("trees-neon")
