"""`vitapps face verify` and `face embed`: whether two pictures show one person, and the templates of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint, Rows
from vitapps.pipelines.face.faces import Face, Pixels
from vitapps.pipelines.face.find_faces import LARGE, FaceFinder
from vitapps.pipelines.face.operating_points import calibrated
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import write_run_record

Decision = Literal["same", "different", "unsure"]
SMALLEST = 40.0  # pixels of the shorter side of a face: below, no decision
BLURRED = 0.15  # sharpness below which there is none either


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """The face of a picture that counts, its template d, and what speaks against relying on it."""

    input: Path
    face: Face
    vector: Rows
    doubts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Without the template, which belongs to a person."""
        return {"input": self.input, "face": self.face.to_json(), "doubts": list(self.doubts)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """`similarity` -1..1; `probability` 0..1 of one person, if both answers were equally likely before; `decision` as
    `decide` makes it. Probability and point are None for weights on which nobody measured them."""

    first: Template
    second: Template
    similarity: float
    probability: float | None
    decision: Decision
    point: OperatingPoint | None
    model: str

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "decision": self.decision,
            "similarity": round(self.similarity, 4),
            "probability": rounded(self.probability),
            "threshold": None if self.point is None else self.point.threshold,
            "operating_point": self.point,
            "faces": [self.first.to_json(), self.second.to_json()],
            "model": self.model,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Recogniser:
    """Finder and embedder together."""

    finder: FaceFinder
    embedder: Embedder

    @classmethod
    def load(
        cls, weights: str | None = None, options: RunOptions | None = None, calibration: Path | None = None
    ) -> Recogniser:
        """The embedded finder, and the embedder that `weights` names with the operating points of `calibration`."""
        embedder = calibrated(Embedder.load(weights, options.threads if options else None), calibration)
        return cls(finder=FaceFinder.load(None, options), embedder=embedder)

    def template(self, path: Path) -> Template:
        """Of the largest face of a picture; UnreadableInputError where there is none."""
        pixels = read_picture(path).pixels
        found = self.finder.find(pixels, LARGE)
        if not found:
            raise UnreadableInputError(f"{path}: no face found", hint="`vitapps face detect` shows what is seen")
        face = max(found, key=lambda item: item.quality.size)
        doubts = _doubts(face)
        if len(found) > 1:
            doubts += (f"{len(found)} faces, the largest counts",)
        vector = self.embedder.embed([self.crop(pixels, face)])[0]
        return Template(input=path, face=face, vector=vector, doubts=doubts)

    def crop(self, pixels: Pixels, face: Face) -> Pixels:
        """The aligned crop of a face, at the size that the embedder wants."""
        return align(pixels, face.landmarks, self.embedder.crop_size)


def verify(
    first: Path, second: Path, *, fmr: float = 0.01, weights: str | None = None, calibration: Path | None = None,
    options: RunOptions | None = None,
) -> Comparison:  # fmt: skip
    """Compare the largest faces of two pictures at the operating point of the false match rate `fmr`.

    Raises UnreadableInputError for pictures without a face, UsageError for a rate that was not measured.
    """
    for path in (first, second):
        read_picture(path)  # a bad file is told before the models load
    recogniser = Recogniser.load(weights, options, calibration)
    point = recogniser.embedder.point(fmr)
    a, b = recogniser.template(first), recogniser.template(second)
    similarity = float(a.vector @ b.vector)
    probability = recogniser.embedder.probability(similarity)
    return Comparison(
        first=a, second=b, similarity=similarity, probability=probability, point=point,
        decision=decide(similarity, probability, point, reliable=reliable(a.face) and reliable(b.face)),
        model=recogniser.embedder.contract,
    )  # fmt: skip


def decide(
    similarity: float, probability: float | None, point: OperatingPoint | None, *, reliable: bool
) -> Decision:  # fmt: skip
    """Same from the threshold up, different where less than even odds speak for one person as well; between the two,
    on faces that cannot be relied on, and without a threshold nothing is decided."""
    if point is None or not reliable:
        return "unsure"
    if similarity >= point.threshold:
        return "same"
    return "unsure" if probability is not None and probability >= 0.5 else "different"


def rounded(probability: float | None) -> float | None:
    """To four places."""
    return None if probability is None else round(probability, 4)


def reliable(face: Face) -> bool:
    """Large and sharp enough for a decision."""
    return face.quality.size >= SMALLEST and face.quality.sharpness >= BLURRED


def embed(
    paths: Sequence[Path],
    out: Path,
    *,
    weights: str | None = None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> int:
    """Write `templates` n d, `files` n, `boxes` n 4 and `model` to an .npz; returns n. Every picture needs a face."""
    options = options or RunOptions()
    if out.suffix != ".npz":
        raise UsageError(f"-o {out}: templates are written as .npz", hint=f"-o {out.stem}.npz")
    check_output(out, overwrite=options.overwrite, sources=paths)
    recogniser = Recogniser.load(weights, options)
    templates = []
    with progress.task("embedding", total=len(paths)) as task:
        for path in paths:
            templates.append(recogniser.template(path))
            task.advance()
    with atomic_path(out, overwrite=options.overwrite) as temporary:
        np.savez(
            temporary,
            templates=np.stack([item.vector for item in templates]),
            files=np.array([str(item.input) for item in templates]),
            boxes=np.stack([item.face.box for item in templates]),
            model=np.array(recogniser.embedder.contract),
        )
    record = new_record(
        [recogniser.embedder.facts, *recogniser.finder.networks], options=options, command=command, inputs=list(paths)
    )
    record.warnings = [f"{item.input}: {doubt}" for item in templates for doubt in item.doubts]
    write_run_record(out, record)
    return len(templates)


def _doubts(face: Face) -> tuple[str, ...]:
    quality = face.quality
    found = []
    if quality.size < SMALLEST:
        found.append(f"a face of {quality.size:.0f} pixels, below {SMALLEST:.0f}")
    if quality.sharpness < BLURRED:
        found.append(f"blurred (sharpness {quality.sharpness:.2f})")
    if abs(quality.yaw) > 35:
        found.append(f"turned by about {abs(quality.yaw):.0f} degrees")
    if quality.inside < 0.8:
        found.append("cut by the picture's edge")
    return tuple(found)
