"""Training of the projections on drawn people, and what the card then does."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fakes import red_faces
from fakes.drawn_faces import draw, write_people
from vitapps.datasets.sets.lfw_pairs import read_lfw_pairs
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.descriptors import describe, lbp, prepared
from vitapps.pipelines.face.embedder import Embedder
from vitapps.pipelines.face.evaluate_verifier import evaluate_verifier, roc_text
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.gallery import nearest_by_faiss, nearest_by_numpy
from vitapps.pipelines.face.people import lfw_pairs, lfw_protocol
from vitapps.pipelines.face.train_verifier import VerifierFit, train
from vitapps.pipelines.face.verifier_tables import check_curves, point_table, row_table, write_curves

SMALL = VerifierFit(principal=30, dim=12, copies=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    write_people(folder, people=28, shots=4, kept=8)
    return folder


@pytest.fixture(scope="module")
def card(folder, tmp_path_factory):
    return train(folder, tmp_path_factory.mktemp("card"), config=SMALL)


def test_templates_tell_new_people_apart(folder, card):
    embedder = Embedder.load(str(card))
    pairs = lfw_pairs(folder)
    templates = embedder.embed(pairs.crops)
    assert np.allclose(np.linalg.norm(templates, axis=1), 1, atol=1e-5)
    similarity = np.einsum("nd,nd->n", templates[pairs.first], templates[pairs.second])
    assert similarity[pairs.same].mean() > similarity[~pairs.same].mean() + 0.3
    chances = [embedder.probability(float(value)) for value in similarity]
    assert np.mean(np.round(chances) == pairs.same) >= 0.85


def test_a_mirrored_face_has_the_same_template(card):
    embedder = Embedder.load(str(card))
    crop = draw(3)[0]
    assert np.allclose(embedder.embed([crop]), embedder.embed([crop[:, ::-1]]), atol=1e-5)
    assert embedder.embed([]).shape == (0, 12)


def test_the_card_states_its_operating_points(card):
    embedder = Embedder.load(str(card))
    point = embedder.point(0.01)
    assert 0 <= point.fnmr <= 1 and -1 <= point.threshold <= 1
    with pytest.raises(UsageError, match=r"one of 0\.1, 0\.01"):
        embedder.point(0.5)


def test_training_is_repeatable(folder, card, tmp_path):
    again = train(folder, tmp_path, config=SMALL)
    assert again.with_suffix(".safetensors").read_bytes() == card.with_suffix(".safetensors").read_bytes()


def test_the_table_beside_the_baselines(folder, card, monkeypatch, tmp_path):
    monkeypatch.setattr(FaceFinder, "load", classmethod(lambda cls, *_: red_faces.finder()))
    monkeypatch.setattr("vitapps.pipelines.face.evaluate_verifier.EIGENFACES", 20)
    monkeypatch.setattr(
        "vitapps.pipelines.face.evaluate_verifier.VerifierFit", lambda **_: SMALL
    )  # 500 axes need more pictures
    report = evaluate_verifier(folder, weights=str(card))
    rows = report.rows
    assert [row.method for row in rows[:3]] == ["face-embed", "eigenfaces", "LBP+HOG+LDA"]
    assert {row.set for row in rows} == {"LFW fold 8", "ORL"}
    assert rows[0].figures.auc > 0.9
    assert rows[3].missed == 16  # grey drawings hold no red face: middle crops stand in
    assert np.isnan(rows[1].fixed) and rows[0].fixed > 0.8
    assert {row.stated_fmr for row in report.points} >= {0.1}
    assert all(0 <= row.fmr <= 1 and row.threshold > -1 for row in report.points)
    text = roc_text(report).splitlines()
    assert text[0] == "set,method,fmr,tar" and text[1].endswith("face-embed,0.000000,0.000000")
    for name in ("roc.csv", "roc.png"):
        write_curves(report, tmp_path / name, overwrite=False)
        assert (tmp_path / name).stat().st_size > 500
    with pytest.raises(UsageError, match=r"\.csv or \.png"):
        check_curves(tmp_path / "roc.pdf", overwrite=False)
    assert len(row_table(report)[1]) == 9 and len(point_table(report)[1]) == len(report.points)


def test_the_official_folds_without_people_of_the_training(folder, card, monkeypatch, tmp_path):
    """P020 to P027 are new to the card; two pairs with P000 are left out."""
    monkeypatch.setattr(FaceFinder, "load", classmethod(lambda cls, *_: red_faces.finder()))
    (tmp_path / "verify").mkdir()
    (tmp_path / "verify" / "lfw112.csv").write_bytes((folder / "verify" / "lfw112.csv").read_bytes())
    for person in (0, *range(20, 28)):
        own = tmp_path / "verify" / "lfw" / f"P{person:03d}"
        own.mkdir(parents=True)
        for shot in range(2):
            Image.fromarray(draw(person, shot)[0]).save(own / f"P{person:03d}_{shot:04d}.jpg", quality=95)
    folds = []
    for people in ((20, 21, 22, 0), (24, 25, 26, 27)):
        folds += [f"P{p:03d} 0 1" for p in people]
        folds += [f"P{p:03d} 0 P{q:03d} 1" for p, q in zip(people, people[1:] + people[:1], strict=True)]
    (tmp_path / "verify" / "pairs.txt").write_text("\n".join(["2 4", *folds]))
    report = evaluate_verifier(tmp_path, weights=str(card), protocol="lfw", baseline=False)
    (row,) = report.rows
    assert (row.set, row.figures.pairs, row.left_out) == ("LFW View 2", 13, 3)
    assert row.figures.accuracy > 0.7
    pairs = lfw_protocol(tmp_path, red_faces.finder())
    assert pairs.folds.tolist() == [0] * 5 + [1] * 8 and pairs.same.sum() == 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "line 1"), ("2 x\na", "line 1"), ("1 1\nA 1 2", "line 1"), ("1 1\nA 1 2\nA 1 B", "line 3"),
     ("1 1\nA 1 2\nA 1 B 2 3", "line 3")],
)  # fmt: skip
def test_a_bad_list_of_pairs_is_told(text, fault, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(UnreadableInputError, match=fault):
        read_lfw_pairs(path)
    with pytest.raises(UnreadableInputError, match="absent"):
        read_lfw_pairs(tmp_path / "absent.txt")


def test_faults_are_told(folder, tmp_path):
    with pytest.raises(UsageError, match="20 people for 40 axes"):
        train(folder, tmp_path, config=VerifierFit(principal=30, dim=40, copies=0))
    with pytest.raises(UnreadableInputError, match=r"lfw112\.csv"):
        train(tmp_path, tmp_path / "out")
    with pytest.raises(MissingError, match=r"rs\.detect"):
        Embedder.load("trees-neon")


def test_light_changes_descriptors_less_than_people_do():
    crop = draw(1)[0]
    dark = (crop * 0.5 + 20).astype(np.uint8)
    other = draw(2)[0]
    for name, row in describe(crop).items():
        assert np.linalg.norm(row - describe(dark)[name]) < 0.6 * np.linalg.norm(row - describe(other)[name]), name


def test_patterns_of_an_even_picture_and_of_a_ramp():
    """A flat picture has pattern 0 everywhere; a ramp to the right sets the three bits on its right."""
    flat = lbp(np.zeros((112, 112), np.float32), 1).reshape(49, 59) ** 2
    assert np.allclose(flat[:, 0], 1)
    ramp = lbp(np.tile(np.arange(112, dtype=np.float32), (112, 1)), 1).reshape(49, 59) ** 2
    assert np.allclose(ramp[24].max(), 1)
    assert np.allclose(lbp(prepared(draw(1)[0]), 2).reshape(49, 59) ** 2 @ np.ones(59), 1, atol=1e-5)


def test_no_torch_for_templates(card, tmp_path):
    np.save(tmp_path / "crop.npy", align(*draw(1)))
    code = f"""
import sys, numpy as np
from vitapps.pipelines.face.embedder import Embedder
Embedder.load({str(card)!r}).embed([np.load({str(tmp_path / "crop.npy")!r})])
heavy = sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "sklearn", "timm", "skimage"}})
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_faiss_finds_what_numpy_finds() -> None:
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for probe in vectors[:3]:
        exact, found = (find(vectors, probe, 5) for find in (nearest_by_numpy, nearest_by_faiss))
        assert [place for place, _ in found] == [place for place, _ in exact]
        np.testing.assert_allclose([value for _, value in found], [value for _, value in exact], atol=1e-6)
    assert len(nearest_by_faiss(vectors[:2], vectors[0], 5)) == 2
