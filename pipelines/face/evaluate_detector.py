"""`vitapps face eval detect`: recall by set and by face size, false boxes, beside the cascade of scikit-image.

Faces are those that training kept back (`detector_data.py`); boxes and landmarks are YuNet's, so a recall of 1 and an
error of 0 mean: as YuNet.
Sizes: the kept pictures shrunk until the face has that many pixels and laid into BSDS pictures that were kept back,
upright or tilted; on the tilted ones and on scenes without faces `face detect --tilted` is scored as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.face_boxes import MarkedFace
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.align import moved
from vitapps.pipelines.face.detector_data import bsds, face_sets
from vitapps.pipelines.face.faces import Face, Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings
from vitapps.pipelines.face.turned_faces import find_turned, tilt_about_middle
from vitapps.pipelines.windows.boxes import box_iou
from vitapps.progress import Progress, null_progress
from vitapps.require import require

SIZES = (16, 24, 32, 48, 96)
TILTS, TILTED_SIZE = (25, 40, -55), 64  # degrees, pixels
NO_FACES = "scenes without faces"
NOWHERE = np.full((5, 2), np.nan)
Found = tuple[Floats, Floats, Floats]  # boxes n 4, landmarks n 5 2 and the same before they were brought closer
Finder = Callable[[Pixels], Found]  # of a picture H W 3


@dataclass(frozen=True, slots=True)
class Case:
    """A picture H W 3, the box in it that has to be found, and its landmarks 5 2, nan where nobody marked them."""

    pixels: Pixels
    box: Floats
    points: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Of one finder on one set: `recall_30`, `recall_50` at IoU 0.3 and 0.5, `extra` boxes that meet no marked face
    (IoU below 0.3) a picture; `landmarks` mean distance of the five points from the marked ones over that between the
    eyes, in faces found, and `coarse` the same as the network gives them; `cpu_ms` a picture. nan where there is
    nothing to count."""

    finder: str
    set: str
    pictures: int
    recall_30: float
    recall_50: float
    extra: float
    landmarks: float
    coarse: float
    cpu_ms: float


