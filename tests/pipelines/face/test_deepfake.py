"""Blends differ where they say, cues see them, and the command keeps silent where it knows nothing."""

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
from vitapps.datasets.synth.swapped_faces import swap_like, through_h264
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.blend_cues import CELLS, CHANNELS, SIZE, blend_cues
from vitapps.pipelines.face.deepfake import Deepfake, DeepfakeSettings, judgement
from vitapps.pipelines.face.deepfake_band import fit_on_blends
from vitapps.pipelines.face.deepfake_eval import evaluate
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, RangeTested, with_band
from vitapps.pipelines.face.face_views import FaceReader, FaceView
from vitapps.pipelines.face.train_deepfake import DeepfakeFit, train
from vitapps.pipelines.face.train_deepfake_tower import TowerFit
from vitapps.pipelines.face.train_deepfake_tower import train as train_tower

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
    config = DeepfakeFit(pairs=16, tests=6, steps=6, batch=4, dim=8, depth=1)
    return str(train([faces], tmp_path_factory.mktemp("card"), config, swaps=swaps))


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


def test_swap_like_blends_differ_inside_the_mask_alone() -> None:
    changed_in, changed_out = [], []
    for seed in range(8):
        plain, blended, mask = swap_like(face(1), MARKS, face(2), MARKS + 3, seed)
        assert plain.shape == blended.shape == (192, 192, 3)
        change = np.abs(plain.astype(int) - blended).mean(axis=2)
        changed_in.append(change[mask > 0.15].mean())
        changed_out.append(change[mask < 0.01].mean())
    np.testing.assert_array_equal(blended, swap_like(face(1), MARKS, face(2), MARKS + 3, 7)[1])
    assert np.mean(changed_in) > 1.5 * np.mean(changed_out)


def test_a_video_codec_leaves_size_and_likeness() -> None:
    pixels = face(4)[:101, :77]
    coarse, fine = through_h264(pixels, 40), through_h264(pixels, 16)
    assert coarse.shape == fine.shape == pixels.shape
    errors = [np.abs(found.astype(int) - pixels).mean() for found in (fine, coarse)]
    assert errors[0] < errors[1] < 30


def test_cues_fall_where_the_face_is_softer() -> None:
    crops = [np.stack([blend_cues(make(seed)[32:160, 32:160]) for seed in range(6)]) for make in (face, softened)]
    assert crops[0].shape == (6, CHANNELS, CELLS, CELLS)
    middle = [values[:, 0, 6:10, 6:10].mean(axis=(1, 2)) for values in crops]  # the finest octave
    assert (middle[1] < middle[0] - 0.3).all()
    assert np.isfinite(blend_cues(np.zeros((SIZE, SIZE, 3), np.uint8))).all()
    grey = np.repeat(face(1)[:SIZE, :SIZE, :1], 3, axis=2)
    assert not blend_cues(grey)[[4, 5, 9, 10]].any() and blend_cues(grey)[0].any()


def test_faces_come_aligned(faces: Path) -> None:
    views, notes = FaceReader(RunOptions(threads=1), crop=True, marks=True).views(faces / "0.png")
    assert views[0].aligned(96).shape == (96, 96, 3) and views[0].side() == 192
    assert views[0].landmarks is not None or "usual places" in notes[0]
    placed = replace(views[0], landmarks=MARKS)
    assert placed.aligned(96).shape == (96, 96, 3) and (placed.aligned(96) != views[0].aligned(96)).any()


def test_a_view_scores_as_the_mean_of_its_alignments(card: str) -> None:
    model = DeepfakeModel.load(card)
    view = FaceView(pixels=face(1), landmarks=MARKS, closer=MARKS + 4)
    parts = [FaceView(pixels=face(1), landmarks=marks) for marks in (MARKS, MARKS + 4)]
    alone = model.of_views(parts)
    assert len(view.alignments(96)) == 2 and abs(alone[0] - alone[1]) > 1e-6
    both = model.of_views([view, parts[0]])
    assert both == pytest.approx([alone.mean(), alone[0]], abs=1e-4)


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
    judge = Deepfake(card, DeepfakeSettings(crop=True), RunOptions())
    judge.model = replace(judge.model, tested=replace(model.tested, low=0.6))
    assert judge.judge(swaps / "set" / "fake" / "v0_000.png").verdict in ("fake", "no trace", "unsure")
    write_png(tmp_path / "small.png", face(3)[:40, :40])
    assert judge.judge(tmp_path / "small.png").verdict == "withheld"


def test_no_verdict_where_no_face_was_found(card: str) -> None:
    model = DeepfakeModel.load(card)
    model = replace(model, tested=replace(model.tested, low=0.6, softest=0.0, roughest=255.0))
    seen, missed = (FaceView(pixels=face(1), missed=missed) for missed in (False, True))
    assert judgement(model, [seen], 0.0)[0] == "no trace"
    verdict, why = judgement(model, [missed], 0.0)
    assert verdict == "withheld" and "--crop" in why[0]


