"""Aligned crops of named people, for training and scoring of templates: LFW, ORL, pair lists."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.insightface_bin import read_pair_file
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.face_boxes import MarkedFace, read_marked_faces
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class People:
    """`crops` n of 112 112 3 and whose they are, 0.. in order of first appearance."""

    crops: list[Pixels]
    owners: Ints


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of `crops`: `first`, `second` n index them, `same` n; `aligned_by` says whose landmarks were used and
    `missed` how many pictures had no face (they count as middle crops)."""

    name: str
    crops: list[Pixels]
    first: Ints
    second: Ints
    same: NDArray[np.bool_]
    aligned_by: str = "landmarks of the table"
    missed: int = 0


def training_people(data: Path, jitter: float, seed: int) -> People:
    """The LFW people of split `train`; with `jitter` a second crop of each face whose landmarks are off by that share
    of the distance between the eyes, as those of another detector would be."""
    faces = [face for face in _lfw(data) if face.row["split"] == "train"]
    if not faces:
        raise UnreadableInputError(f"{data}: no faces of split 'train'", hint="verify/lfw112.csv, see docs/faces.md")
    rng = np.random.default_rng(seed)
    crops, names = [], []
    for face in faces:
        pixels, points = face.pixels(), face.points.astype(float)
        eyes = float(np.hypot(*(points[1] - points[0])))
        shifts = [0.0] + [jitter * eyes] * (jitter > 0)
        crops += [align(pixels, points + rng.normal(0, 1, points.shape) * shift) for shift in shifts]
        names += [face.row["person"]] * len(shifts)
    return People(crops, _numbered(names))


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


def orl_pairs(data: Path, finder: FaceFinder) -> Pairs:
    """Every pair of the ORL pictures `sNN_MM.png`, aligned by `finder`."""
    paths = sorted((data / "verify" / "orl").glob("*.png"))
    if not paths:
        raise UnreadableInputError(f"{data}: no verify/orl/*.png", hint="see docs/faces.md")
    pictures = [read_picture(path).pixels for path in paths]
    crops, missed = _found_crops(pictures, finder)
    owners = _numbered([path.stem.split("_")[0] for path in paths])
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


def _found_crops(pictures: Sequence[Pixels], finder: FaceFinder) -> tuple[list[Pixels], int]:
    points = [best_landmarks(finder, pixels) for pixels in pictures]
    crops = [crop_or_middle(pixels, marks) for pixels, marks in zip(pictures, points, strict=True)]
    return crops, sum(marks is None for marks in points)


def _lfw(data: Path) -> list[MarkedFace]:
    return read_marked_faces(data / "verify" / "lfw112.csv", data / "verify" / "lfw112")


def _numbered(names: Sequence[str]) -> Ints:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _by(finder: FaceFinder | None) -> str:
    return "landmarks of the table" if finder is None else f"landmarks by {finder.facts.name}"
