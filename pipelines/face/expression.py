"""`vitapps face expression`: which of seven expressions a face shows; covered parts are filled in first on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.options import RunOptions
from vitapps.pipelines.face.expression_features import crop_landmarks, framed
from vitapps.pipelines.face.expression_model import LABELS, ExpressionModel
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.face.find_faces import LARGE, FaceFinder
from vitapps.pipelines.face.judged import check_judgement, write_judgement
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record

SMALLEST = 24.0  # pixels of a face: below, nothing is said
HIDDEN = 0.35  # of the patches covered: beyond, nothing is said
LIMITS = (
    "tells posed and searched-for expressions of single pictures, right in fewer than one of two: an expression is not"
    " an emotion, and no ground for a decision about a person",
    "not for hiring, teaching, policing or border control; in several countries such use is forbidden by law",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpressionSettings:
    """`crop`: the picture is a face already; `occlusion` finds covered parts and fills them in before it is read."""

    crop: bool = False
    occlusion: bool = False
    preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """Of one face: `expression` the likeliest, "unsure" where too little is seen; `probabilities` of all by name;
    `covered` share of its patches, None where nobody looked; `box` x0 y0 x1 y1, None for a crop."""

    expression: str
    probabilities: dict[str, float]
    covered: float | None
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpressionResult:
    """Every face of a picture, the largest first."""

    input: Path
    out: Path | None
    preview: Path | None
    faces: tuple[Expression, ...]
    warnings: list[str]
    limits: tuple[str, ...] = LIMITS


def read_expressions(
    path: Path, out: Path | None = None, *, weights: str | None = None, settings: ExpressionSettings | None = None,
    options: RunOptions | None = None, sources: Sequence[Path] = (), command: str = "",
) -> ExpressionResult:  # fmt: skip
    """Of every face in a picture; with `out` as JSON with a run record and, if asked for, the faces as they were read.

    Raises UnreadableInputError for what is no picture; no face is an answer (`faces` empty)."""
    settings, options = settings or ExpressionSettings(), options or RunOptions()
    drawn = check_judgement(path, out, options, preview=settings.preview, sources=sources)
    pixels = read_picture(path).pixels
    model = ExpressionModel.load(weights)
    faces, networks = _faces(pixels, settings, options)
    record = new_record(
        [model.facts, *networks], options=options, settings=settings, command=command, inputs=[path]
    )  # fmt: skip
    read = [model.restored(face) if settings.occlusion else (face, None) for face, _, _ in faces]
    found = [
        _expression(model.probabilities(face), None if mask is None else float(mask.mean()), size, box)
        for (face, mask), (_, box, size) in zip(read, faces, strict=True)
    ]
    result = ExpressionResult(
        input=path, out=out, preview=drawn, faces=tuple(found), warnings=[] if found else ["no face was found"]
    )
    if out is not None:
        picture = _before_and_after([face for face, _, _ in faces], [face for face, _ in read]) if drawn else None
        record.warnings = result.warnings
        write_judgement(out, asdict(result), picture, record, overwrite=options.overwrite)
    return result


Framed = tuple[Pixels, tuple[float, float, float, float] | None, float]  # face, box, size in pixels


def _faces(
    pixels: Pixels, settings: ExpressionSettings, options: RunOptions
) -> tuple[list[Framed], list[NetworkFacts]]:  # fmt: skip
    if settings.crop:
        cascade = LandmarkCascade.load()
        sized, landmarks = crop_landmarks(pixels, cascade)
        return [(framed(sized, landmarks), None, float(min(pixels.shape[:2])))], [cascade.facts]
    finder = FaceFinder.load(None, options)
    found = sorted(finder.find(pixels, LARGE), key=lambda face: -face.quality.size)
    faces: list[Framed] = []
    for face in found:
        x0, y0, x1, y1 = (round(float(side), 1) for side in face.box)
        faces.append((framed(pixels, face.landmarks), (x0, y0, x1, y1), face.quality.size))
    return faces, finder.networks


def _expression(
    chances: NDArray[np.float64], covered: float | None, size: float, box: tuple[float, float, float, float] | None
) -> Expression:  # fmt: skip
    sure = size >= SMALLEST and (covered or 0.0) <= HIDDEN
    return Expression(
        expression=LABELS[int(chances.argmax())] if sure else "unsure",
        probabilities={name: round(float(value), 4) for name, value in zip(LABELS, chances, strict=True)},
        covered=None if covered is None else round(covered, 3), box=box,
    )  # fmt: skip


def _before_and_after(before: Sequence[Pixels], after: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Each face as it was framed, and below it as it was read; H W 3."""
    rows = [np.concatenate(list(faces), axis=1) for faces in (before, after) if len(faces)]
    if not rows:
        return np.full((64, 64, 3), 128, np.uint8)
    large = np.repeat(np.repeat(np.concatenate(rows), 2, axis=0), 2, axis=1)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), np.uint8)
