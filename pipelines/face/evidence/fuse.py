"""All evidence of one picture as one map, and as one score (`picture.py`).

Each local trace is taken in its logarithm (levels) or as it is (grid, ghosts), set against the median and the median
absolute deviation of the same picture and clipped; their weighted sum is smoothed along the picture's own edges, since
what is edited is mostly a thing. A logistic curve turns the sum into 0..1; copies found by self-match are added to it
and halve the local traces, which then are the weaker witness. The weights were chosen on the real forgeries that
docs/face_trust.md names, slope and offset by `vitapps face calibrate localize` on pictures edited by `datasets/synth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.evidence.ela import error_level, telling_quality
from vitapps.pipelines.face.evidence.ghost import jpeg_ghost
from vitapps.pipelines.face.evidence.grid import block_grid
from vitapps.pipelines.face.evidence.guided import guided_filter
from vitapps.pipelines.face.evidence.kinds import EvidenceName
from vitapps.pipelines.face.evidence.noise import noise_level
from vitapps.pipelines.face.evidence.picture import PictureCurve, inconsistency
from vitapps.pipelines.face.evidence.selfmatch import self_match
from vitapps.progress import Progress, null_progress

Map = NDArray[np.float32]
LocalMap = Callable[[dict[str, Map], Map], Map]  # parts and guide -> 0..1
WEIGHTS = {"ela": 1.0, "ela_texture": 1.0, "grid": 0.7, "ghost": 0.7}
CELL = 4  # pixels a cell of the maps, up to CELLS of them
CELLS = 1_000_000
BLOCK, MARGIN = 2048, 64  # pixels computed at a time, multiples of 8 so that block grids keep their phase
TOP = 0.02  # share of the cells whose mean is the score of a map alone
STRONG = 10  # agreeing keypoints from which a copy is the main witness


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """`1 / (1 + exp(-slope (x - offset)))` of the fused sum x is the map; `picture` judges the whole."""

    slope: float = 1.0
    offset: float = 3.25
    picture: PictureCurve = field(default_factory=PictureCurve)
    source: str = (
        "90 pictures edited by datasets/synth from 47 untouched ones (BSDS500, DAVIS, ICDAR 2015) and the same without "
        "the edit, seed 0"
    )

    def local(self, parts: dict[str, Map], guide: Map) -> Map:
        """The chance of an edit by the local traces alone, h w in 0..1."""
        return _curve(local_sum(parts, guide), self.slope, self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """`map` h w in 0..1 (cells of `cell` pixels), `score` 0..1 of the picture (of all evidence by `PictureCurve`, else
    the top of the map), `inliers` of the strongest self-match; `parts` the traces by name, in deviations from the
    picture's own median (self-match: 0..1); `inconsistency` see `picture.py`, 0 for one kind."""

    map: Map
    score: float
    inliers: int
    cell: int
    parts: dict[str, Map]
    inconsistency: float = 0.0


def gather(
    pixels: NDArray[np.uint8], kind: EvidenceName = "all", calibration: Calibration | None = None,
    progress: Progress = null_progress,
) -> Evidence:  # fmt: skip
    """Evidence of RGB H W 3 uint8, all of it or one kind."""
    calibration = calibration or Calibration()
    cell = cell_of(pixels)
    parts: dict[str, Map] = {}
    inliers = 0
    if kind != "selfmatch":
        parts = local_traces(pixels, cell, progress)
    height, width = _grid_size(pixels, cell)
    if kind in ("all", "selfmatch"):
        found = self_match(pixels)
        inliers = found.inliers
        mask = cv2.resize(found.mask, (width, height), interpolation=cv2.INTER_AREA)
        parts["selfmatch"] = np.asarray(mask, np.float32)
    guide = guide_of(pixels, height, width)
    if kind != "all":
        total = parts[kind] if kind == "selfmatch" else _curve(parts[kind], 1.0, 2.0)  # two deviations are 0.5
        return Evidence(map=total, score=map_top(total), inliers=inliers, cell=cell, parts=parts)
    total = _with_copies(calibration.local(parts, guide), parts, inliers)
    unlike = inconsistency(parts, WEIGHTS, guide)
    score = calibration.picture.score(unlike, inliers)
    return Evidence(map=total, score=score, inliers=inliers, cell=cell, parts=parts, inconsistency=unlike)


def reread(evidence: Evidence, pixels: NDArray[np.uint8], local: LocalMap) -> Evidence:
    """All evidence of RGB H W 3 uint8 with another map: `local` reads the local traces in the place of the weighted sum
    and its curve; copies are joined as before, and the score of the picture stays."""
    guide = guide_of(pixels, *evidence.map.shape)
    found = _with_copies(local(evidence.parts, guide), evidence.parts, evidence.inliers)
    return replace(evidence, map=found)


def cell_of(pixels: NDArray[np.uint8]) -> int:
    """Pixels a cell of the maps of RGB H W 3: `CELL`, doubled until there are no more than `CELLS`."""
    cell = CELL
    while pixels.shape[0] * pixels.shape[1] > CELLS * cell * cell:
        cell *= 2
    return cell


