"""Pairs of untouched and blended faces for training, from pictures of real faces with landmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.face_fakes import MarkedFace
from vitapps.datasets.synth.swapped_faces import swap_like
from vitapps.pipelines.face.align import align, moved, similarity, template
from vitapps.pipelines.face.blend_cues import SIZE
from vitapps.pipelines.face.face_views import cut_with_corner
from vitapps.progress import Progress, null_progress

MARGIN = 1.6  # of the cut-out that is blended: all of the aligned face, and more
_CANDIDATES = 12  # of whom the most alike in the place of its landmarks lends its face
_JITTER = 0.03  # of the distance of the eyes: landmarks are never exact
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A real face with its surroundings: `pixels` H W 3, `marks` 5 2 in them, `shape` 5 2 the landmarks alone, upright
    and of one size; `held`: of a person whom no training shows."""

    pixels: Pixels
    marks: NDArray[np.float64]
    shape: NDArray[np.float64]
    person: str
    held: bool

    @property
    def grey(self) -> bool:
        """Whether the picture has no colour."""
        return bool((self.pixels == self.pixels[..., :1]).all())


def cuts_of(faces: Sequence[MarkedFace], progress: Progress = null_progress) -> list[Cut]:
    """Every face with its margin; beyond the picture it is mirrored."""
    found = []
    with progress.task("faces", total=len(faces)) as task:
        for face in faces:
            pixels, marks = _cut(face)
            shape = moved(marks, similarity(marks, template(1)))
            found.append(Cut(pixels=pixels, marks=marks, shape=shape, person=face.person, held=held_out(face.person)))
            task.advance()
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A face untouched and blended, H W 3 with its margin, after the same processing; `marks` 5 2 as a good finder
    would place them."""

    plain: Pixels
    blended: Pixels
    marks: NDArray[np.float64]
    person: str
    held: bool


def drawn(cuts: Sequence[Cut], seed: int, size: int = SIZE) -> Callable[[int], tuple[Pixels, Pixels, bool]]:
    """`draw(number)`: both faces of a pair aligned, size size 3, and whether it is held out."""
    pairs = pairs_of(cuts, seed)

    def draw(number: int) -> tuple[Pixels, Pixels, bool]:
        pair = pairs(number)
        return align(pair.plain, pair.marks, size), align(pair.blended, pair.marks, size), pair.held

    return draw


def pairs_of(cuts: Sequence[Cut], seed: int) -> Callable[[int], Pair]:
    """`draw(number)`: a random person's face untouched and blended. A lent face is one of the same half of the people.
    One number gives one result."""
    halves = {held: [cut for cut in cuts if cut.held is held] for held in (True, False)}
    people: dict[str, list[Cut]] = {}
    for cut in cuts:
        people.setdefault(cut.person, []).append(cut)
    names = sorted(people)

    def draw(number: int) -> Pair:
        rng = np.random.default_rng((seed, number))
        pictures = people[names[int(rng.integers(len(names)))]]
        mine = pictures[int(rng.integers(len(pictures)))]
        lenders = halves[mine.held]
        others = [lenders[int(place)] for place in rng.integers(len(lenders), size=_CANDIDATES)]
        others = [cut for cut in others if cut.person != mine.person]
        other = min(others, key=lambda cut: float(np.abs(cut.shape - mine.shape).mean()), default=mine)
        plain, blended, _ = swap_like(mine.pixels, mine.marks, other.pixels, other.marks, int(rng.integers(1 << 31)))
        apart = float(np.hypot(*(mine.marks[1] - mine.marks[0])))
        marks = mine.marks + rng.normal(0, _JITTER * apart, (5, 2))
        if mine.grey:
            plain, blended = _greyed(plain), _greyed(blended)
        return Pair(plain=plain, blended=blended, marks=marks, person=mine.person, held=mine.held)

    return draw


def held_out(person: str) -> bool:
    """Whether training leaves a person out: a third of them, by name."""
    return sum(person.encode()) % 3 == 0


def _cut(face: MarkedFace) -> tuple[Pixels, NDArray[np.float64]]:
    """A square around the face with its margin, and the landmarks in it."""
    x0, y0, x1, y1 = face.box
    x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0) / 2
    square = x - half, y - half, x + half, y + half
    pixels, corner = cut_with_corner(read_picture(face.path).pixels, square, MARGIN, cv2.BORDER_REFLECT_101)
    return pixels, face.landmarks - corner


def _greyed(face: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