def evaluate_detector(
    data: Path,
    *,
    weights: str | None = None,
    limit: int = 60,
    scenes: bool = True,
    baseline: bool = True,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[Row]:
    """One row a finder and set; at most `limit` pictures of each set, evenly spread; `scenes`: by face size, and on
    pictures without faces, as well. Raises as the readers do."""
    if limit < 1:
        raise UsageError(f"--limit {limit}: below 1", hint="give the number of pictures a set")
    own = FaceFinder.load(weights, options)
    finders: dict[str, Finder] = {own.facts.name: _ours(own)}
    if baseline:
        finders["LBP cascade"] = lbp_cascade()
    cases = all_cases(data, limit, scenes=scenes)
    rows = []
    with progress.task("scoring", total=len(cases) * len(finders)) as task:
        for name, group in cases.items():
            for finder, find in finders.items():
                rows.append(score(finder, name, group, find))
                task.advance()
            if "tilted" in name or name == NO_FACES:
                rows.append(score(f"{own.facts.name} --tilted", name, group, _tilted(own)))
    return rows


def _tilted(finder: FaceFinder) -> Finder:
    def find(pixels: Pixels) -> Found:
        boxes, points = _arrays(find_turned(finder, pixels, FindSettings(), quarters=False, tilted=True))
        return boxes, points, np.full(points.shape, np.nan)

    return find


def _ours(finder: FaceFinder) -> Finder:
    plain = replace(finder, cascade=None)

    def find(pixels: Pixels) -> Found:
        boxes, coarse = _arrays(plain.find(pixels))
        closer = [finder.closer(pixels, marks) for marks in coarse]
        return boxes, np.array(closer).reshape(-1, 5, 2), coarse

    return find


def _arrays(faces: Sequence[Face]) -> tuple[Floats, Floats]:
    """Boxes n 4 and landmarks n 5 2."""
    boxes, points = (np.array([getattr(face, name) for face in faces]) for name in ("box", "landmarks"))
    return boxes.reshape(-1, 4), points.reshape(-1, 5, 2)


def all_cases(data: Path, limit: int, *, scenes: bool = True) -> dict[str, list[Case]]:
    """Kept pictures by set, then by face size, then the BSDS pictures without faces (their boxes are empty)."""
    sets = face_sets(data)
    cases = {part.name: [_case(face) for face in _spread(part.kept, limit)] for part in sets if part.kept}
    places = [read_picture(path).pixels for path in bsds(data, kept=True)] if scenes else []
    plain = [case for name in cases if name.startswith("plain") for case in cases[name]]
    if places and plain:
        for size in SIZES:
            cases[f"{size} px in a scene"] = _in_scenes(_spread(plain, limit), places, size)
        for degrees in TILTS:
            cases[f"{TILTED_SIZE} px tilted by {degrees}"] = _in_scenes(
                _spread(plain, limit), places, TILTED_SIZE, degrees
            )
    if places:
        cases[NO_FACES] = [Case(scene, np.zeros(4), NOWHERE) for scene in _spread(places, limit)]
    return cases


def score(finder: str, name: str, cases: Sequence[Case], find: Finder) -> Row:
    """Run one finder over the cases of one set."""
    best, extra, marked, errors = [], 0, 0, []
    clock = time.process_time()
    answers = [find(case.pixels) for case in cases]
    spent = time.process_time() - clock
    for case, (boxes, points, coarse) in zip(cases, answers, strict=True):
        limit = np.array([case.pixels.shape[1], case.pixels.shape[0]] * 2, float)
        overlap = box_iou(np.clip(case.box, 0, limit)[None], np.clip(boxes, 0, limit))[0]
        extra += int((overlap < 0.3).sum())
        if case.box[2] > case.box[0]:
            marked += 1
            best.append(float(overlap.max(initial=0)))
            if best[-1] >= 0.3:
                place = int(overlap.argmax())
                errors.append([point_error(each[place], case.points) for each in (points, coarse)])
    hits = np.array(best) if marked else np.array([np.nan])
    closer, coarser = np.mean(errors, axis=0) if errors else (np.nan, np.nan)
    return Row(
        finder=finder, set=name, pictures=len(cases),
        recall_30=float((hits >= 0.3).mean()) if marked else float("nan"),
        recall_50=float((hits >= 0.5).mean()) if marked else float("nan"), extra=extra / max(1, len(cases)),
        landmarks=float(closer), coarse=float(coarser), cpu_ms=1000 * spent / max(1, len(cases)),
    )  # fmt: skip


def point_error(points: Floats, truth: Floats) -> float:
    """Mean distance of landmarks 5 2 from the true ones, over that between the true eyes."""
    return float(np.hypot(*(points - truth).T).mean() / np.hypot(*(truth[1] - truth[0])))


def lbp_cascade() -> Finder:
    """The frontal cascade that scikit-image brings (Liao et al. 2007, ICB: multi-block LBP)."""
    feature, samples = require("skimage.feature", extra="rs"), require("skimage.data", extra="rs")
    cascade = feature.Cascade(samples.lbp_frontal_face_cascade_filename())

    def find(pixels: Pixels) -> Found:
        side = min(pixels.shape[:2])
        if side < 24:
            return boxes_alone(np.zeros((0, 4)))
        found: list[dict[str, Any]] = cascade.detect_multi_scale(
            img=pixels, scale_factor=1.2, step_ratio=1, min_size=(24, 24), max_size=(side, side)
        )
        boxes = [(box["c"], box["r"], box["c"] + box["width"], box["r"] + box["height"]) for box in found]
        return boxes_alone(np.array(boxes, float).reshape(-1, 4))

    return find


def boxes_alone(boxes: Floats) -> Found:
    """The answer of a finder without landmarks; boxes n 4."""
    nowhere = np.full((len(boxes), 5, 2), np.nan)
    return boxes, nowhere, nowhere


def _case(face: MarkedFace) -> Case:
    return Case(face.pixels(), face.box.astype(float), face.points.astype(float))


def _spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` of the items, evenly spread."""
    if len(items) <= limit:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, limit).round()]


def _in_scenes(cases: Sequence[Case], scenes: Sequence[Pixels], size: int, degrees: float = 0.0) -> list[Case]:
    """Each picture shrunk until its face has sides of `size` pixels, turned counter-clockwise by `degrees` and laid
    into a scene at a place of its own; the box of a tilted face keeps its size."""
    placed = []
    rng = np.random.default_rng(0)
    for number, case in enumerate(cases):
        scale = size / float(np.sqrt(np.prod(case.box[2:] - case.box[:2])))
        scene = scenes[number % len(scenes)].copy()
        small = (round(case.pixels.shape[1] * scale), round(case.pixels.shape[0] * scale))  # width, height
        turn, (width, height) = tilt_about_middle(small, degrees)
        if scale > 1 or height > scene.shape[0] or width > scene.shape[1]:
            continue
        face = cv2.resize(case.pixels, small, interpolation=cv2.INTER_AREA)
        x, y = int(rng.integers(scene.shape[1] - width + 1)), int(rng.integers(scene.shape[0] - height + 1))
        covered = cv2.warpAffine(np.ones(face.shape[:2], np.uint8), turn, (width, height)) > 0
        scene[y : y + height, x : x + width][covered] = cv2.warpAffine(face, turn, (width, height))[covered]
        corner, middle = np.array([x, y]), (case.box[:2] + case.box[2:]) / 2 * scale
        box = case.box * scale + np.tile(moved(middle[None], turn)[0] - middle + corner, 2)
        placed.append(Case(scene, box, moved(case.points * scale, turn) + corner))
    return placed
