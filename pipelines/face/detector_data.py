"""Which faces and pictures the face detector learns from, and which are kept for its scores.

Under `data`: `verify/lfw112` (people of its split `train`), `faces_rgb`, `liveness/nuaa_train` (live frames) and, as
pictures without faces, `localize/bsds_pristine`. Kept back, by person or picture: the other split of LFW, a third of
faces_rgb, NUAA subjects 0007 to 0009, and every second BSDS picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture
from vitapps.datasets.sets.face_boxes import MarkedFace, read_marked_faces
from vitapps.datasets.synth.face_composites import Source
from vitapps.errors import UnreadableInputError

# BSDS pictures that show people, statues or carved heads: no evidence of false boxes, and nothing to learn from
WITH_FACES = {"24077", "33039", "37073", "45096", "55073", "65033", "85048"}
KEPT_SUBJECTS = {"0007", "0008", "0009"}
LONGEST = 360  # training pictures are kept at this size: no window shows more of them


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Marked faces of one kind, `shown` in training and `kept` back."""

    name: str
    shown: list[MarkedFace]
    kept: list[MarkedFace]


def face_sets(data: Path) -> list[FaceSet]:
    """The sets that `data` holds; UnreadableInputError where it holds none."""
    found = []
    lfw = data / "verify" / "lfw112.csv"
    if lfw.exists():
        faces = read_marked_faces(lfw, data / "verify" / "lfw112")
        found.append(_split("plain LFW", faces, [face.row["split"] != "train" for face in faces]))
    rgb = data / "faces_rgb" / "faces_rgb.csv"
    if rgb.exists():
        faces = read_marked_faces(rgb, data / "faces_rgb")
        for label, name in (("no_mask", "plain colour"), ("mask", "masked")):
            part = [face for face in faces if face.row["label"] == label]
            found.append(_split(name, part, [is_kept(_person(face)) for face in part]))
    nuaa = data / "liveness" / "nuaa_train.csv"
    if nuaa.exists():
        faces = [
            face for face in read_marked_faces(nuaa, data / "liveness" / "nuaa_train") if face.row["label"] == "real"
        ]
        found.append(_split("NUAA webcam", faces, [face.row["subject"] in KEPT_SUBJECTS for face in faces]))
    if not found:
        raise UnreadableInputError(
            f"{data}: holds no table of faces", hint="verify/lfw112.csv, faces_rgb/faces_rgb.csv"
        )
    return found


def bsds(data: Path, *, kept: bool) -> list[Path]:
    """BSDS pictures without faces: those kept back, or the others."""
    paths = sorted((data / "localize" / "bsds_pristine").glob("*.jpg"))
    return [path for number, path in enumerate(paths) if bool(number % 2) == kept and path.stem not in WITH_FACES]


def read_backgrounds(data: Path, folders: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """The pictures without faces that training sees: BSDS of `data`, and all of `folders`."""
    paths = bsds(data, kept=False)
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise UnreadableInputError(f"{folder}: no pictures", hint="--backgrounds takes folders of pictures")
        paths += found
    return [_reduced(read_picture(path).pixels, 2 * LONGEST)[0] for path in paths]


def read_sources(faces: Sequence[MarkedFace]) -> list[Source]:
    """Faces with their pixels, reduced to what a window can show."""
    sources = []
    for face in faces:
        pixels, scale = _reduced(face.pixels(), LONGEST)
        sources.append(Source(pixels, face.box * scale, face.points * scale))
    return sources


def is_kept(name: str) -> bool:
    """A third of all names, always the same ones."""
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def _person(face: MarkedFace) -> str:
    return face.row["person_hint"] or face.row["file"]


def _split(name: str, faces: list[MarkedFace], kept: list[bool]) -> FaceSet:
    pairs = list(zip(faces, kept, strict=True))
    return FaceSet(name, [face for face, back in pairs if not back], [face for face, back in pairs if back])


def _reduced(pixels: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], float]:
    import cv2

    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels, 1.0
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale
