"""`vitapps face calibrate verify`: operating points of any recogniser, from pictures of people whom you know.

Every pair of pictures is compared: those of one person against those of different ones give the thresholds of the
false match rates that the number of pairs allows, and the probability of a similarity (logistic regression, both kinds
of pairs weighing the same).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.people import numbered
from vitapps.pipelines.face.verification import RATES, error_rates
from vitapps.pipelines.face.verify import Recogniser
from vitapps.progress import Progress, null_progress
from vitapps.require import require


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifierCalibration:
    """`model` is the recogniser's contract: the points hold for no other. `slope`, `offset` as in `Embedder`;
    `skipped` pictures without a face."""

    model: str
    slope: float
    offset: float
    operating_points: tuple[OperatingPoint, ...]
    people: int
    pictures: int
    skipped: int


def calibrate(
    folder: Path, *, weights: str | None = None, options: RunOptions | None = None, progress: Progress = null_progress
) -> VerifierCalibration:
    """From `folder`/NAME/x.jpg; UnreadableInputError with fewer than two people or no two pictures of one person."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in PICTURE_SUFFIXES)
    names = [path.parent.name for path in paths]
    if len(set(names)) < 2 or len(set(names)) == len(names):
        raise UnreadableInputError(
            f"{folder}: {len(paths)} pictures of {len(set(names))} people", hint="NAME/x.jpg, twice of each person"
        )
    recogniser = Recogniser.load(weights, options)
    vectors, owners, skipped = [], [], 0
    with progress.task("comparing", total=len(paths)) as task:
        for path, name in zip(paths, names, strict=True):
            try:
                vectors.append(recogniser.template(path).vector)
                owners.append(name)
            except VitappsError:
                skipped += 1
            task.advance()
    return _fitted(recogniser.embedder, vectors, owners, skipped)


def _fitted(embedder: Embedder, vectors: list[Any], names: list[str], skipped: int) -> VerifierCalibration:
    whose = numbered(names)
    first, second = np.triu_indices(len(names), 1)
    same = whose[first] == whose[second]
    templates = np.stack(vectors) if vectors else np.zeros((0, embedder.dim), np.float32)
    similarity = np.einsum("nd,nd->n", templates[first], templates[second]).astype(np.float64)
    pairs = f"{int(same.sum())} pairs of one person, {int((~same).sum())} of different people"
    points = [
        OperatingPoint(fmr=rate, fnmr=round(fnmr, 4), threshold=round(threshold, 4), pairs=pairs)
        for rate, (threshold, fnmr) in zip(RATES, error_rates(similarity, same, RATES), strict=True)
        if np.isfinite(threshold)
    ]
    if not points:
        raise UnreadableInputError(
            f"{int((~same).sum())} pairs of different people: too few for a false match rate of {RATES[0]:g}",
            hint="give more pictures of more people",
        )
    weights, offset = fit_logistic(similarity[:, None], same, penalty=1e-3)
    return VerifierCalibration(
        model=embedder.contract, slope=round(float(weights[0]), 4), offset=round(offset, 4),
        operating_points=tuple(points), people=len(set(names)), pictures=len(names), skipped=skipped,
    )  # fmt: skip


def calibration_text(found: VerifierCalibration) -> str:
    """The TOML file that `operating_points.py` reads."""
    text: str = require("tomli_w", extra="train", package="tomli-w").dumps(asdict(found))
    return text
