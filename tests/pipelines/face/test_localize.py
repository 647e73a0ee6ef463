"""Evidence of editing on pictures whose edit is known, and the command that writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.synth.tampering import KINDS, tamper
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.face.evidence import fuse
from vitapps.pipelines.face.evidence.ela import LOWER, QUALITY, compressed, error_level, telling_quality
from vitapps.pipelines.face.evidence.fuse import Calibration, gather
from vitapps.pipelines.face.evidence.ghost import jpeg_ghost
from vitapps.pipelines.face.evidence.grid import block_grid
from vitapps.pipelines.face.evidence.guided import guided_filter
from vitapps.pipelines.face.evidence.noise import noise_level
from vitapps.pipelines.face.evidence.picture import PictureCurve, inconsistency
from vitapps.pipelines.face.evidence.selfmatch import self_match
from vitapps.pipelines.face.localize import LocalizeSettings, localize
from vitapps.pipelines.face.localize_calibrate import calibrate, calibration_text, read_calibration
from vitapps.pipelines.face.localize_eval import Row, bars_of, evaluate
from vitapps.pipelines.face.scores import auc

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PATCH = np.s_[80:176, 96:208]


def spliced(again: int = 95) -> tuple[Pixels, NDArray[np.bool_]]:
    """A patch that was never compressed in a picture that was, all compressed once more at quality `again` (0: not)."""
    picture, donor = photograph(1, quality=60), photograph(2, quality=0)
    picture[PATCH] = donor[PATCH]
    mask = np.zeros(picture.shape[:2], bool)
    mask[PATCH] = True
    return compressed(picture, again) if again else picture, mask


@pytest.mark.parametrize("trace", [error_level, jpeg_ghost, block_grid])
def test_a_splice_stands_out(trace: Callable[[Pixels], Floats]) -> None:
    pixels, mask = spliced(again=95 if trace is not block_grid else 0)
    values = trace(pixels)
    assert values.shape == mask.shape
    assert auc(values.ravel().astype(float), mask.ravel()) > (0.65 if trace is block_grid else 0.75)


def test_noise_stands_out() -> None:
    pixels = cv2.GaussianBlur(photograph(3, quality=0), (0, 0), 1.5)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[PATCH] = True
    noisy = pixels + np.random.default_rng(0).normal(0, 4, pixels.shape) * mask[..., None]
    assert auc(noise_level(noisy.clip(0, 255).astype(np.uint8)).ravel().astype(float), mask.ravel()) > 0.95


def test_a_copy_is_found_at_source_and_target() -> None:
    pixels = photograph(4, quality=0)
    assert self_match(pixels).inliers == 0
    pixels[150:230, 210:290] = pixels[20:100, 30:110]
    found = self_match(compressed(pixels, 90))
    assert found.inliers >= 6
    assert found.mask[30:90, 40:100].mean() > 0.7 and found.mask[160:220, 220:280].mean() > 0.7
    outside = found.mask.copy()
    outside[10:110, 20:120] = outside[140:240, 200:300] = 0
    assert outside.mean() < 0.02


def test_guided_filter_keeps_edges_and_constants() -> None:
    guide = np.zeros((40, 60, 3), np.float32)
    guide[:, 30:] = 1
    values = np.random.default_rng(0).normal(guide[..., 0], 0.5).astype(np.float32)
    smooth = guided_filter(guide, values, radius=6, softness=1e-4)
    assert abs(smooth[20, 29] - smooth[20, 31]) > 0.7
    assert smooth[:, :25].std() < 0.2
    flat = np.full((40, 60), 0.3, np.float32)
    np.testing.assert_allclose(guided_filter(guide, flat, radius=6, softness=1e-2), flat, atol=1e-5)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is measured over a whole block (the typical ghost, the strongest phase) may differ between them."""
    pixels, _ = spliced()
    whole = gather(pixels, "ela").parts
    monkeypatch.setattr(fuse, "BLOCK", 128)
    parts = gather(pixels, "ela").parts
    inner = np.abs(parts["noise"] - whole["noise"])
    assert np.median(inner) < 0.05 and inner.max() < 1.5
    assert parts["ela"].shape == whole["ela"].shape == (64, 80)


@pytest.mark.parametrize("kind", KINDS)
def test_edited_pictures_are_edited_where_they_say(kind: str) -> None:
    target, donor = photograph(5), photograph(6)
    edited = tamper(target, donor, 11, kind)  # type: ignore[arg-type]
    again = tamper(target, donor, 11, kind)  # type: ignore[arg-type]
    np.testing.assert_array_equal(edited.image, again.image)
    assert edited.image.shape == target.shape and edited.mask.shape == target.shape[:2]
    assert edited.mask.any() == (kind != "untouched")
    if kind == "splice":
        change = np.abs(edited.image.astype(int) - target).mean(axis=2)
        assert change[edited.mask].mean() > 2 * change[~edited.mask].mean()


def test_command_writes_mask_preview_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels, mask = spliced()
    write_png(tmp_path / "a.png", pixels)
    words = ["face", "localize", str(tmp_path / "a.png"), "-o", str(tmp_path / "m.png"), "--preview", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    written = read_picture(tmp_path / "m.png").pixels[..., 0]
    assert written.shape == mask.shape and set(np.unique(written)) <= {0, 255}
    assert read_picture(tmp_path / "m.png.preview.png").pixels.shape == pixels.shape
    assert (tmp_path / "m.png.run.json").exists()
    assert 0 <= result["score"] <= 1 and result["operating_point"]["mask_threshold"] == 0.5
    assert main(words) == 5
    assert "exists already" in capsys.readouterr().out


def test_settings_and_small_pictures_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UnreadableInputError):
        localize(tmp_path / "a.png", tmp_path / "m.png")
    with pytest.raises(UsageError):
        localize(tmp_path / "a.png", tmp_path / "m.jpg")
    with pytest.raises(UsageError):
        LocalizeSettings(threshold=1.5)
    assert not (tmp_path / "m.png").exists()


