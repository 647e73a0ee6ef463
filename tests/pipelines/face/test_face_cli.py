"""The commands of face finding and recognition, with a finder that needs no network and templates of drawn people."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import red_faces
from fakes.bad_files import BAD_FILES
from fakes.drawn_faces import draw, write_people
from vitapps.apps.main import main
from vitapps.options import RunOptions
from vitapps.pipelines.batch.task import Item, TaskSpec, find_task
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.train_verifier import VerifierFit, train
from vitapps.pipelines.face.turned_faces import turned_back
from vitapps.pipelines.face.verification import RATES
from vitapps.pipelines.face.verify import Recogniser, decide

OLD = b"an earlier result"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(FaceFinder, "load", classmethod(lambda cls, *_: red_faces.finder()))


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    write_people(folder, people=16, shots=3, kept=2)
    return train(folder, folder / "card", config=VerifierFit(principal=20, dim=8, copies=0))


@pytest.fixture
def recogniser(card, monkeypatch):
    """Every picture's face fills it; the templates are those of the trained card."""
    points = [OperatingPoint(fmr=rate, fnmr=0.5, threshold=0.3 + 0.15 * n, pairs="") for n, rate in enumerate(RATES)]
    embedder = replace(Embedder.load(str(card)), points=tuple(points))

    class Whole:
        networks = red_faces.finder().networks

        def find(self, pixels, settings):
            if pixels.shape[0] < 100:
                return ()
            box = np.array([0.0, 0, *pixels.shape[1::-1]])
            found = red_faces.finder().find(red_faces.picture(112, 112, [(4, 4, 108, 108)]))[0]
            face = type(found)(box=box, landmarks=draw(0)[1], score=0.9, quality=found.quality)
            object.__setattr__(face.quality, "sharpness", 0.9)
            return (face,)

    monkeypatch.setattr(Recogniser, "load", classmethod(lambda cls, *_: cls(finder=Whole(), embedder=embedder)))
    return embedder


def run(capfd, *words):
    code = main(["face", *map(str, words)])
    shown = capfd.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def party(tmp_path):
    path = tmp_path / "party.png"
    Image.fromarray(red_faces.picture(300, 200, [(20, 30, 80, 100), (200, 60, 240, 110)])).save(path)
    return path


def test_detect_writes_faces_preview_and_crops(party, tmp_path, capfd):
    out, crops = tmp_path / "faces.json", tmp_path / "crops"
    code, text, _ = run(capfd, "detect", party, "-o", out, "--preview", "--crops", crops, "--json")
    assert code == 0
    found = json.loads(text)
    assert len(found["faces"]) == 2
    assert json.loads(out.read_text())["faces"] == found["faces"]
    assert list(found["faces"][0]["landmarks"]) == ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"]
    sizes = [face["quality"]["size"] for face in found["faces"]]
    assert max(sizes) > 1.3 * min(sizes)  # patches of 60 and 40 pixels
    assert [Image.open(path).size for path in sorted(crops.iterdir())] == [(112, 112)] * 2
    assert Image.open(found["preview"]).size == (300, 200)
    assert json.loads((tmp_path / "faces.json.run.json").read_text())["results"]["faces"] == 2
    assert run(capfd, "detect", party, "-o", out)[0] == 5  # it exists
    assert run(capfd, "detect", party, "-o", party, "--overwrite")[0] == 5  # an input is never replaced


def test_no_face_is_an_answer(tmp_path, capfd):
    Image.fromarray(red_faces.picture(60, 40, [])).save(tmp_path / "empty.png")
    code, text, _ = run(capfd, "detect", tmp_path / "empty.png", "--json")
    assert (code, json.loads(text)["faces"]) == (0, [])


def test_a_turned_photograph_is_upright(party, tmp_path, capfd):
    image = Image.open(party).transpose(Image.Transpose.ROTATE_90)  # stored turned, EXIF says how to turn it back
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = json.loads(run(capfd, "detect", party, "--json")[1])
    turned = json.loads(run(capfd, "detect", tmp_path / "turned.jpg", "--json")[1])
    assert turned["exif_rotated"] and not upright["exif_rotated"]
    assert (turned["width"], turned["height"]) == (300, 200)
    for a, b in zip(upright["faces"], turned["faces"], strict=True):
        assert np.abs(np.array(a["box"]) - b["box"]).max() < 6


