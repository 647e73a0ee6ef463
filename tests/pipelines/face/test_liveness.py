"""Texture features by hand, the machine on simulated attacks, its operating points, calibration and rates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.datasets.sets.presentation_attacks import Presentation, read_presentations
from vitapps.datasets.synth.spoofs import Species, simulate
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.det_plot import det_plot
from vitapps.pipelines.face.face_views import FaceReader, cut_out
from vitapps.pipelines.face.liveness import Liveness, LivenessSettings
from vitapps.pipelines.face.liveness_calibrate import calibrate
from vitapps.pipelines.face.liveness_eval import evaluate
from vitapps.pipelines.face.liveness_model import LivenessModel, fit_point, point_text, read_point, with_smoothed
from vitapps.pipelines.face.liveness_rows import answers, calibrated_row, foreign_row, second_half
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.occlusion import occlusion_map
from vitapps.pipelines.face.texture import patterns, texture
from vitapps.pipelines.face.train_liveness import train

SPECIES: tuple[Species, ...] = ("live", "print", "replay")


def face(seed: int) -> NDArray[np.uint8]:
    return cv2.GaussianBlur(photograph(seed, 110, 90, quality=0), (0, 0), 1.2).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of 12 live faces, 6 prints and 6 replays, with a box table for the first."""
    root = tmp_path_factory.mktemp("attacks")
    rows = ["file,subject,box_x,box_y,box_w,box_h"]
    for source, first in (("alpha", 0), ("beta", 100)):
        for species in SPECIES:
            kind = "real" if species == "live" else species
            (root / source / kind).mkdir(parents=True)
            for number in range(12 if species == "live" else 6):
                picture = simulate(face(first + number + 20 * SPECIES.index(species)), species, number)
                write_png(root / source / kind / f"{number:02}.png", picture)
                rows += [f"{kind}/{number:02}.png,p{number},5,5,80,100"] * (source == "alpha")
    (root / "alpha.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def card(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train(data, tmp_path_factory.mktemp("card")))


def test_patterns_of_a_flat_picture_and_of_one_step() -> None:
    flat = patterns(np.full((20, 20, 3), 80, np.uint8), 1).reshape(6, 59)
    assert (flat.max(axis=1) == 1).all() and ((flat > 0).sum(axis=1) == 1).all()
    np.testing.assert_allclose(np.square(texture(face(1))[:354].reshape(6, 59)).sum(axis=1), 1, rtol=1e-5)


def test_features_see_the_simulated_attacks() -> None:
    live = np.stack([texture(simulate(face(seed), "live", seed)) for seed in range(24)])
    fake = np.stack([texture(simulate(face(seed + 40), "replay", seed)) for seed in range(24)])
    labels = np.arange(32) < 16
    weights, bias = fit_logistic(np.concatenate([live[:16], fake[:16]]), labels, penalty=0.02)
    assert (live[16:] @ weights + bias > 0).mean() > 0.8
    assert (fake[16:] @ weights + bias < 0).mean() > 0.8


@pytest.mark.parametrize("species", SPECIES)
def test_simulated_attacks_are_pictures_of_a_seed(species: Species) -> None:
    source = face(3)
    found = simulate(source, species, 7)
    assert found.shape == source.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(found, simulate(source, species, 7))
    assert (found != simulate(source, species, 8)).any()


def test_logistic_is_sklearns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x[:, 0] + rng.normal(size=60) > 0.5
    weights, bias = fit_logistic(x, y, penalty=60.0)  # ours: mean of class means + p / 2N
    peer = linear.LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=1000).fit(x, y)
    weights, bias = fit_logistic(x, y, penalty=1.0)
    np.testing.assert_allclose(weights, peer.coef_[0], atol=1e-3)
    assert bias == pytest.approx(float(peer.intercept_[0]), abs=1e-3)


