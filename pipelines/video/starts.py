"""Where and when to begin: boxes as given, points grown to what stands there, masks as the boxes of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.mask_series import VOID, read_index_png
from vitapps.errors import UsageError

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
LEAST = 4.0  # pixels a side that can be followed
_ASIDE = 0.12  # of the picture's shorter side: half the box in which a point is grown


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """`box` x0 y0 x1 y1 in pixels of the frame."""

    box: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What the user points at: `where` is x y w h of a box or x y of a point, in pixels of the frame of second `at`;
    None: of the frame in which tracking begins."""

    where: tuple[float, ...]
    at: float | None = None

    def __str__(self) -> str:
        """As it was typed."""
        return ",".join(f"{value:g}" for value in self.where) + ("" if self.at is None else f"@{self.at:g}")


class Roster:
    """The objects in the order boxes, points, mask, numbered from 1, each waiting for its second; those without one,
    and the mask, for second `at`. Raises UsageError for a box or point that comes before `at`."""

    def __init__(self, boxes: Sequence[Prompt], points: Sequence[Prompt], mask: Path | None, at: float) -> None:
        prompts = [*boxes, *points]
        check_begin(prompts, at)
        begin = [(_from_box, prompt) for prompt in boxes] + [(_from_point, prompt) for prompt in points]
        self._waiting = {
            number: (at if prompt.at is None else prompt.at, partial(find, prompt=prompt))
            for number, (find, prompt) in enumerate(begin, 1)
        }
        self._mask, self._mask_at, self._boxes = mask, at, len(prompts)

    @property
    def seconds(self) -> list[float]:
        """When those that still wait want to begin, the earliest first."""
        return sorted([second for second, _ in self._waiting.values()] + [self._mask_at] * (self._mask is not None))

    def due(self, pixels: Picture, time_s: float) -> dict[int, Start]:
        """Those that begin with this frame, by their numbers; each is given once. Raises UsageError for what lies
        outside the picture, is too small or has another size."""
        moment = time_s + 1e-9
        found = {number: find(pixels) for number, (second, find) in self._waiting.items() if second <= moment}
        self._waiting = {number: item for number, item in self._waiting.items() if number not in found}
        if self._mask is not None and self._mask_at <= moment:
            found |= dict(enumerate(_from_mask(pixels, self._mask), self._boxes + 1))
            self._mask = None
        return found


def check_begin(prompts: Sequence[Prompt], at: float) -> None:
    """UsageError for what begins before the part of the clip that is read."""
    for prompt in prompts:
        if prompt.at is not None and prompt.at < at:
            raise UsageError(f"{prompt}: before second {at:g}", hint="leave --start out, or let it come first")


def check_span(name: str, start: float, end: float | None) -> None:
    """Refuse a part of the clip that holds no time; `name` of the option for its begin."""
    if start < 0:
        raise UsageError(f"{name} {start:g}: below 0", hint="seconds of the clip")
    if end is not None and end <= start:
        raise UsageError(f"{name} {start:g} --end {end:g}: no time between", hint="seconds of the clip")


def box_in(pixels: Picture, prompt: Prompt) -> Floats:
    """The part x0 y0 x1 y1 of a box that lies in the picture; UsageError where that is less than `LEAST` a side."""
    return _cut(pixels, prompt.where, f"--box {prompt}").box


def _from_box(pixels: Picture, prompt: Prompt) -> Start:
    return Start(box=box_in(pixels, prompt))


def _cut(pixels: Picture, box: Sequence[float], said: str) -> Start:
    """The part of a box x y w h that lies in the picture."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    cut = np.array([max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)])
    if (cut[2:] - cut[:2] < LEAST).any():
        raise UsageError(
            f"{said}: less than {LEAST:g} pixels of it lie in the picture of {width} x {height}",
            hint="x,y of the top left corner, then width and height, in pixels",
        )  # fmt: skip
    return Start(box=cut)


def _from_point(pixels: Picture, prompt: Prompt) -> Start:
    rows, columns = np.nonzero(grown_around(pixels, prompt))
    box = (float(columns.min()), float(rows.min()), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1))
    return _cut(pixels, box, f"--point {prompt}")


def grown_around(pixels: Picture, prompt: Prompt) -> NDArray[np.bool_]:
    """H W: the segment of GrabCut (Rother et al. 2004) around a point, which is object, where a frame far around is
    not; a square about it where that is next to nothing. Raises UsageError for a point outside the picture."""
    height, width = pixels.shape[:2]
    x, y = (round(value) for value in prompt.where)
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"--point {prompt}: outside the picture of {width} x {height}", hint="--point x,y in pixels")
    reach = max(12, round(_ASIDE * min(height, width)))
    low = np.array([max(0, x - 2 * reach), max(0, y - 2 * reach)])
    high = np.array([min(width, x + 2 * reach), min(height, y + 2 * reach)])
    part = np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0], ::-1])
    marks = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    at = (int(x - low[0]), int(y - low[1]))
    cv2.circle(marks, at, 2 * reach - 4, int(cv2.GC_PR_BGD), -1)
    cv2.circle(marks, at, reach, int(cv2.GC_PR_FGD), -1)
    cv2.circle(marks, at, max(2, reach // 8), int(cv2.GC_FGD), -1)
    cv2.setRNGSeed(0)
    cv2.grabCut(part, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    inside = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    _, labels = cv2.connectedComponents(inside)
    found = np.zeros((height, width), bool)
    found[low[1] : high[1], low[0] : high[0]] = labels == labels[at[1], at[0]]
    rows, columns = np.nonzero(found)
    if min(np.ptp(rows), np.ptp(columns)) + 1 < 2 * LEAST:
        found[:] = False
        half = reach // 2
        found[max(0, y - half) : y + half, max(0, x - half) : x + half] = True
    return found


def _from_mask(pixels: Picture, path: Path) -> list[Start]:
    labels = read_index_png(path)
    if labels.shape != pixels.shape[:2]:
        raise UsageError(
            f"--mask {path}: {labels.shape[1]} x {labels.shape[0]} pixels, the clip has"
            f" {pixels.shape[1]} x {pixels.shape[0]}", hint="draw the mask on a frame of this clip",
        )  # fmt: skip
    found = []
    for value in np.unique(labels):
        if value in (0, VOID):
            continue
        rows, columns = np.nonzero(labels == value)
        x, y = float(columns.min()), float(rows.min())
        box = (x, y, float(columns.max() + 1 - x), float(rows.max() + 1 - y))
        found.append(_cut(pixels, box, f"--mask {path}, object {value}"))
    if not found:
        raise UsageError(f"--mask {path}: no object in it", hint="values from 1 on are objects, 0 is background")
    return found