def test_faces_on_their_side_and_upside_down(party, tmp_path, capfd):
    upright = np.array(
        [face["landmarks"]["nose"] for face in json.loads(run(capfd, "detect", party, "--json")[1])["faces"]]
    )
    for turns, back in enumerate((lambda x, y: (x, y), lambda x, y: (y, 300 - x), lambda x, y: (300 - x, 200 - y))):
        pixels = np.rot90(np.asarray(Image.open(party)), turns)
        Image.fromarray(pixels).save(tmp_path / f"{turns}.png")
        code, text, _ = run(capfd, "detect", tmp_path / f"{turns}.png", "--turned", "--json")
        found = json.loads(text)["faces"]
        assert code == 0 and len(found) == 2  # each once, though every turn shows red patches
        assert {round(face["quality"]["roll"]) % 90 for face in found} == {0}
        for face, nose in zip(found, upright, strict=True):
            low, high = np.array(face["box"]).reshape(2, 2)
            assert ((low < back(*nose)) & (back(*nose) < high)).all()
    points = np.array([[10.0, 20.0]])
    assert turned_back(points, 1, (300, 200)).tolist() == [[280.0, 10.0]]
    assert turned_back(points, 2, (300, 200)).tolist() == [[290.0, 180.0]]
    assert turned_back(points, 3, (300, 200)).tolist() == [[20.0, 190.0]]


def test_several_pictures(party, tmp_path, capfd):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    code, text, err = run(capfd, "detect", party, bad, "-o", tmp_path / "all", "--json")
    assert code == 6 and "bad.png" in err
    found = json.loads(text)
    assert [len(item["faces"]) for item in found["results"]] == [2]
    assert [Path(item["input"]).name for item in found["failures"]] == ["bad.png"]
    assert (tmp_path / "all" / "party_faces.json").exists()
    assert run(capfd, "detect", party, party, "-o", tmp_path / "twice")[0] == 2
    assert run(capfd, "detect", party, bad, "-o", tmp_path / "one.json")[0] == 2
    assert run(capfd, "detect", party, "--preview")[0] == 2
    assert run(capfd, "detect", party, "--min-face", "0")[0] == 2
    assert run(capfd, "detect", party, "--crops", tmp_path / "c", "--crop-size", "5")[0] == 2


