"""Aligned crops of named people, for training and scoring of templates: LFW, ORL, pair lists."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.insightface_bin import read_pair_file
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.face_boxes import MarkedFace, read_marked_faces
from vitapps.datasets.sets.lfw_pairs import read_lfw_pairs
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade
from vitapps.pipelines.face.start_error import StartError

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class People:
    """`crops` n of 112 112 3 and whose they are, 0.. in order of first appearance."""

    crops: list[Pixels]
    owners: Ints


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of `crops`: `first`, `second` n index them, `same` n; `aligned_by` says whose landmarks were used and
    `missed` how many pictures had no face (they count as middle crops). `folds` n of an official protocol; `left_out`
    pairs with people of the training."""

    name: str
    crops: list[Pixels]
    first: Ints
    second: Ints
    same: NDArray[np.bool_]
    aligned_by: str = "landmarks of the table"
    missed: int = 0
    folds: Ints | None = None
    left_out: int = 0


def training_people(data: Path, cascade: LandmarkCascade | None = None, copies: int = 0, seed: int = 0) -> People:
    """The LFW people of split `train`, aligned by the table's landmarks; and `copies` more of each face, aligned as in
    use: by landmarks with the error of a detector that `cascade` has brought closer."""
    faces = [face for face in _lfw(data) if face.row["split"] == "train"]
    if not faces:
        raise UnreadableInputError(f"{data}: no faces of split 'train'", hint="verify/lfw112.csv, see docs/faces.md")
    rng, error = np.random.default_rng(seed), StartError()
    crops, names = [], []
    for face in faces:
        pixels, points = face.pixels(), face.points.astype(float)
        crops.append(align(pixels, points))
        for _ in range(copies):
            start = error.applied(points, rng)
            crops.append(align(pixels, start if cascade is None else cascade.refine(pixels, start)))
        names += [face.row["person"]] * (1 + copies)
    return People(crops, numbered(names))


def lfw_pairs(data: Path, finder: FaceFinder | None = None) -> Pairs:
    """The pairs of View-2 fold 8 (people of no training picture), aligned by the table's landmarks or by `finder`."""
    faces = {face.path.name: face for face in _lfw(data)}
    table = data / "verify" / "lfw_pairs_fold8.csv"
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
        wanted = [(row["a"], row["b"], row["same"] == "1") for row in rows if row["a"] in faces and row["b"] in faces]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise UnreadableInputError(
            f"{table}: not a readable list of pairs: {error}", hint="see docs/faces.md"
        ) from None
    names = sorted({name for a, b, _ in wanted for name in (a, b)})
    place = {name: number for number, name in enumerate(names)}
    crops, missed = [], 0
    for name in names:
        face = faces[name]
        points = face.points.astype(float) if finder is None else best_landmarks(finder, face.pixels())
        missed += points is None
        crops.append(crop_or_middle(face.pixels(), points))
    return Pairs(
        "LFW fold 8", crops, np.array([place[a] for a, _, _ in wanted]), np.array([place[b] for _, b, _ in wanted]),
        np.array([same for _, _, same in wanted]), _by(finder), missed,
    )  # fmt: skip


def lfw_protocol(data: Path, finder: FaceFinder) -> Pairs:
    """The official View-2 pairs of `data`/verify/pairs.txt on the pictures of `data`/verify/lfw, aligned by `finder`;
    without those that show people of split `train`, whom our templates and the baselines know."""
    every = read_lfw_pairs(data / "verify" / "pairs.txt")
    table = data / "verify" / "lfw112.csv"
    known = {face.row["person"] for face in _lfw(data) if face.row["split"] == "train"} if table.exists() else set()
    kept = [pair for pair in every if not pair.people & known]
    if not kept:
        raise UnreadableInputError(f"{table}: all {len(every)} pairs show people of the training", hint="use others")
    paths = sorted({path for pair in kept for path in (pair.first, pair.second)})
    place = {path: number for number, path in enumerate(paths)}
    crops, missed = _found_crops((read_picture(data / "verify" / "lfw" / path).pixels for path in paths), finder)
    return Pairs(
        "LFW View 2", crops, np.array([place[pair.first] for pair in kept]),
        np.array([place[pair.second] for pair in kept]), np.array([pair.same for pair in kept]), _by(finder), missed,
        np.array([pair.fold for pair in kept]), len(every) - len(kept),
    )  # fmt: skip


def orl_pairs(data: Path, finder: FaceFinder) -> Pairs:
    """Every pair of the ORL pictures `sNN_MM.png`, aligned by `finder`."""
    paths = sorted((data / "verify" / "orl").glob("*.png"))
    if not paths:
        raise UnreadableInputError(f"{data}: no verify/orl/*.png", hint="see docs/faces.md")
    pictures = [read_picture(path).pixels for path in paths]
    crops, missed = _found_crops(pictures, finder)
    owners = numbered([path.stem.split("_")[0] for path in paths])
    first, second = np.triu_indices(len(paths), 1)
    return Pairs("ORL", crops, first, second, owners[first] == owners[second], _by(finder), missed)


def file_pairs(path: Path, finder: FaceFinder) -> Pairs:
    """The pairs of an InsightFace `.bin`, aligned anew by `finder`."""
    content = read_pair_file(path)
    crops, missed = _found_crops([content.pixels(number) for number in range(len(content.pictures))], finder)
    first = 2 * np.arange(len(content.same))
    return Pairs(path.name, crops, first, first + 1, content.same, _by(finder), missed)


def best_landmarks(finder: FaceFinder, pixels: Pixels) -> Floats | None:
    """Of the face with the best score; None where there is none."""
    found = finder.find(pixels)
    return found[0].landmarks if found else None


def crop_or_middle(pixels: Pixels, points: Floats | None) -> Pixels:
    """The aligned crop, or for a picture without a face its middle as if a face filled it."""
    if points is not None:
        return align(pixels, points)
    height, width = pixels.shape[:2]
    # eyes, nose and mouth where they lie in a picture that a face fills
    shares = np.array([[0.32, 0.42], [0.68, 0.42], [0.5, 0.6], [0.35, 0.77], [0.65, 0.77]])
    return align(pixels, shares * [width, height])


def _found_crops(pictures: Iterable[Pixels], finder: FaceFinder) -> tuple[list[Pixels], int]:
    crops, missed = [], 0
    for pixels in pictures:
        points = best_landmarks(finder, pixels)
        missed += points is None
        crops.append(crop_or_middle(pixels, points))
    return crops, missed


def _lfw(data: Path) -> list[MarkedFace]:
    return read_marked_faces(data / "verify" / "lfw112.csv", data / "verify" / "lfw112")


def numbered(names: Sequence[str]) -> Ints:
    """0.. by name, in the order of the alphabet."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _by(finder: FaceFinder | None) -> str:
    return "landmarks of the table" if finder is None else f"landmarks by {finder.facts.name}"
