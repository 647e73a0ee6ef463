"""One training crop: text, faces, setting, margins, neighbours, tilt and a degradation, all drawn from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vitapps.datasets.synth.text.camera import by_camera
from vitapps.datasets.synth.text.degrade import STYLES, Style, degrade
from vitapps.datasets.synth.text.fonts import Face, Kind
from vitapps.datasets.synth.text.render import DrawnLine, Run, Setting, draw_line, size_for
from vitapps.datasets.synth.text.words import TextSource

KINDS: tuple[Kind, ...] = ("book", "sans", "mono", "other")
_FACES: dict[Style, tuple[float, ...]] = {  # shares of KINDS
    "scan": (0.56, 0.18, 0.08, 0.18), "thermal": (0.08, 0.30, 0.47, 0.15), "screen": (0.30, 0.36, 0.12, 0.22),
}  # fmt: skip
_HEIGHTS: dict[Style, tuple[float, float, float]] = {  # pixels from the top of d to the foot of p: least, usual, most
    "scan": (16, 42, 64), "thermal": (11, 20, 44), "screen": (10, 24, 56),
}  # fmt: skip
_STYLE_SHARES = {True: (0.08, 0.80, 0.12), False: (0.58, 0.24, 0.18)}  # of STYLES, for business lines and others


@dataclass(frozen=True, kw_only=True, slots=True)
class LineSample:
    """`picture` H W grey 0..255 of one line, `text` what stands there."""

    picture: NDArray[np.uint8]
    text: str
    style: Style
    face: Face


@dataclass(frozen=True, kw_only=True, slots=True)
class Difficulty:
    """`lengths`: characters, least and most; `strength` 0 to 1 of degradations, margins, tilt and spacing; `camera`:
    share of the lines that are seen by a camera too (`camera.py`), 0 draws what it always drew."""

    lengths: tuple[int, int] = (1, 90)
    strength: float = 1.0
    camera: float = 0.0


class LineMaker:
    """`sample(seed)` is the same for the same faces, source and difficulty."""

    def __init__(self, faces: Sequence[Face], source: TextSource, difficulty: Difficulty | None = None) -> None:
        self.source, self.difficulty = source, difficulty or Difficulty()
        self._families: dict[Kind, list[list[Face]]] = {}
        for kind in KINDS:
            families: dict[str, list[Face]] = {}
            for face in faces:
                if face.kind == kind:
                    families.setdefault(face.family, []).append(face)
            self._families[kind] = list(families.values())

    def sample(self, seed: int) -> LineSample:
        """One crop with its text."""
        return self.samples(seed, 1)[0]

    def samples(self, seed: int, times: int) -> list[LineSample]:
        """One line drawn once, cut out and degraded `times` times: drawing takes most of the time."""
        rng, words = np.random.default_rng(seed), random.Random(seed)
        least, most = self.difficulty.lengths
        length = min(most, max(least, round(least + (most - least) * words.random() ** 1.3)))
        text, business = self.source.text(words, length)
        style: Style = words.choices(STYLES, _STYLE_SHARES[business])[0]
        family = self._family(style, words)
        face = words.choice(family)
        text = fit_to_face(text, face) or "0"
        size = size_for(face, rng.triangular(*_HEIGHTS[style]))
        line = draw_line(_runs(text, face, family, words), size, self._setting(text, style, words))
        return [
            LineSample(picture=self._picture(line, style, rng), text=text, style=style, face=face) for _ in range(times)
        ]

    def _picture(self, line: DrawnLine, style: Style, rng: Generator) -> NDArray[np.uint8]:
        strength = self.difficulty.strength * (0.15 + 0.85 * float(rng.random()))
        picture = degrade(crop_line(line, rng, loose=style == "thermal", strength=strength), style, rng, strength)
        if self.difficulty.camera and rng.random() < self.difficulty.camera:
            return by_camera(picture, rng, strength)
        return picture

    def _family(self, style: Style, words: random.Random) -> list[Face]:
        shares = [share if self._families[kind] else 0 for kind, share in zip(KINDS, _FACES[style], strict=True)]
        kind = words.choices(KINDS, shares if any(shares) else [bool(self._families[kind]) for kind in KINDS])[0]
        return words.choice(self._families[kind])

    def _setting(self, text: str, style: Style, words: random.Random) -> Setting:
        if words.random() > 0.15 + 0.65 * self.difficulty.strength:
            return Setting()
        blanks = text.count(" ")
        return Setting(
            gap=words.uniform(0.5 if style == "thermal" else 0.7, 1.9),
            tracking=words.choice([0, 0, 0, 0, words.uniform(-0.02, 0.03), words.uniform(0.0, 0.15)]),
            wide_gap=words.randrange(blanks) if blanks and words.random() < 0.08 else -1,
            stretch=words.uniform(*((0.6, 1.4) if style == "thermal" and words.random() < 0.4 else (0.85, 1.2))),
            underline=words.random() < 0.03,
        )


def fit_to_face(text: str, face: Face) -> str:
    """`text` without what the face cannot draw."""
    kept = "".join(char for char in text if char == " " or char in face.chars)
    return " ".join(kept.split())


def _runs(text: str, face: Face, family: Sequence[Face], words: random.Random) -> list[Run]:
    """Words in one face; in one line of six, some of them in another face of the family (italics, bold)."""
    parts = text.split()
    runs = [Run(word=word, face=face) for word in parts]
    others = [item for item in family if (item.slanted, item.heavy) != (face.slanted, face.heavy)]
    if len(parts) > 1 and others and words.random() < 0.17:
        other, first = words.choice(others), words.randrange(len(parts))
        for place in range(first, min(len(parts), first + words.randint(1, 6))):
            if set(parts[place]) <= other.chars:
                runs[place] = Run(word=parts[place], face=other)
    return runs


def crop_line(line: DrawnLine, rng: Generator, *, loose: bool, strength: float) -> NDArray[np.uint8]:
    """Ink of the line as a detector would cut it out: tilted a little, with margins and parts of its neighbours."""
    ink = _tilted(line.ink, rng, strength)
    rows, columns = np.flatnonzero(ink.max(axis=1) > 60), np.flatnonzero(ink.max(axis=0) > 60)
    if not len(rows):
        return ink
    top, foot, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    nominal = 0.55 * len(line.ink)  # about the height from d to p
    if rng.random() < 0.4 or foot - top < 0.4 * nominal:  # by the type, not by the ink: `-` stays small
        top, foot = min(top, line.baseline - round(0.75 * nominal)), max(foot, line.baseline + round(0.25 * nominal))
    most = 0.10 + strength * (0.38 if loose else 0.12)
    above, below = rng.uniform(-0.03 * strength, most, 2) * nominal
    before, after = rng.uniform(-0.01, 0.12 + 0.45 * strength * rng.random(), 2) * nominal
    pads = [max(0, round(side)) for side in (above, below, before, after)]
    cuts = [max(0, -round(side)) for side in (above, below, before, after)]
    ink = np.pad(
        ink[max(0, top) + cuts[0] : foot - cuts[1], left + cuts[2] : right - cuts[3]],
        ((pads[0] + max(0, -top), pads[1]), (pads[2], pads[3])),
    )
    return _with_neighbours(ink, line, pads, rng) if rng.random() < 0.25 * strength else ink


def _tilted(ink: NDArray[np.uint8], rng: Generator, strength: float) -> NDArray[np.uint8]:
    """Sheared: the baseline climbs or falls, letters lean."""
    height, width = ink.shape
    climb = float(np.clip(rng.normal(0, 0.006), -0.02, 0.02)) * strength
    climb = float(np.clip(climb, -0.2 * height / width, 0.2 * height / width))  # no more than a fifth of the height
    lean = rng.normal(0, 0.05) * strength if rng.random() < 0.4 else 0.0
    matrix = np.array([[1, lean, -lean * height / 2], [climb, 1, -climb * width / 2]], np.float32)
    return np.asarray(cv2.warpAffine(ink, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _with_neighbours(ink: NDArray[np.uint8], line: DrawnLine, pads: Sequence[int], rng: Generator) -> NDArray[np.uint8]:
    """Feet of the line above or heads of the line below in the margin: the line's own ink, moved along."""
    other = np.roll(line.ink, int(rng.integers(0, line.ink.shape[1])), axis=1)
    rows = np.flatnonzero(other.max(axis=1) > 60)
    other = np.pad(other[rows[0] : rows[-1] + 1], ((0, 0), (0, ink.shape[1])))[:, : ink.shape[1]]
    out = ink.copy()
    if pads[0] > 1 and rng.random() < 0.6:
        reach = min(int(rng.integers(1, pads[0] + 1)), len(other))
        out[:reach] = np.maximum(out[:reach], other[len(other) - reach :])
    if pads[1] > 1 and rng.random() < 0.6:
        reach = min(int(rng.integers(1, pads[1] + 1)), len(other))
        out[-reach:] = np.maximum(out[-reach:], other[:reach])
    return out
