"""`vitapps face calibrate liveness`: the operating point of one site, with the rates before and after.

Half of the people, or of the files (every second by name), fit the point whose rates are then measured on the other
half; the point that is written is fitted on all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.face_views import FaceReader
from vitapps.pipelines.face.liveness_data import smooth
from vitapps.pipelines.face.liveness_model import LivenessModel, OperatingPoint, fit_point, with_smoothed
from vitapps.pipelines.face.liveness_rows import second_half
from vitapps.pipelines.face.scores import Bools, Floats
from vitapps.progress import Progress, null_progress

FEWEST = 10  # of each kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Shares of the measured half: attacks called live (also by type), live faces called spoof, and both without a
    verdict."""

    apcer: float
    apcer_by_type: dict[str, float]
    bpcer: float
    unsure: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteCalibration:
    """`before` with the card's point, `after` with one fitted on the other half; `point` is fitted on all. `curve`: the
    measured half's logits and labels, for a DET plot."""

    point: OperatingPoint
    before: Rates
    after: Rates
    live: int
    spoofs: int
    warnings: list[str]
    curve: tuple[Floats, Bools] = field(repr=False)


def calibrate(
    live: Path, spoof: Path, *, crop: bool, weights: str | None = None, person: str | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> SiteCalibration:  # fmt: skip
    """Fit on the pictures of two folders; UsageError for fewer than ten of a kind. Folders below `spoof` name types of
    attack. `person`: a regular expression of the person in a file's name, so that the halves share nobody."""
    model = LivenessModel.load(weights, options)
    reader = FaceReader(options or RunOptions(), crop=crop)
    paths = [pictures_of(folder) for folder in (live, spoof)]
    for folder, found in zip((live, spoof), paths, strict=True):
        if len(found) < FEWEST:
            raise UsageError(f"{folder}: {len(found)} pictures", hint=f"a calibration needs {FEWEST} of each kind")
    labels = np.array([True] * len(paths[0]) + [False] * len(paths[1]))
    second = _second_half(paths, person)
    if min(int((labels[half] == kind).sum()) for half in (second, ~second) for kind in (True, False)) == 0:
        raise UsageError("half of the people have no live faces or no attacks", hint="calibrate without --person")
    logits, smoothed, notes = _logits([*paths[0], *paths[1]], model, reader, progress)
    both = np.stack([logits, smoothed])[:, second]  # 2 n: of the faces as they are and smoothed
    source = f"{len(paths[0])} live and {len(paths[1])} spoofed pictures of this site"
    half, every = (
        with_smoothed(fit_point(logits[rows], labels[rows], source), smoothed[rows], labels[rows])
        for rows in (~second, np.ones_like(second))
    )
    types = np.array(["live"] * len(paths[0]) + [_attack(path, spoof) for path in paths[1]])[second]
    return SiteCalibration(
        point=every, before=_rates(model.point, both, types),
        after=_rates(half, both, types), live=len(paths[0]), spoofs=len(paths[1]), warnings=notes,
        curve=(logits[second], labels[second]),
    )  # fmt: skip


def _second_half(paths: Sequence[Sequence[Path]], person: str | None) -> Bools:
    """Of the live faces and the attacks, the rows that are measured; UsageError for an expression that fits a name
    not."""
    if person is None:
        return np.concatenate([np.arange(len(found)) % 2 == 1 for found in paths])
    try:
        found = [(path, re.search(person, path.name)) for kind in paths for path in kind]
    except re.error as error:
        raise UsageError(f"--person {person}: {error}", hint=r"a regular expression, as '^\d+'") from None
    for path, match in found:
        if match is None:
            raise UsageError(f"--person {person}: not in {path.name}", hint="it must fit every file's name")
    return second_half([match[0] for _, match in found if match])


def _attack(path: Path, folder: Path) -> str:
    """The type of an attack: the first folder below `folder`, else that folder's own name."""
    inner = path.relative_to(folder).parts
    return inner[0] if len(inner) > 1 else folder.name


def _logits(
    paths: Sequence[Path], model: LivenessModel, reader: FaceReader, progress: Progress
) -> tuple[Floats, Floats, list[str]]:
    """The mean logit of each input's faces, of the same smoothed, and what the reader says."""
    found, notes = [], set()
    with progress.task("faces", total=len(paths)) as task:
        for path in paths:
            views, said = reader.views(path)
            faces = [view.pixels for view in views]
            found.append([model.logits(each).mean() for each in (faces, [smooth(face) for face in faces])])
            notes.update(said)
            task.advance()
    plain, smoothed = np.array(found, np.float64).T
    return plain, smoothed, sorted(notes)


def _rates(point: OperatingPoint, logits: Floats, types: NDArray[np.str_]) -> Rates:
    """`logits` 2 N, of faces and of the same smoothed; `types` N: `live`, or that of the attack."""
    verdicts = np.array([point.verdict(*both) for both in point.scores(logits).T.tolist()])
    passed = verdicts == "live"
    attacks = types != "live"
    return Rates(
        apcer=float(passed[attacks].mean()), bpcer=float((verdicts[~attacks] == "spoof").mean()),
        apcer_by_type={str(name): float(passed[types == name].mean()) for name in np.unique(types[attacks])},
        unsure=float((verdicts == "unsure").mean()),
    )  # fmt: skip