def test_evaluation_beside_its_baselines(card: str, swaps: Path) -> None:
    report = evaluate(swaps, weights=card, robustness=True)
    sources = {row.source for row in report.rows}
    assert sources == {"set", "made (generated)", "all swaps", "all swaps, by video"}
    assert len({row.method for row in report.rows}) == 3
    assert {"JPEG 50", "half size"} <= set(report.robustness)
    ratio = next(row for row in report.rows if row.source == "set" and row.method.startswith("inner/outer"))
    assert ratio.auc > 0.9
    said = {(row.source, row.truth): row for row in report.verdicts}
    assert said["all swaps", "fake"].pictures == said["all swaps", "real"].pictures == 6  # "made" is no swap
    assert all(sum(row.shares.values()) == pytest.approx(1, abs=2e-3) for row in report.verdicts)


def test_a_band_is_fitted_on_blends_and_used(
    card: str, faces: Path, swaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = DeepfakeModel.load(card)
    fit = fit_on_blends(model, [read_marked(faces)], pairs=12, rates=(0.25, 0.25))
    assert fit.none_below <= fit.fake_from and fit.pairs == 12 and "people and their" in fit.source
    assert fit.applied(model.tested).fake_from == fit.fake_from
    held = fit_on_blends(model, [read_marked(faces)], pairs=4, only_held_out=True)
    assert "people held out" in held.source
    with pytest.raises(UnreadableInputError, match="too few people"):
        fit_on_blends(model, [read_marked(faces)[:1]], pairs=4)
    out = tmp_path / "band.toml"
    words = ["face", "calibrate", "deepfake", "--data", str(faces), "-o", str(out), "-w", card, "--pairs", "10"]
    assert main(words) == 0 and "unsure of untouched" in capsys.readouterr().out
    assert main(words) == 5  # exists already
    out.write_text(f'model = "{model.facts.name}"\nfake_from = 1e-6\nnone_below = 0.0\nsource = "here"\n')
    assert with_band(model, out).tested.fake_from == 1e-6 and with_band(model, None) is model
    out.write_text(out.read_text().replace(model.facts.name, "another"))
    with pytest.raises(UsageError, match="another"):
        with_band(model, out)
    picture = str(swaps / "set" / "real" / "v0_000.png")
    assert main(["face", "deepfake", picture, "-w", card, "--calibration", str(tmp_path / "none.toml")]) == 3


def test_a_clip_scores_as_its_mean_logit(card: str, tmp_path: Path) -> None:
    """As `face eval deepfake` scores whole videos."""
    (tmp_path / "clip").mkdir()
    for number in range(3):
        write_png(tmp_path / "clip" / f"{number:03}.png", (face, softened, softened)[number](30 + number))
    judge = Deepfake(card, DeepfakeSettings(crop=True), RunOptions())
    found = judge.judge(tmp_path / "clip")
    frames = np.array([score for _, score in found.frame_scores])
    mean = np.log(frames / (1 - frames)).mean()
    assert found.frames == 3 and found.score == pytest.approx(1 / (1 + np.exp(-mean)), abs=2e-3)


def test_commands(card: str, swaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(swaps / "set" / "real" / "v0_000.png")
    assert main(["face", "deepfake", picture, "--crop", "-w", card, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] in ("fake", "no trace", "unsure", "withheld")
    assert main(["face", "deepfake", picture, "--crop", "-w", card, "--preview"]) == 2
    assert main(["face", "deepfake", str(tmp_path / "none.png"), "--crop", "-w", card]) == 3
    capsys.readouterr()
    assert main(["face", "eval", "deepfake", "--data", str(swaps), "-w", card]) == 0
    assert "all swaps" in capsys.readouterr().out


def test_resume_takes_the_cues_and_ends_the_same(faces: Path, tmp_path: Path) -> None:
    config = DeepfakeFit(pairs=8, tests=2, steps=4, batch=2, dim=8, depth=1)
    first = DeepfakeModel.load(str(train([faces], tmp_path, config)))
    written = (tmp_path / "cues.npz").stat().st_mtime_ns
    again = DeepfakeModel.load(str(train([faces], tmp_path, config, resume=True)))
    assert (tmp_path / "cues.npz").stat().st_mtime_ns == written
    crops = [face(seed)[:SIZE, :SIZE] for seed in range(3)]
    np.testing.assert_array_equal(first.logits(crops), again.logits(crops))
    assert first.logits([crops[0]]) == pytest.approx(first.logits([crops[0][:, ::-1]]), abs=0.05)


def test_a_clip_tower_of_a_folder(faces: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**shape, image_size=32, patch_size=8)
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path / "tower")
    fit = TowerFit(steps=2, batch=2, tests=4)
    card = str(train_tower([faces], str(tmp_path / "tower"), tmp_path / "out", fit))
    model = DeepfakeModel.load(card, RunOptions(threads=1))
    assert model.size == 32 and np.isfinite(model.logits([face(1)[:32, :32]])).all()
    assert not model.tested.speaks
    with pytest.raises(MissingError):
        train_tower([faces], str(tmp_path / "nowhere"), tmp_path / "out", fit)
    with pytest.raises(MissingError, match="knows no fakes"):
        DeepfakeModel.load("timm:vit_base_patch16_clip_224.openai")


def test_other_cards_are_refused() -> None:
    with pytest.raises(MissingError):
        DeepfakeModel.load("trees-neon")
