"""`vitapps face index`, `face search`, `face forget`: enrolled people in one file, searched exactly.

FAISS, an extra, searches from memory as well: a file of its own would hold templates that no key protects and that
`face forget` does not reach.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import check_output
from vitapps.datasets.formats.face_index import Entry, open_index, read_key, write_index
from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError, UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.face.embedder import OperatingPoint
from vitapps.pipelines.face.verify import Decision, Recogniser, Template, decide, reliable, rounded
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import write_run_record
from vitapps.require import require

log = logging.getLogger("vitapps.face")
SearchBy = Literal["numpy", "faiss"]
Vectors = NDArray[np.float32]
CONSENT = (
    "Face templates are biometric data. Enrol only people who agreed to it and know what it is for, keep the key apart"
    " from the index, and delete on request (`vitapps face forget`)."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """`skipped` pictures without a usable face, and why."""

    out: Path
    faces: int
    people: int
    skipped: dict[str, str]
    encrypted: bool

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """An enrolled face: `similarity` -1..1, `probability` as in `Comparison`, the decision at the operating point."""

    id: int
    name: str
    file: str
    similarity: float
    probability: float | None
    decision: Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """`top` matches at the rate of false matches `fmr`; `by` whose inner products."""

    top: int = 5
    fmr: float = 0.001
    by: SearchBy = "numpy"

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError(f"--top {self.top}: below 1", hint="give the number of matches")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """The best matches of the largest face of a picture, at `point` among `enrolled` faces. The false match rate is
    that of one comparison: among n enrolled faces about n times as many wrong ones are to be expected."""

    probe: Template
    matches: tuple[Match, ...]
    point: OperatingPoint | None
    enrolled: int

    @property
    def expected(self) -> float | None:
        """Wrong matches to be expected; None without an operating point."""
        return None if self.point is None else round(self.point.fmr * self.enrolled, 3)

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "probe": self.probe.to_json(),
            "matches": list(self.matches),
            "operating_point": self.point,
            "enrolled": self.enrolled,
            "expected_false_matches": self.expected,
        }


def build_index(
    folder: Path,
    out: Path,
    *,
    key: Path | None = None,
    weights: str | None = None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> Indexed:
    """Enrol the largest face of every picture below `folder`; `folder/NAME/x.jpg` is NAME, `folder/NAME.jpg` as well.

    With `key` the templates are encrypted; a key file that is not there is made. Pictures without a face are skipped
    and named. Raises UnreadableInputError where nothing is left.
    """
    options = options or RunOptions()
    check_output(out, overwrite=options.overwrite, sources=[folder])
    paths = _pictures(folder)
    log.warning("%s", CONSENT)
    recogniser = Recogniser.load(weights, options)
    secret = read_key(key, make=True) if key is not None else None
    entries, skipped = [], {}
    with progress.task("enrolling", total=len(paths)) as task:
        for path in paths:
            try:
                found = recogniser.template(path)
                box = tuple(float(side) for side in found.face.box)
                file = str(path.relative_to(folder))
                entries.append(Entry(name=name_of(folder, path), file=file, box=box, template=found.vector))
            except VitappsError as error:
                log.warning("%s", error)
                skipped[str(path)] = error.message
            task.advance()
    if not entries:
        raise UnreadableInputError(f"{folder}: no picture with a face", hint="`vitapps face detect` shows what is seen")
    write_index(
        out, entries, model=recogniser.embedder.contract, dim=recogniser.embedder.dim, key=secret,
        overwrite=options.overwrite,
    )  # fmt: skip
    record = new_record([recogniser.embedder.facts, *recogniser.finder.networks], options=options, command=command)
    record.results = {"faces": len(entries), "skipped": len(skipped), "encrypted": secret is not None}
    write_run_record(out, record)
    people = len({entry.name for entry in entries})
    return Indexed(out=out, faces=len(entries), people=people, skipped=skipped, encrypted=secret is not None)


def search(
    picture: Path,
    index: Path,
    *,
    key: Path | None = None,
    settings: SearchSettings | None = None,
    weights: str | None = None,
    calibration: Path | None = None,
    options: RunOptions | None = None,
) -> SearchResult:
    """The enrolled faces nearest to the largest face of `picture`, compared with every one of them. MissingError
    without FAISS where it is asked for."""
    settings = settings or SearchSettings()
    with open_index(index, read_key(key) if key is not None else None) as opened:
        recogniser = Recogniser.load(weights, options, calibration)
        if opened.model != recogniser.embedder.contract:
            raise UsageError(f"{index}: was made by {opened.model.split()[0]}, other templates than those of"
                             f" {recogniser.embedder.facts.name}", hint="index the folder again")  # fmt: skip
        entries = list(opened.entries())
    point = recogniser.embedder.point(settings.fmr)
    probe = recogniser.template(picture)
    return SearchResult(
        probe=probe, matches=_nearest(probe, entries, settings, point, recogniser), point=point, enrolled=len(entries)
    )


def forget(index: Path, *, name: str | None = None, number: int | None = None, key: Path | None = None) -> list[Entry]:
    """Delete the faces of a name, or one face by its id, from the file; raises UsageError where there are none."""
    if (name is None) == (number is None):
        raise UsageError("neither --name nor --id, or both", hint="say whom to delete by one of them")
    with open_index(index, read_key(key) if key is not None else None) as opened:
        gone = opened.forget(name=name, number=number)
    if not gone:
        whom = f"named '{name}'" if name is not None else f"with id {number}"
        raise UsageError(f"{index}: no face {whom}", hint="`vitapps face search` prints names and ids")
    return gone


def name_of(folder: Path, path: Path) -> str:
    """The first folder below `folder`, or the file's own name."""
    inside = path.relative_to(folder)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UnreadableInputError(
            f"{folder}: no such folder", hint="give a folder of pictures, NAME/x.jpg or NAME.jpg"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise UnreadableInputError(f"{folder}: holds no pictures", hint="give a folder of pictures")
    return paths


def _nearest(
    probe: Template, entries: Sequence[Entry], settings: SearchSettings, point: OperatingPoint | None,
    recogniser: Recogniser,
) -> tuple[Match, ...]:  # fmt: skip
    if not entries:
        return ()
    templates = np.stack([entry.template for entry in entries])  # n d
    nearest = nearest_by_faiss if settings.by == "faiss" else nearest_by_numpy
    # among many enrolled faces the odds of each are not even: the threshold alone decides
    return tuple(
        Match(
            id=entries[place].id, name=entries[place].name, file=entries[place].file,
            similarity=round(similarity, 4), probability=rounded(recogniser.embedder.probability(similarity)),
            decision=decide(similarity, None, point, reliable=reliable(probe.face)),
        )
        for place, similarity in nearest(templates, probe.vector, settings.top)
    )  # fmt: skip


def nearest_by_numpy(templates: Vectors, vector: Vectors, top: int) -> list[tuple[int, float]]:
    """Row and inner product with `vector` d of the `top` rows of `templates` n d, by falling product."""
    every = templates @ vector  # n
    return [(int(place), float(every[place])) for place in np.argsort(-every, kind="stable")[:top]]


def nearest_by_faiss(templates: Vectors, vector: Vectors, top: int) -> list[tuple[int, float]]:
    """As `nearest_by_numpy`, by FAISS's exhaustive index (float32, Douze et al. 2024, arXiv:2401.08281)."""
    index = require("faiss", extra="face", package="faiss-cpu").IndexFlatIP(len(vector))
    index.add(np.ascontiguousarray(templates, np.float32))
    products, places = index.search(np.asarray(vector, np.float32)[None], min(top, len(templates)))
    return list(zip(places[0].tolist(), products[0].tolist(), strict=True))