def test_folders_and_pictures_of_one_name(party, tmp_path, capfd):
    folder = tmp_path / "my photos"
    (folder / "inner").mkdir(parents=True)
    for name in ("a b.png", "a b.bmp", "inner/ü.png"):
        Image.open(party).save(folder / name)
    out, crops = tmp_path / "out", tmp_path / "crops"
    code, text, _ = run(capfd, "detect", folder, "-o", out, "--crops", crops, "--json")
    assert code == 0 and [len(item["faces"]) for item in json.loads(text)["results"]] == [2, 2, 2]
    written = {path.name for path in out.iterdir()}
    assert {"a b.png_faces.json", "a b.bmp_faces.json", "ü_faces.json"} <= written
    assert len(list(crops.iterdir())) == 6
    code, text, _ = run(capfd, "detect", folder / "inner", "-o", tmp_path / "single", "--json")
    assert code == 0 and len(json.loads(text)["results"]) == 1 and (tmp_path / "single" / "ü_faces.json").exists()
    (tmp_path / "other").mkdir()
    Image.open(party).save(tmp_path / "other" / "a b.png")
    code, _, err = run(capfd, "detect", folder, tmp_path / "other", "--crops", crops, "--overwrite")
    assert code == 2 and "a b.png" in err  # one would replace the crops of the other
    (tmp_path / "nothing").mkdir()
    assert run(capfd, "detect", tmp_path / "nothing")[0] == 3


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_pictures(name, tmp_path, capfd, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    path = BAD_FILES[name].make(tmp_path / "in")
    target = tmp_path / "out" / "out.json"
    target.write_bytes(OLD)
    code, out, err = run(capfd, "detect", path, "-o", target, "--overwrite")
    assert "Traceback" not in err
    if code == 0:  # some rasters are pictures as well
        assert json.loads(target.read_text())["faces"] == []
        return
    assert (code, out) == (3, "")
    assert target.read_bytes() == OLD
    assert [item.name for item in target.parent.iterdir()] == ["out.json"]
    assert len([line for line in err.splitlines() if line.startswith("vitapps: error: ")]) == 1


def _people(folder, shots=1):
    for person in (900, 901, 902):
        (folder / f"p{person}").mkdir(parents=True)
        for shot in range(shots):
            Image.fromarray(draw(person, shot)[0]).save(folder / f"p{person}" / f"{shot}.png")


def test_verify_says_how_sure_it_is(recogniser, tmp_path, capfd):
    _people(tmp_path / "in", shots=2)
    one, again, other = (tmp_path / "in" / name for name in ("p900/0.png", "p900/1.png", "p901/0.png"))
    answers = {}
    for second in (one, again, other):
        code, text, _ = run(capfd, "verify", one, second, "--json", "--fmr", "0.1")
        assert code == 0
        answers[second] = json.loads(text)
    assert answers[one]["similarity"] == pytest.approx(1, abs=1e-4) and answers[one]["decision"] == "same"
    assert answers[again]["similarity"] > answers[other]["similarity"]
    assert answers[again]["operating_point"]["fmr"] == 0.1
    assert answers[other]["probability"] < answers[again]["probability"]
    assert "false match rate of 0.1" in run(capfd, "verify", one, again, "--fmr", "0.1")[1]
    assert run(capfd, "verify", one, again, "--fmr", "0.3")[0] == 2
    Image.fromarray(draw(1)[0][:50]).save(tmp_path / "half.png")
    code, _, err = run(capfd, "verify", one, tmp_path / "half.png")
    assert code == 3 and "half.png: no face found" in err


def test_what_speaks_for_one_person_is_not_called_different():
    point = OperatingPoint(fmr=0.01, fnmr=0.57, threshold=0.44, pairs="")
    assert decide(0.45, 0.9, point, reliable=True) == "same"
    assert decide(0.3, 0.7, point, reliable=True) == "unsure"
    assert decide(0.1, 0.3, point, reliable=True) == "different"
    assert decide(0.3, None, point, reliable=True) == "different"


def test_the_margin_of_a_decision(recogniser, tmp_path, capfd):
    _people(tmp_path / "in")
    one, other = (tmp_path / "in" / name for name in ("p900/0.png", "p901/0.png"))
    attacked = ["attack-test", one, "--model", "embed", "--queries", "4", "--json"]
    code, text, _ = run(capfd, *attacked, "--against", other)
    margin = json.loads(text)["margin"]
    assert code == 0 and margin["threshold"] == pytest.approx(0.45) and margin["queries"] <= 21
    assert run(capfd, *attacked)[0] == 2  # against whom?
    assert run(capfd, "attack-test", one, "--model", "liveness", "--against", other)[0] == 2
    assert run(capfd, "attack-test", one)[0] == 2  # whose verdict?


def test_the_margin_of_the_features(recogniser, tmp_path, capfd):
    _people(tmp_path / "in")
    one = tmp_path / "in" / "p900" / "0.png"
    attacked = ["attack-test", one, "--features", "--queries", "2", "--json"]
    code, text, _ = run(capfd, *attacked, "--model", "embed")
    (margin,) = json.loads(text)["margins"]
    assert code == 0 and margin["way"] == "search" and margin["start"] == pytest.approx(1, abs=1e-4)
    assert set(margin["shift"]) == {"1", "2", "4", "8", "16"}
    assert run(capfd, *attacked, "--model", "embed", "--patch")[0] == 2
    assert run(capfd, *attacked, "-w", "face-embed")[0] == 2  # whose weights?


def test_embed(recogniser, tmp_path, capfd):
    _people(tmp_path / "in")
    paths = sorted((tmp_path / "in").rglob("*.png"))
    assert run(capfd, "embed", *paths, "-o", tmp_path / "t.npz")[0] == 0
    found = np.load(tmp_path / "t.npz")
    assert found["templates"].shape == (3, 8) and found["files"].tolist() == [str(path) for path in paths]
    assert str(found["model"]) == recogniser.contract
    assert run(capfd, "embed", *paths, "-o", tmp_path / "t.csv")[0] == 2


@pytest.mark.parametrize("encrypted", [False, True])
def test_index_search_forget(encrypted, recogniser, tmp_path, capfd):
    pytest.importorskip("cryptography")
    _people(tmp_path / "in", shots=2)
    (tmp_path / "in" / "p900" / "notes.jpg").write_bytes(b"no picture")
    base = tmp_path / "faces.db"
    key = ["--key", tmp_path / "key"] if encrypted else []
    code, text, err = run(capfd, "index", tmp_path / "in", "-o", base, *key, "--json")
    assert code == 0 and "agreed" in err  # the consent notice
    made = json.loads(text)
    assert (made["faces"], made["people"], made["encrypted"], len(made["skipped"])) == (6, 3, encrypted, 1)
    probe = tmp_path / "probe.png"
    Image.fromarray(draw(901, 7)[0]).save(probe)
    code, text, _ = run(capfd, "search", probe, "--index", base, *key, "--json", "--fmr", "0.1")
    found = json.loads(text)
    assert code == 0 and found["matches"][0]["name"] == "p901" and found["enrolled"] == 6
    assert found["expected_false_matches"] == pytest.approx(0.6)
    assert run(capfd, "forget", base, "--name", "p901", *key)[0] == 0
    found = json.loads(run(capfd, "search", probe, "--index", base, *key, "--json", "--fmr", "0.1")[1])
    assert found["enrolled"] == 4 and "p901" not in {item["name"] for item in found["matches"]}
    assert run(capfd, "forget", base, "--name", "p901", *key)[0] == 2
    assert run(capfd, "forget", base, *key)[0] == 2
    if encrypted:
        assert run(capfd, "search", probe, "--index", base)[0] == 2
        assert run(capfd, "search", probe, "--index", base, "--key", tmp_path / "absent")[0] == 4


def test_index_faults(recogniser, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert run(capfd, "index", tmp_path / "empty", "-o", tmp_path / "a.db")[0] == 3
    assert run(capfd, "index", tmp_path / "absent", "-o", tmp_path / "a.db")[0] == 3
    Image.fromarray(draw(1)[0][:50]).save(tmp_path / "empty" / "half.png")
    assert run(capfd, "index", tmp_path / "empty", "-o", tmp_path / "a.db")[0] == 3
    assert not (tmp_path / "a.db").exists()
    Image.fromarray(draw(1)[0]).save(tmp_path / "whole.png")
    assert run(capfd, "search", tmp_path / "whole.png", "--index", tmp_path / "whole.png")[0] == 3
    assert run(capfd, "search", tmp_path / "whole.png", "--index", tmp_path / "a.db")[0] == 3


def test_the_batch_task_does_what_the_command_does(party, tmp_path, capfd):
    task = find_task("face.detect")
    out = tmp_path / "batch_faces.json"
    spec = TaskSpec(settings=task.Settings(min_face=12.0, preview=True), options=RunOptions(overwrite=True), weights="")
    item = Item(input=party, out=out, command="x")
    done = task(spec)(item)
    assert done.summary["faces"] == 2 and all(path.exists() for path in done.outputs)
    alone = tmp_path / "alone.json"
    words = task.words(spec, Item(input=party, out=alone, command=""))
    assert main(words) == 0
    assert json.loads(alone.read_text())["faces"] == json.loads(out.read_text())["faces"]
    capfd.readouterr()


def test_finding_faces_imports_no_torch(party):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from fakes import red_faces
from vitapps.pipelines.face.find_faces import FaceFinder
FaceFinder.load = classmethod(lambda cls, *_: red_faces.finder())
from vitapps.apps.main import main
code = main(["face", "detect", {str(party)!r}, "-o", {str(party.with_suffix(".json"))!r}, "--preview"])
heavy = sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "timm", "torchvision", "sklearn"}})
assert not heavy, heavy
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
