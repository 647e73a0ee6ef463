"""`vitapps face eval localize`: pixel F1 and picture AUC of every kind of evidence, by source, in one run."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evidence.fuse import Calibration, Evidence, gather, map_top
from vitapps.pipelines.face.evidence.network import Localizer
from vitapps.pipelines.face.evidence.picture import Verdict
from vitapps.pipelines.face.scores import auc, auc_interval, best_f1, f1_of
from vitapps.pipelines.face.verdicts import Verdicts, count_verdicts
from vitapps.progress import Progress, null_progress

Pair = TypeVar("Pair")
LONGEST = 1200  # larger pictures are shrunk, as the published baselines here were
TABLE = "localize.csv"  # columns image, mask, source
_PARTS = ("ela", "ghost", "grid", "noise", "selfmatch")


BARS = {"imd2020": 0.45, "casia": 0.45, "comofod": 0.60}  # best F1, by a part of the source's name
TOP_OF_MAP = "top of the map"  # the fused map's highest part as the picture's score, as a baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One picture of a data set; `mask` None: untouched."""

    image: Path
    mask: Path | None
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Means over the edited pictures of a source: F1 at each picture's best threshold and at 0.5; `picture_auc` against
    the source's untouched ones (NaN without any), with its 95 % interval by bootstrap over pictures. The source `all`
    sets every edited picture against every untouched one: files of many origins, so that more than edits differs."""

    source: str
    method: str
    edited: int
    untouched: int
    best_f1: float
    f1_at_half: float
    picture_auc: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BarRow:
    """The bar that the project set itself for best F1 on a kind of forgeries, beside what was measured; `ela` and
    `selfmatch` best F1 of these traces alone."""

    source: str
    edited: int
    bar: float
    best_f1: float
    ela: float
    selfmatch: float
    met: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`rows` by source and method, the fused map first; `verdicts` by source and truth; `bars` of the sources that have
    one."""

    rows: list[Row]
    verdicts: list[Verdicts]
    bars: list[BarRow]


def read_cases(data: Path) -> list[Case]:
    """The rows of `localize.csv`, or a folder with `Tp/` (edited) and `Gt/` (masks of the same stem), `Au/` untouched.

    Raises UnreadableInputError for a folder that is neither."""
    table = data / TABLE
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            Case(image=data / row["image"], mask=data / row["mask"] if row["mask"] else None, source=row["source"])
            for row in rows
        ]
    masks = {path.stem.removesuffix("_gt"): path for path in _pictures(data / "Gt")}
    edited = [Case(image=path, mask=masks.get(path.stem), source=data.name) for path in _pictures(data / "Tp")]
    missing = [case.image.name for case in edited if case.mask is None]
    if missing or not edited:
        raise UnreadableInputError(
            f"{data}: " + (f"no mask for {missing[0]}" if missing else "neither localize.csv nor Tp/ and Gt/"),
            hint="give a folder with Tp/NAME.jpg and Gt/NAME.png, or localize.csv with image,mask,source",
        )
    return edited + [Case(image=path, mask=None, source=data.name) for path in _pictures(data / "Au")]


def evaluate(
    data: Path, calibration: Calibration | None = None, progress: Progress = null_progress, *,
    network: Localizer | None = None,
) -> Report:  # fmt: skip
    """Every picture's evidence, and what it says; a `network` in a row of its own."""
    cases = read_cases(data)
    calibration = calibration or Calibration()
    methods = ("all", *([network.facts.name] if network else []), TOP_OF_MAP, *_PARTS)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    scores: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    with progress.task("evidence", total=len(cases)) as task:
        for case in cases:
            pixels, truth = _read(case)
            evidence = gather(pixels, calibration=calibration)
            maps = {name: (_as_map(evidence, name), _score(evidence, name)) for name in ("all", TOP_OF_MAP, *_PARTS)}
            if network:
                other = network.reread(evidence, pixels)
                maps[network.facts.name] = other.map, other.score
            for method in methods:
                values, score = maps[method]
                scores.setdefault((case.source, method), []).append((score, truth is not None))
                if truth is not None:
                    cells = on_grid(truth, values.shape)
                    pair = best_f1(values, cells), f1_of(values >= 0.5, cells)
                    found.setdefault((case.source, method), []).append(pair)
            task.advance()
    sources = [case.source for case in cases if case.mask is not None]
    rows = [
        _row(source, method, found[source, method], scores[source, method])
        for source in dict.fromkeys(sources) for method in methods
    ]  # fmt: skip
    if len({case.source for case in cases}) > 1:
        rows += [_row("all", method, _joined(found, method), _joined(scores, method)) for method in methods]
    said = [
        (source, "edited" if edited else "untouched", calibration.picture.verdict(score))
        for (source, method), values in scores.items() if method == "all"
        for score, edited in sorted(values, key=lambda value: not value[1])
    ]  # fmt: skip
    return Report(rows=rows, verdicts=count_verdicts(said, get_args(Verdict)), bars=bars_of(rows))


def bars_of(rows: list[Row]) -> list[BarRow]:
    """By the name of the source: splices of IMD2020 and CASIA, copy-moves of CoMoFoD."""
    best = {(row.source, row.method): row.best_f1 for row in rows}
    return [
        BarRow(
            source=row.source, edited=row.edited, bar=bar, best_f1=row.best_f1, ela=best[row.source, "ela"],
            selfmatch=best[row.source, "selfmatch"], met=row.best_f1 >= bar,
        )
        for row in rows if row.method == "all"
        for name, bar in BARS.items() if name in row.source.lower()
    ]  # fmt: skip


def _read(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture, no side above `LONGEST`, and its mask, 0 to 255 in the file's size; None of an untouched one."""
    pixels = read_picture(case.image).pixels
    scale = LONGEST / max(pixels.shape[:2])
    if scale < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels, None if case.mask is None else np.ascontiguousarray(read_picture(case.mask).pixels[..., 0])


def on_grid(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask H W, 0 to 255, on the grid h w of a map: cells that are mostly marked."""
    return np.asarray(cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)) > 127


def _as_map(evidence: Evidence, method: str) -> NDArray[np.float32]:
    """The fused map, or one trace as `--evidence` would show it: two deviations are 0.5."""
    if method in ("all", TOP_OF_MAP):
        return evidence.map
    part = evidence.parts[method]
    return part if method == "selfmatch" else np.asarray(1 / (1 + np.exp(2.0 - part)), np.float32)


def _score(evidence: Evidence, method: str) -> float:
    """Of the whole picture."""
    if method == "all":
        return evidence.score
    return map_top(evidence.map) if method == TOP_OF_MAP else float(np.quantile(_as_map(evidence, method), 0.98))


def _row(source: str, method: str, found: list[tuple[float, float]], scores: list[tuple[float, bool]]) -> Row:
    values, edited = (np.array(column) for column in zip(*scores, strict=True))
    best, half = np.mean(found, axis=0)
    low, high = auc_interval(values, edited, [str(number) for number in range(len(values))])
    return Row(
        source=source, method=method, edited=len(found), untouched=int((~edited).sum()),
        best_f1=round(float(best), 3), f1_at_half=round(float(half), 3), picture_auc=round(auc(values, edited), 3),
        low=round(low, 3), high=round(high, 3),
    )  # fmt: skip


def _joined(values: dict[tuple[str, str], list[Pair]], method: str) -> list[Pair]:
    """Those of a method over all sources."""
    return [value for (_, name), found in values.items() if name == method for value in found]


def _pictures(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
