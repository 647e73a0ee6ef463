"""Lines of writing by the network: kernels that mark one line each, and how far it reaches above and below them.

page grey       scaled so that body type has the height that the network was trained on, or at two scales
windows         overlapping, blended (`windows/stitch.py`), in cells of 4 x 4 pixels
lines           connected kernels (DB, Liao et al. 2020, arXiv:1911.08947), each with a straight top and foot

Where type of several sizes is looked for, each scale gives the lines whose height it sees well, and of lines that lie
on one another the surer one stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box, shared_area
from vitapps.options import RunOptions
from vitapps.pipelines.document.found_line import FoundLine, sloped_quad
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.windows.stitch import tile_apply

DEFAULT_WEIGHTS = "text-detector"
TASK = "doc.detect"
CELL = 4  # pixels
TOKEN = 4  # cells
BATCH = 4  # windows a call
SURE = 0.5  # chance from which a cell belongs to a kernel
END = 0.12  # of a line's height, by which a kernel is shorter at each end, as in training
X_HEIGHT = 0.54  # of a line's height from the top of `d` to the foot of `g`
SEEN = (8.0, 46.0)  # pixels: heights of lines that the network sees well
NARROWEST = 0.3  # of its height: no line is narrower
STEEPEST = 0.4  # pixels a line may fall a pixel to the right
SURE_SIGN = 0.65  # of a line's kernel in such a picture, whose ground is busy (chosen on the photographs of ICDAR 2015)
SCALES = (1280, 560)  # pixels of the longer side of a picture whose type may have any size
SHARED = 0.3  # of a line's box, inside a surer one of another scale
KINDS = 4  # nothing, text, table, figure
TABLE, FIGURE = 2, 3
LEAST_REGION = 48  # pixels: about three lines of body type
Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
# grey 0..1 B 1 S S -> kernel B 1, sides B 2 at S/4, regions B 8 at S/16, features B C at S/8
Network = Callable[[Floats], Sequence[Floats]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageMaps:
    """What the network says of a page, by cells of 4 x 4 pixels: `kernel` h w 0..1, `sides` 2 h w pixels up and down,
    `kinds` 4 h w logits of nothing, text, table and figure."""

    kernel: Floats
    sides: Floats
    kinds: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """Lines, and boxes of tables and figures, in no order."""

    lines: tuple[FoundLine, ...] = ()
    tables: tuple[Box, ...] = ()
    figures: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LineDetector:
    """A compiled text detector. `window` pixels a side, `overlap` 0..1, `line_height` of body type in pixels at which
    it was trained."""

    network: Network
    window: int = 320
    overlap: float = 0.15
    line_height: float = 19.0
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> LineDetector:
        """A card by name or path, its network compiled; raises MissingError for weights of another task."""
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights or DEFAULT_WEIGHTS, TASK)
        model = load_model(card, options or RunOptions())
        return cls(
            network=model,
            window=int(card.preprocess["window"][0]),
            overlap=float(card.preprocess["overlap"]),
            line_height=float(card.preprocess["line_height"]),
            facts=NetworkFacts.of(card, model),
        )

    def find(self, grey: Grey, height: float = 0.0) -> Detected:
        """The lines of a page H W whose small letters are `height` pixels high, and its tables and figures; with
        `height` 0 the lines of a picture with type of any size."""
        if height:
            return self.at_scale(grey, self.line_height * X_HEIGHT / height)
        longer = max(grey.shape)
        scales = sorted({min(1.5, side / longer) for side in SCALES}, reverse=True)
        found: list[FoundLine] = []
        for number, scale in enumerate(scales):
            low = 0.0 if number == 0 else SEEN[0]
            high = np.inf if number == len(scales) - 1 else SEEN[1]
            found += [
                line
                for line in self.at_scale(grey, scale).lines
                if low <= line.height * scale < high and line.score >= SURE_SIGN
            ]
        return Detected(lines=tuple(apart(found)))

    def at_scale(self, grey: Grey, scale: float) -> Detected:
        """What is seen at one scale, in pixels of `grey`."""
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        shown = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        maps = self.maps(np.asarray(shown, np.uint8))
        back = grey.shape[1] / size[0], grey.shape[0] / size[1]
        tables, figures = (
            tuple((x0 * back[0], y0 * back[1], x1 * back[0], y1 * back[1]) for x0, y0, x1, y1 in regions_of(maps, kind))
            for kind in (TABLE, FIGURE)
        )
        lines = tuple(_lit(_scaled(line, back), grey) for line in lines_of(maps))
        return Detected(lines=lines, tables=tables, figures=figures)

    def maps(self, grey: Grey) -> PageMaps:
        """What the network says of a page as it is given, h w = H/4 W/4 rounded up."""
        down, right = (-(-side // (CELL * TOKEN)) * CELL * TOKEN - side for side in grey.shape)
        padded = np.pad(grey, ((0, down), (0, right)), mode="edge")
        high, wide = padded.shape[0] // CELL, padded.shape[1] // CELL
        cells = padded.reshape(high, CELL, wide, CELL).transpose(1, 3, 0, 2).reshape(CELL * CELL, high, wide)
        side = self.window // CELL
        found = tile_apply(
            cells.astype(np.float32) / np.float32(255), self._window_maps, window=(side, side), overlap=self.overlap,
            batch=BATCH,
        )  # fmt: skip
        return PageMaps(kernel=found[0], sides=found[1:3], kinds=found[3:])

    def _window_maps(self, cells: Floats) -> Floats:
        """B 16 s s cells -> B 3+4 s s: kernel, sides, kinds."""
        number, _, high, wide = cells.shape
        grey = cells.reshape(number, CELL, CELL, high, wide).transpose(0, 3, 1, 4, 2)  # -> B s 4 s 4
        images = np.ascontiguousarray(grey).reshape(number, 1, high * CELL, wide * CELL)
        kernel, sides, regions = self.network(images)[:3]
        kinds = regions[:, :KINDS].repeat(TOKEN, axis=2).repeat(TOKEN, axis=3)  # B 4 s/4 s/4 -> B 4 s s
        return np.concatenate([kernel, sides, kinds], axis=1)


def lines_of(maps: PageMaps) -> list[FoundLine]:
    """A line for every connected kernel, in pixels of the page that the network saw."""
    mask = (maps.kernel > SURE).astype(np.uint8)
    number, names, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    found = []
    for name in range(1, number):
        left, top, width, height, _ = stats[name]
        part = slice(top, top + height), slice(left, left + width)
        rows, columns = np.nonzero(names[part] == name)
        line = _line(maps, rows + top, columns + left)
        if line is not None:
            found.append(line)
    return found


def regions_of(maps: PageMaps, kind: int) -> list[Box]:
    """Boxes of the regions of a kind, in pixels of the page that the network saw: what is larger than a few words."""
    mask = (maps.kinds.argmax(axis=0) == kind).astype(np.uint8)
    side = 2 * TOKEN + 1  # a stray token is closed or opened
    mask = np.pad(mask, side)  # else what lies near the edge would grow to it
    for way in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        mask = np.asarray(cv2.morphologyEx(mask, way, np.ones((side, side), np.uint8)), np.uint8)
    mask = np.ascontiguousarray(mask[side:-side, side:-side])
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_32S)
    return [
        (float(x * CELL), float(y * CELL), float((x + width) * CELL), float((y + height) * CELL))
        for x, y, width, height, _ in stats[1:].tolist()
        if min(width, height) * CELL >= LEAST_REGION
    ]


def _line(maps: PageMaps, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FoundLine | None:
    """The line of the cells of one kernel; None for what is too short to hold a letter."""
    chance = maps.kernel[rows, columns]
    up, down = maps.sides[:, rows, columns]
    x, y = (columns + 0.5) * CELL, (rows + 0.5) * CELL
    height = float(np.median(up + down))
    x0, x1 = float(x.min()) - CELL / 2 - END * height, float(x.max()) + CELL / 2 + END * height
    if x1 - x0 < NARROWEST * height:
        return None
    slope = 0.0
    if x1 - x0 > 3 * height:
        slope = float(np.clip(np.polyfit(x, y + (down - up) / 2, 1, w=chance)[0], -STEEPEST, STEEPEST))
    steep = float(np.hypot(1, slope))  # sides are at right angles to the line
    top, foot = np.median(y - up * steep - slope * x), np.median(y + down * steep - slope * x)
    return FoundLine(
        quad=sloped_quad(x0, x1, float(top), float(foot), slope), slope=slope, x_height=X_HEIGHT * height,
        score=float(chance.mean()),
    )  # fmt: skip


def _scaled(line: FoundLine, factors: tuple[float, float]) -> FoundLine:
    (a, b, c, d) = ((x * factors[0], y * factors[1]) for x, y in line.quad)
    return replace(
        line, quad=(a, b, c, d), slope=line.slope * factors[1] / factors[0], x_height=line.x_height * factors[1]
    )


def _lit(line: FoundLine, grey: Grey) -> FoundLine:
    """The line, marked where its letters are lighter than its ground."""
    x0, y0, x1, y1 = (max(0, round(value)) for value in line.box)
    part = grey[y0 : y1 + 1, x0 : x1 + 1]
    if not part.size:
        return line
    dark, ground, light = (float(value) for value in np.percentile(part, (2, 50, 98)))
    return replace(line, light=light - ground > ground - dark)


def apart(lines: Sequence[FoundLine]) -> list[FoundLine]:
    """The surest lines, without those of which a good share lies inside a surer one."""
    kept: list[FoundLine] = []
    for line in sorted(lines, key=lambda item: -item.score):
        if all(_shared(line.box, other.box) < SHARED for other in kept):
            kept.append(line)
    return kept


def _shared(one: Box, other: Box) -> float:
    """Common area of two boxes over that of the smaller."""
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared_area(one, other) / max(min(areas), 1e-9)