def test_flat_pictures_have_no_trace(tmp_path: Path) -> None:
    write_png(tmp_path / "grey.png", np.full((128, 128, 3), 90, np.uint8))
    found = localize(tmp_path / "grey.png", tmp_path / "m.png")
    assert found.edited_share == 0 and found.verdict == "no trace found"


def test_calibration_and_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "untouched"
    folder.mkdir()
    for number in range(3):
        write_png(folder / f"{number}.png", photograph(number, 128, 160))
    fit = calibrate(folder, number=10, false_alarms=0.2, missed=0.2)
    found = fit.calibration
    assert all(
        row.false_alarms + row.cleared + row.unsure_untouched == pytest.approx(1, abs=2e-3) for row in fit.trade_off
    )
    picture = found.picture
    assert found.slope > 0 and "3 untouched" in found.source
    assert 0 <= picture.none_below <= picture.edited_from <= 1 and picture.inconsistency_weight >= 0
    (tmp_path / "site.toml").write_text(calibration_text(found))
    assert read_calibration(tmp_path / "site.toml") == found
    (tmp_path / "bad.toml").write_text("slope = 'steep'")
    with pytest.raises(UnreadableInputError):
        read_calibration(tmp_path / "bad.toml")
    with pytest.raises(UnreadableInputError):
        calibrate(tmp_path / "nowhere")


def test_what_the_picture_explains_is_no_inconsistency() -> None:
    """A trace that follows the brightness leaves nothing; a strange one does, and more of it leaves more."""
    rng = np.random.default_rng(0)
    guide = cv2.GaussianBlur(rng.random((60, 80, 3), np.float32), (0, 0), 6)
    guide = (guide - guide.min()) / np.ptp(guide)
    light = guide.mean(axis=2)
    explained = inconsistency({"ela": (3 * light - light**2).astype(np.float32)}, {"ela": 1.0}, guide)
    strange = np.zeros((60, 80), np.float32)
    strange[10:40, 20:50] = 2
    found = [inconsistency({"ela": part * strange + light}, {"ela": 1.0}, guide) for part in (0.5, 1.0)]
    assert abs(explained) < 1e-3 and 0.3 < found[0] < found[1]


def test_a_verdict_is_withheld_between_its_thresholds() -> None:
    curve = PictureCurve(inconsistency_weight=1.0, copy_weight=2.0, bias=-2.0, edited_from=0.7, none_below=0.3)
    assert [curve.verdict(score) for score in (0.29, 0.3, 0.69, 0.7)] == [
        "no trace found", "unsure", "unsure", "traces of editing",
    ]  # fmt: skip
    assert curve.score(2.0, 0) == pytest.approx(0.5)
    assert curve.score(0.0, 20) > curve.score(0.0, 6) > curve.score(0.0, 0)


def test_bars_are_held_against_the_fused_map() -> None:
    def row(source: str, method: str, best: float) -> Row:
        return Row(
            source=source, method=method, edited=3, untouched=0, best_f1=best, f1_at_half=0.1, picture_auc=0.5, low=0.4,
            high=0.6,
        )  # fmt: skip

    found = {"all": 0.46, "ela": 0.40, "selfmatch": 0.9}
    rows = [row(source, method, best) for source in ("imd2020", "CoMoFoD") for method, best in found.items()]
    bars = bars_of([*rows, row("elsewhere", "all", 0.9)])
    assert [(bar.source, bar.bar, bar.met) for bar in bars] == [("imd2020", 0.45, True), ("CoMoFoD", 0.6, False)]
    assert (bars[0].ela, bars[0].selfmatch) == (0.40, 0.9)


def test_one_kind_of_evidence_decides_nothing(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", spliced()[0])
    assert localize(tmp_path / "a.png", tmp_path / "m.png", LocalizeSettings(evidence="ela")).verdict == "unsure"


def test_evaluation_rows(tmp_path: Path) -> None:
    for name in ("Tp", "Gt", "Au"):
        (tmp_path / name).mkdir()
    pixels, mask = spliced()
    write_png(tmp_path / "Tp" / "a.png", pixels)
    write_png(tmp_path / "Gt" / "a.png", mask.astype(np.uint8) * 255)
    write_png(tmp_path / "Au" / "b.png", photograph(9))
    report = evaluate(tmp_path, Calibration())
    assert report.bars == []  # no source that has one
    rows = {row.method: row for row in report.rows}
    assert [(each.truth, each.pictures) for each in report.verdicts] == [("edited", 1), ("untouched", 1)]
    assert all(sum(each.shares.values()) == pytest.approx(1) and len(each.shares) == 3 for each in report.verdicts)
    assert rows["ela"].edited == 1 and rows["ela"].untouched == 1
    assert rows["ela"].best_f1 > 0.5 > rows["noise"].f1_at_half
    (tmp_path / "Gt" / "a.png").unlink()
    with pytest.raises(UnreadableInputError):
        evaluate(tmp_path)


def test_a_picture_saved_at_the_quality_of_ela_is_no_edit() -> None:
    pixels = (cv2.GaussianBlur(photograph(3, 256, 256, quality=0), (0, 0), 3) // 4 + 90).astype(np.uint8)
    saved = {quality: compressed(pixels, quality) for quality in (90, 95)}
    assert telling_quality(saved[90]) == LOWER and telling_quality(saved[95]) == QUALITY
    found = {quality: gather(each).score for quality, each in saved.items()}
    assert found[90] < found[95] + 0.1
