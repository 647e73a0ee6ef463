"""One object followed through a clip: optical flow says where to look, the filter where it is, and how sure that is.

Every frame: the points on the object are followed by optical flow (`flow.py`); the filter (`track_filter.py`) looks
around the place that they point to, at three sizes, or around the last place where the points do not agree. The size
follows the flow and the filter together, and what has grown or shrunk for some frames is tried at sizes further apart;
where an object's colours are not those around it (`colour_model.py`), the box is drawn to their extent.

Update rule: the filter learns a frame when its answer is at least `sure` of what it usually is; below `lost` of it,
for `patience` frames on end (three times as many while the flow still holds something, which may be the background),
the object is lost: the box keeps its place, nothing is learnt, and the filter from before the trouble (`remembered.py`)
looks there, where the frame looks like the object, and around in rings that widen from frame to frame, until an answer
reaches `found` again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.colour_model import ColourModel
from vitapps.pipelines.video.flow import Motion, follow
from vitapps.pipelines.video.remembered import Remembered
from vitapps.pipelines.video.track_filter import FilterConfig, FilterTracker
from vitapps.pipelines.video.window import Look

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
State = Literal["tracked", "uncertain", "lost"]
_LIKE = 3  # places that look like the object, of which the filter decides
_FAST = 0.2  # sides a frame that the flow cannot be asked to see alone
STEADY = 4  # frames of growing or shrinking from which the sizes are tried further apart
FASTER = 3  # a weak frame counts this often where the flow has lost the object too
_LOGISTIC = (-3.58, 2.07, 3.37)  # constant, filter, flow; see docs/video.md
_FLOW_SIDE = 72.0  # pixels: root of the object's area in the picture that the flow sees


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleConfig:
    """Shares of the usual answer (see the module docstring; from `well` on a look is worth remembering); `support` of
    the points from which the flow is believed; `elastic` 0..1: how far the flow's growth is taken against
    the filter's; `colour` 0..1: how far the box goes to the extent of the colours, where they are trusted."""

    sure: float = 0.45
    well: float = 0.8
    lost: float = 0.25
    found: float = 0.6
    patience: int = 3
    support: float = 0.5
    elastic: float = 0.3
    colour: float = 0.7
    doubt: float = 1.2
    filter: FilterConfig = field(default_factory=FilterConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """`box` x0 y0 x1 y1 in pixels of the frame, `score` 0..1, `state`."""

    box: Floats
    score: float
    state: State


class SingleTracker:
    """`SingleTracker(frame, box)`, then `update(frame)` for each further frame; frames H W 3 RGB of one size."""

    def __init__(self, frame: Picture | Look, box: Floats, config: SingleConfig | None = None) -> None:
        self.config = config or SingleConfig()
        look = Look.at(frame)
        self._filter = FilterTracker(look, box, self.config.filter)
        self._colours = ColourModel(look, box)
        self._grey, self._ratio = self._small(look, box)
        self._usual = 0.0  # mean answer of the filter where it was sure
        self._weak = 0  # frames on end with a weak answer
        self._trend = 0  # frames on end in which it grew, or, below 0, shrank
        self._before = Remembered(look, self._filter)

    @property
    def box(self) -> Floats:
        return self._filter.box

    @property
    def _limit(self) -> int:
        """How much weakness makes it lost."""
        return self.config.patience * FASTER

    def update(self, frame: Picture | Look) -> Sighting:
        """Where the object is now."""
        frame = Look.at(frame)
        motion = self._flow(frame)
        if self._weak >= self._limit:
            return self._search(frame)
        believed = motion.support >= self.config.support
        hint = (motion.box[:2] + motion.box[2:]) / 2 if believed else self._filter.middle
        middle, growth, answer = self._filter.locate(frame, hint, pace=2 if abs(self._trend) >= STEADY else 1)
        share = self._share(answer)
        if share < self.config.lost:  # the flow alone, or nothing, says where it is
            self._weak = min(self._weak + (1 if believed else FASTER), self._limit)
            if believed:
                self._filter.move(hint, self._filter.size, frame.shape)
            return Sighting(box=self.box, score=self._score(share, motion), state="uncertain")
        self._weak = 0
        self._trend = 0 if growth == 1 else max(self._trend, 0) + 1 if growth > 1 else min(self._trend, 0) - 1
        size = self._filter.size * self._growth(motion, believed, growth)
        self._filter.move(*self._by_colour(frame, middle, size, share), frame.shape)
        if share >= self.config.sure:
            if not believed:
                motion = self._flow_to(middle, motion)
            self._learn(frame, answer)
        if share >= self.config.well:
            self._before.note(frame, self._filter)
        state: State = "tracked" if share >= self.config.sure else "uncertain"
        return Sighting(box=self.box, score=self._score(share, motion), state=state)

    def _by_colour(self, frame: Look, middle: Floats, size: Floats, share: float) -> tuple[Floats, Floats]:
        """Drawn towards the extent that the colours show, the more the less the filter is sure."""
        doubt = float(np.clip((self.config.doubt - share) / 0.3, 0, 1))
        if doubt == 0:
            return middle, size
        seen = self._colours.extent(frame, np.concatenate([middle - size / 2, middle + size / 2]))
        if seen is None:
            return middle, size
        pull = self.config.colour * self._colours.trust * doubt
        return middle + pull * ((seen[:2] + seen[2:]) / 2 - middle), size * ((seen[2:] - seen[:2]) / size) ** pull

    def _learn(self, frame: Look, answer: float) -> None:
        self._filter.learn(frame)
        self._colours.learn(frame, self.box)
        self._usual = answer if not self._usual else self._usual + 0.05 * (answer - self._usual)

    def _growth(self, motion: Motion, believed: bool, growth: float) -> Floats:
        """Factors of width and height."""
        if not believed:
            return np.full(2, growth)
        sides = (motion.box[2:] - motion.box[:2]) / self._filter.size
        return np.asarray(sides**self.config.elastic * growth ** (1 - self.config.elastic))

    def _search(self, frame: Look) -> Sighting:
        """As it looked before: at its last place, where the frame looks like it, and further out from frame to frame up
        to the border of the picture, then near again."""
        if self._weak == self._limit:
            self._filter = self._before.filter(self._filter.middle)
        self._weak += 1
        reach = self._filter.size.max() * self.config.filter.reach / 2
        rings = max(1, round(max(frame.shape[:2]) / reach))
        ring = 1 + (self._weak - self._limit) // 8 % rings
        start = self._filter.middle
        angle = np.pi / 4 * (3 * self._weak % 8)
        around = start + ring * reach * np.array([np.cos(angle), np.sin(angle)])
        places = [start, around, *self._before.places(frame, _LIKE)]
        limit = np.array([frame.shape[1], frame.shape[0]])
        inside = [place for place in places if (place > -reach / 4).all() and (place < limit + reach / 4).all()]
        best = max(
            (self._filter.locate(frame, place, sizes=1) for place in inside or [start]), key=lambda item: item[2]
        )
        share = self._share(best[2])
        if share < self.config.found:
            return Sighting(box=self.box, score=0.0, state="lost")
        self._weak = 0
        self._filter.move(best[0], self._filter.size * best[1], frame.shape)
        self._colours.weigh_again(frame, self.box)
        return Sighting(box=self.box, score=0.5 * min(1.0, share), state="uncertain")

    def _share(self, answer: float) -> float:
        return answer / self._usual if self._usual else 1.0

    def _score(self, share: float, motion: Motion) -> float:
        """How likely the box overlaps the object by more than half: a logistic fit to frames of the six real sequences
        of docs/video.md."""
        start, by_share, by_support = _LOGISTIC
        return float(1 / (1 + np.exp(-(start + by_share * min(share, 1.2) + by_support * motion.support))))

    def _flow_to(self, middle: Floats, motion: Motion) -> Motion:
        """The last `motion` again from where the filter has found the object, if that is too far for the flow alone: do
        its points agree with the filter?"""
        before, after, box, ratio = self._seen
        moved = middle - (box[:2] + box[2:]) / 2
        if (np.abs(moved) < _FAST * (box[2:] - box[:2])).all():
            return motion
        return follow(before, after, box * ratio, levels=1, guess=moved * ratio)

    def _flow(self, frame: Look) -> Motion:
        box = self._filter.box
        before, ratio = self._grey, self._ratio
        after = self._shrunk(frame, ratio)
        self._seen = before, after, box, ratio
        motion = follow(before, after, box * ratio)
        wanted = min(1.0, _FLOW_SIDE / np.sqrt(self._filter.size.prod()))
        if 0.7 < wanted / ratio < 1.4:
            self._grey = after
        else:
            self._grey, self._ratio = self._small(frame, box)
        return Motion(box=motion.box / ratio, support=motion.support)

    def _small(self, frame: Look, box: Floats) -> tuple[Picture, float]:
        ratio = float(min(1.0, _FLOW_SIDE / np.sqrt(max(1.0, (box[2:] - box[:2]).prod()))))
        return self._shrunk(frame, ratio), ratio

    def _shrunk(self, frame: Look, ratio: float) -> Picture:
        grey = cv2.cvtColor(frame.level(ratio)[0], cv2.COLOR_RGB2GRAY)
        if ratio < 1:
            size = (max(16, round(frame.shape[1] * ratio)), max(16, round(frame.shape[0] * ratio)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)