def test_operating_point_keeps_its_promise(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    logits = np.concatenate([rng.normal(1, 1, 400), rng.normal(-1, 1, 400)])
    live = np.arange(800) < 400
    point = fit_point(logits, live, 'a "site"')
    scores = point.scores(logits)
    assert (scores[~live] >= point.live_from).mean() <= 0.05
    assert (scores[live] < point.spoof_below).mean() <= 0.05
    assert point.spoof_below < point.live_from and point.verdict((point.spoof_below + point.live_from) / 2) == "unsure"
    point = with_smoothed(point, logits - 1, live)
    assert (point.scores(logits - 1)[live] < point.smoothed_from).mean() <= 0.05
    assert point.smoothed_from < point.live_from and point.verdict(0.99, point.smoothed_from) == "live"
    assert with_smoothed(point, logits + 9, live).smoothed_from == point.live_from
    (tmp_path / "site.toml").write_text(point_text(point))
    assert read_point(tmp_path / "site.toml") == point
    (tmp_path / "site.toml").write_text("slope = true")
    with pytest.raises(UnreadableInputError):
        read_point(tmp_path / "site.toml")
    apart = fit_point(np.array([3.0, 4, -3, -4]), np.array([True, True, False, False]), "s")
    assert apart.live_from == apart.spoof_below  # nothing is between them


def test_boxes_and_labels_are_read(data: Path, tmp_path: Path) -> None:
    items = read_presentations(data)
    assert len(items) == 48 and {item.species for item in items} == {"live", "print", "replay"}
    assert items[0].box == (5, 5, 85, 105) and items[-1].box is None and items[0].subject == "p0"
    with pytest.raises(UnreadableInputError):
        read_presentations(tmp_path)
    with pytest.raises(UnreadableInputError):
        cut_out(face(1), (500, 500, 600, 600))
    assert cut_out(face(1), (-10, -10, 30, 30)).shape == (40, 40, 3)


def test_training_writes_a_card_that_judges(card: str, data: Path, tmp_path: Path) -> None:
    judge = Liveness(card, LivenessSettings(crop=True, preview=True), RunOptions())
    live = judge.judge(data / "beta" / "real" / "03.png", tmp_path / "a.json")
    spoof = judge.judge(data / "beta" / "replay" / "03.png", tmp_path / "b.json")
    assert live.score > spoof.score
    assert json.loads((tmp_path / "a.json").read_text())["verdict"] in ("live", "spoof", "unsure")
    assert (tmp_path / "a.json.preview.png").exists() and (tmp_path / "a.json.run.json").exists()
    with pytest.raises(UsageError):
        judge.judge(data / "beta" / "real" / "03.png")


def test_small_faces_get_no_verdict(card: str, tmp_path: Path) -> None:
    write_png(tmp_path / "small.png", face(1)[:40, :40])
    found = Liveness(card, LivenessSettings(crop=True), RunOptions()).judge(tmp_path / "small.png")
    assert found.verdict == "unsure" and any("smaller" in note for note in found.warnings)


class Blind:
    """A finder that sees no face."""

    cascade = None

    def find(self, pixels: NDArray[np.uint8], settings: object) -> tuple[()]:
        return ()


def test_no_verdict_without_a_face_or_colours(card: str, tmp_path: Path) -> None:
    write_png(tmp_path / "wall.png", face(1))
    judge = Liveness(card, LivenessSettings(), RunOptions())
    judge.reader._finder = Blind()  # type: ignore[assignment]
    found = judge.judge(tmp_path / "wall.png")
    assert found.verdict == "unsure" and found.box is None and any("--crop" in note for note in found.warnings)
    write_png(tmp_path / "grey.png", np.repeat(face(1)[..., :1], 3, axis=2))
    found = Liveness(card, LivenessSettings(crop=True), RunOptions()).judge(tmp_path / "grey.png")
    assert found.verdict == "unsure" and any("no colours" in note for note in found.warnings)
    site = replace(LivenessModel.load(card).point, live_from=0.0, spoof_below=0.0)  # fitted on a grey camera
    own = Liveness(card, LivenessSettings(crop=True, point=site), RunOptions())
    assert own.judge(tmp_path / "grey.png").verdict == "live"


def test_noise_makes_no_face_live(card: str, tmp_path: Path) -> None:
    write_png(tmp_path / "face.png", face(1))
    judge = Liveness(card, LivenessSettings(crop=True), RunOptions())

    def logits(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Live where neighbours differ."""
        return np.array([np.abs(np.diff(crop.astype(float), axis=1)).mean() - 5 for crop in crops])

    point = replace(judge.model.point, slope=1.0, offset=0.0, live_from=0.6, spoof_below=0.5)
    judge.model = replace(judge.model, logits=logits, point=point)
    assert judge.judge(tmp_path / "face.png").verdict == "spoof"
    noisy = face(1) + np.random.default_rng(0).normal(0, 12, face(1).shape)
    write_png(tmp_path / "noisy.png", noisy.clip(0, 255).astype(np.uint8))
    found = judge.judge(tmp_path / "noisy.png")
    assert found.score >= 0.6 and found.verdict == "unsure" and "noise" in found.warnings[0]
    assert [point.verdict(*both) for both in ((0.9, 0.9), (0.9, 0.1), (0.1, 0.9))] == ["live", "unsure", "spoof"]


def test_later_frames_of_a_picture_file_are_named(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(face(seed)) for seed in (1, 2, 3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    views, notes = FaceReader(RunOptions(), crop=True).views(tmp_path / "a.webp")
    assert len(views) == 1 and notes == ["the first of 3 frames is judged"]


def test_rates_left_out_and_calibration(card: str, data: Path) -> None:
    report = evaluate(data, leave_out=True)
    assert {row.method for row in report.rows} == {"texture", "colour LBP + SVM"}
    assert all(set(row.rates.apcer) == {"print", "replay"} for row in report.rows)
    assert [row.calibrated for row in report.rows] == [False, True] * 4
    given = [(row.method, row.calibrated, row.verdicts.source, row.verdicts.truth) for row in report.answers]
    assert set(given[:3]) == {("texture", False, "alpha", word) for word in ("live", "print", "replay")}
    assert len(given) == 12 and all(
        sum(row.verdicts.shares.values()) == pytest.approx(1, abs=2e-3) for row in report.answers
    )
    assert {row.method for row in evaluate(data, weights=card).rows} == {"face-liveness"}
    with pytest.raises(UsageError):
        evaluate(data / "alpha", leave_out=True)
    found = calibrate(data / "beta" / "real", data / "beta", crop=True, weights=card)
    assert found.live == 12 and found.spoofs == 24 and 0 <= found.after.apcer <= 1
    by_type = found.after.apcer_by_type
    assert {"print", "replay"} <= set(by_type) and min(by_type.values()) <= found.after.apcer <= max(by_type.values())
    plot = det_plot(report.curves, "APCER", "BPCER")
    assert plot.ndim == 3 and (plot != 255).any()


def test_halves_share_nobody(card: str, data: Path) -> None:
    assert second_half(["b", "a", "c", "a", "d"]).tolist() == [True, False, False, False, True]
    folders = data / "beta" / "real", data / "beta" / "print"
    with pytest.raises(UsageError, match="6 pictures"):
        calibrate(*folders, crop=True, weights=card, person=r"^\d+")
    folders = data / "beta" / "real", data / "alpha"
    found = calibrate(*folders, crop=True, weights=card, person=r"^\d+")
    assert found.live == 12 and 0 <= found.before.bpcer <= 1
    with pytest.raises(UsageError, match="not in"):
        calibrate(*folders, crop=True, weights=card, person="nobody")
    with pytest.raises(UsageError, match="person"):
        calibrate(*folders, crop=True, weights=card, person="(")
    with pytest.raises(UsageError, match="half of the people"):
        calibrate(*folders, crop=True, weights=card, person=".png")


def test_a_calibration_mends_a_shifted_threshold() -> None:
    """Logits of a second site lie 4 higher: nothing is refused there, until other people of it set the point."""
    rng = np.random.default_rng(0)
    items, logits = [], []
    for source, shift in (("a", 0.0), ("b", 4.0)):
        for number in range(40):
            species = ("live", "print")[number % 2]
            path = Path(f"{source}/{species}/{number}.png")
            items.append(Presentation(path=path, source=source, species=species, subject=str(number // 4)))
            logits.append(rng.normal(1.5 if species == "live" else -1.5, 0.6) + shift)
    values = np.array(logits)
    before = foreign_row(items, "b", "m", values, None)
    after = calibrated_row(items, "b", "m", values)
    assert after is not None and after.calibrated and not before.calibrated
    assert before.rates.worst_apcer == 1 and after.rates.worst_apcer < 0.2 and after.rates.bpcer < 0.2
    assert after.rates.auc == before.rates.auc
    sharp = np.stack([values, values - 9])  # live by fine noise alone: nobody is called live
    said = [row for row in answers(items, "b", "m", sharp, None) if not row.calibrated]
    assert [row.verdicts.truth for row in said] == ["live", "print"] and said[0].verdicts.shares["live"] == 0
    said = answers(items, "b", "m", np.stack([values, values]), None)
    assert said[1].verdicts.shares["live"] == 1 and said[3].verdicts.shares["live"] < 0.2  # prints, before and after
    alone = [replace(item, subject="one") for item in items]
    assert calibrated_row(alone, "b", "m", values) is None


def test_command_and_its_answers(card: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(data / "beta" / "real" / "00.png")
    words = ["face", "liveness", picture, "--crop", "-w", card, "-o", str(tmp_path / "r.json"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["operating_point"]["source"].startswith("alpha, beta")
    assert main(words) == 5
    plot = tmp_path / "site.png"
    calibrated = ["face", "calibrate", "liveness", "--live", str(data / "beta" / "real"), "--spoof",
                  str(data / "alpha"), "-o", str(tmp_path / "site.toml"), "--crop", "-w", card,
                  "--det", str(plot)]  # fmt: skip
    assert (
        main(calibrated) == 0
        and (tmp_path / "site.png").exists()
        and read_point(tmp_path / "site.toml").source.startswith("12 live")
    )
    scored = ["face", "eval", "liveness", "--data", str(data), "-w", card, "--det", str(tmp_path / "det.png")]
    assert main(scored) == 0 and (tmp_path / "det.png").exists()


def test_occlusion_finds_the_square_that_counts() -> None:
    crop = face(2)
    heat = occlusion_map(lambda pixels: float(pixels[40:55, 30:45].std()), crop)
    assert heat.shape == (6, 6) and heat.max() == 1
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 2)


def test_other_cards_are_refused() -> None:
    with pytest.raises(MissingError):
        LivenessModel.load("trees-neon")


def test_clips_are_read_frame_by_frame(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        write_png(folder / f"{number:03}.png", face(number))
    views, notes = FaceReader(RunOptions(), crop=True, frames=3).views(folder)
    assert [view.frame for view in views] == [0, 2, 4] and not notes