def local_sum(parts: dict[str, Map], guide: Map) -> Map:
    """The weighted sum of the standardised local traces, smoothed along the edges of `guide` h w 3 in 0..1."""
    total = np.sum([weight * parts[name] for name, weight in WEIGHTS.items()], axis=0).astype(np.float32)
    return guided_filter(guide, total, radius=12, softness=1e-2)


def guide_of(pixels: NDArray[np.uint8], height: int, width: int) -> Map:
    """The picture at the size of the maps, height width 3 in 0..1."""
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def map_top(values: Map) -> float:
    """Mean of the highest `TOP` of a map."""
    flat = np.sort(values, axis=None)
    return float(flat[-max(1, round(TOP * flat.size)) :].mean())


def standardised(traces: dict[str, Map]) -> dict[str, Map]:
    """Raw traces h w -> deviations from the picture's own median, clipped to -6..6, with ELA against texture added."""
    levels = {name: np.log(traces[name] + 0.3) for name in ("ela", "noise", "texture")}
    against = _residual(levels["ela"], levels["texture"])
    raw = {
        "ela": levels["ela"], "ela_texture": against, "noise": levels["noise"], "grid": traces["grid"],
        "ghost": traces["ghost"],
    }  # fmt: skip
    return {name: _deviations(values) for name, values in raw.items()}


def _with_copies(local: Map, parts: dict[str, Map], inliers: int) -> Map:
    """A map of the local traces and the copies that self-match found, where the traces are the weaker witness."""
    share = 0.5 if inliers >= STRONG else 1.0
    return np.asarray((share * local + parts["selfmatch"]).clip(0, 1), np.float32)


def _curve(values: Map, slope: float, offset: float) -> Map:
    return np.asarray(1 / (1 + np.exp(-slope * (values - offset))), np.float32)


def local_traces(pixels: NDArray[np.uint8], cell: int, progress: Progress = null_progress) -> dict[str, Map]:
    """The local traces by name in deviations, each h w, of RGB H W 3 uint8 in cells of `cell` pixels: computed block by
    block with a margin, so that memory does not grow with them."""
    height, width = _grid_size(pixels, cell)
    found: dict[str, Map] = {name: np.zeros((height, width), np.float32) for name in _TRACES}
    traces: dict[str, Callable[[NDArray[np.uint8]], Map]] = dict(_TRACES)
    traces["ela"] = partial(error_level, quality=telling_quality(pixels))
    blocks = list(_blocks(height * cell, width * cell))
    with progress.task("evidence", total=len(blocks)) as task:
        for top, left in blocks:
            y0, x0 = max(0, top - MARGIN), max(0, left - MARGIN)
            part = np.ascontiguousarray(pixels[y0 : top + BLOCK + MARGIN, x0 : left + BLOCK + MARGIN])
            rows, columns = (top - y0) // cell, (left - x0) // cell
            place = np.s_[top // cell : (top + BLOCK) // cell, left // cell : (left + BLOCK) // cell]
            for name, trace in traces.items():
                small = _cells(trace(part), cell)
                target = found[name][place]
                target[...] = small[rows : rows + target.shape[0], columns : columns + target.shape[1]]
            task.advance()
    return standardised(found)


def _blocks(height: int, width: int) -> Iterator[tuple[int, int]]:
    yield from ((top, left) for top in range(0, height, BLOCK) for left in range(0, width, BLOCK))


def _grid_size(pixels: NDArray[np.uint8], cell: int) -> tuple[int, int]:
    return -(-pixels.shape[0] // cell), -(-pixels.shape[1] // cell)


def _cells(values: Map, cell: int) -> Map:
    """Means of cells, H W -> h w; the last row and column may hold less than a cell."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % cell), (0, -width % cell)), mode="edge")
    return np.asarray(
        padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell).mean(axis=(1, 3)), np.float32
    )


def _texture(pixels: NDArray[np.uint8]) -> Map:
    """Mean absolute Laplacian over a square, grey levels: where a compression finds something to change."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (17, 17)), np.float32)


def _residual(values: Map, texture: Map) -> Map:
    """What a parabola in `texture` does not explain of `values`, both h w."""
    flat = texture.ravel()
    terms = np.stack([np.ones_like(flat), flat, flat**2], axis=1)
    solved = np.linalg.lstsq(terms, values.ravel(), rcond=None)[0]
    return np.asarray(values - (terms @ solved).reshape(values.shape), np.float32)


def _deviations(values: Map) -> Map:
    middle = np.median(values)
    spread = 1.48 * np.median(np.abs(values - middle)) + 1e-3
    return np.asarray(((values - middle) / spread).clip(-6, 6), np.float32)


_TRACES: dict[str, Callable[[NDArray[np.uint8]], Map]] = {
    "ela": error_level,
    "ghost": jpeg_ghost,
    "noise": noise_level,
    "grid": block_grid,
    "texture": _texture,
}
