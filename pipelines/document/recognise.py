"""Crops of lines or words to text: the embedded recogniser with its places and calibrated confidences, no torch.

crop H W 3      any size and colours     `line_input.prepare_line`
strips          lines end to end, parted by gaps (`line_strips.py`); very wide ones go in overlapping tiles
network         1 1 40 W -> 1 W/4 1+characters log probabilities
best path       `ctc_decode`
places          peaks of characters, words brought to the ink between the gaps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.confidence import CERTAINTY, Calibration, WordEvidence
from vitapps.pipelines.document.ctc_decode import Peak, best_path, word_spans
from vitapps.pipelines.document.line_input import MARGIN, SIDE, STEP, Line, prepare_line
from vitapps.pipelines.document.line_strips import Gap, Strip, laid_out, plan_strips
from vitapps.pipelines.document.look_alikes import settle
from vitapps.pipelines.document.quantiles import median_of
from vitapps.pipelines.document.word_tokens import word_rows
from vitapps.pipelines.runtime.in_order import in_order
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.weights.cards import Card

DEFAULT_WEIGHTS, DEFAULT_READER = "line-latin", "line-latin-words"  # what is trained; what reads, by CTC and words
TASK, WORDS_TASK = "doc.read", "doc.read-words"
TILE, OVERLAP = 2_400, 320  # columns
TOGETHER = 2  # strips that are read at once, where there are as many threads
DOUBT = -0.08  # log probability a character: below it, a crop is looked at again
SECOND_LOOKS = ((1.0, 0.3), (1.3, 0.2))  # stretch and margin; the surest reading stays (chosen on SROIE lines)
INK = 0.35  # of full ink: a column that reaches it is written on
Crop = NDArray[np.uint8]
Network = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadChar:
    """`x0`, `x1`: columns of the crop, left to right; `probability` 0 to 1 of the network, as it comes."""

    char: str
    x0: float
    x1: float
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadWord:
    """`x0`, `x1`: columns of the crop, brought to the ink; `confidence` 0 to 1: calibrated chance that all letters
    and figures of the word are right."""

    text: str
    x0: float
    x1: float
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one crop says, empty for bare paper. `confidence`: chance that the whole line is right, the product of its
    words' (1 for an empty one). `certainty`: mean by letters of what the network gives its words, whatever the
    calibration: what tells writing from none (0 for an empty one)."""

    text: str = ""
    confidence: float = 1.0
    certainty: float = 0.0
    chars: tuple[ReadChar, ...] = ()
    words: tuple[ReadWord, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One reading of a crop, the evidence for each of its words, and its log probability a character. `rows`: what the
    word heads read of each word (`word_tokens.py`), empty without them."""

    reading: Reading = field(default_factory=Reading)
    evidence: tuple[WordEvidence, ...] = ()
    score: float = 0.0
    rows: tuple[NDArray[np.float32], ...] = ()


class WordFuser(Protocol):
    """Reads the doubtful words of some looks again, by a network of its own."""

    @property
    def facts(self) -> NetworkFacts: ...

    def __call__(self, looks: Sequence[Look]) -> list[Look]: ...


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """`network` computes 1 1 height W -> 1 W/4 1+characters log probabilities of lines parted by `gap`, and tokens
    1 W/4 D where `fuse` is given, which reads doubtful words again (`word_fusion.py`); `stretch`: low pictures are made
    so many times wider before it (`prepare_line`); `together` calls of it may run at once."""

    network: Network
    charset: str
    height: int = 40
    stretch: float = 1.0
    gap: Gap = field(default_factory=Gap)
    calibration: Calibration = field(default_factory=Calibration)
    facts: NetworkFacts = field(default_factory=NetworkFacts)
    fuse: WordFuser | None = None
    together: int = 1

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> Recogniser:
        """A card by name or path, its network compiled: of a line recogniser, or of word heads, whose recogniser is
        loaded too; raises MissingError for weights of another task."""
        from vitapps.shared_backbones.engines.load import load_model

        card, heads = cards_of(weights or DEFAULT_WEIGHTS)
        model = load_model(card, options or RunOptions(), together=TOGETHER)
        return cls(
            network=model,
            charset=str(card.preprocess["charset"]),
            height=int(card.preprocess["height"]),
            stretch=float(card.preprocess.get("stretch", 1.0)),
            gap=Gap(**card.preprocess.get("gap", {})),
            calibration=Calibration(**card.preprocess["calibration"]),
            facts=NetworkFacts.of(card, model),
            fuse=_word_fusion(heads, options or RunOptions()) if heads else None,
            together=model.together,
        )

    @property
    def networks(self) -> tuple[NetworkFacts, ...]:
        """Facts of the networks that read."""
        return (self.facts, self.fuse.facts) if self.fuse else (self.facts,)

    def read(self, crops: Sequence[Crop]) -> tuple[Reading, ...]:
        """The readings of crops H W 3 (or H W) uint8, in their order. Empty crops (no pixel) read as nothing. Low
        crops whose reading is doubtful are read again at other proportions, and the surest reading stays."""
        looks = self.looks(crops)
        return tuple(look.reading for look in (self.fuse(looks) if self.fuse else looks))

    def looks(self, crops: Sequence[Crop]) -> list[Look]:
        """As `read` by CTC alone, with what the confidences rest on."""
        found = self._look(crops, self.stretch, MARGIN)
        low = [0 < len(crop) < self.height for crop in crops]
        doubtful = [place for place, look in enumerate(found) if low[place] and look.score < DOUBT]
        for stretch, margin in SECOND_LOOKS if doubtful else ():
            again = self._look([crops[place] for place in doubtful], stretch, margin)
            for place, other in zip(doubtful, again, strict=True):
                found[place] = max(found[place], other, key=lambda look: look.score)
        return found

    def _look(self, crops: Sequence[Crop], stretch: float, margin: float) -> list[Look]:
        found = [Look()] * len(crops)
        places = [place for place, crop in enumerate(crops) if crop.size]
        lines = [prepare_line(crops[place], self.height, stretch, margin) for place in places]
        for number, answer in self._answers(lines):
            found[places[number]] = self._reading(lines[number], answer, crops[places[number]].shape)
        return found

    def _answers(self, lines: Sequence[Line]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The number of each line and its W/4 1+characters, with `fuse` the tokens beside them, as they come in."""
        tiles: list[Line] = []
        owned: list[range] = []  # numbers of the tiles of each line
        for line in lines:
            parts = tiles_of(line)
            owned.append(range(len(tiles), len(tiles) + len(parts)))
            tiles += parts
        owners = [number for number, places in enumerate(owned) for _ in places]
        strips = list(plan_strips([tile.shape[1] for tile in tiles], self.gap))

        def answer(strip: Strip) -> NDArray[np.float32]:
            outputs = self.network(laid_out(strip, tiles, self.gap))
            return outputs[0][0] if self.fuse is None else np.concatenate([part[0] for part in outputs], axis=1)

        answers: dict[int, NDArray[np.float32]] = {}
        for strip, output in zip(strips, in_order(answer, strips, self.together), strict=True):
            for place, start in zip(strip.lines, strip.starts, strict=True):
                answers[place] = output[start // STEP : (start + tiles[place].shape[1]) // STEP]
            for number in sorted({owners[place] for place in strip.lines}):
                if all(place in answers for place in owned[number]):
                    yield number, joined([answers.pop(place) for place in owned[number]])

    def _reading(self, line: Line, answer: NDArray[np.float32], shape: tuple[int, ...]) -> Look:
        """The reading of a crop of `shape` H W."""
        log_probs, tokens = np.split(answer, [1 + len(self.charset)], axis=1)
        peaks = settle(best_path(log_probs, self.charset))
        score = float(log_probs.max(axis=1).sum()) / (len(peaks) + 1)
        if not peaks:
            return Look(score=score)
        columns = shape[1]
        scale = columns / (line.shape[1] - 2 * SIDE)
        written: NDArray[np.bool_] = np.max(line, axis=0) > INK
        edges = char_edges(peaks, written)
        spans = [
            (min(max((x0 - SIDE) * scale, 0.0), columns), min(max((x1 - SIDE) * scale, 0.0), columns))
            for x0, x1 in edges
        ]
        places = word_spans(peaks)
        evidence = tuple(word_evidence(peaks, first, last, score, shape[0]) for first, last in places)
        words = tuple(
            ReadWord(
                text="".join(peak.char for peak in peaks[first:last]), x0=spans[first][0], x1=spans[last - 1][1],
                confidence=self.calibration(seen),
            )
            for (first, last), seen in zip(places, evidence, strict=True)
        )  # fmt: skip
        reading = Reading(
            text="".join(peak.char for peak in peaks),
            confidence=math.prod(word.confidence for word in words),
            certainty=float(
                np.average([CERTAINTY(word) for word in evidence], weights=[word.letters for word in evidence])
            ),
            chars=tuple(
                ReadChar(char=peak.char, x0=x0, x1=x1, probability=peak.probability)
                for peak, (x0, x1) in zip(peaks, spans, strict=True)
            ),
            words=words,
        )
        rows = word_rows(log_probs, tokens, peaks, places, self.charset.index(" ") + 1) if self.fuse else ()
        return Look(reading=reading, evidence=evidence, score=score, rows=rows)


def cards_of(weights: str) -> tuple[Card, Card | None]:
    """The card of a line recogniser, and that of word heads where `weights` names these. Raises MissingError for
    weights of another task, and for heads of another recogniser than the one that is there."""
    from vitapps.shared_backbones.weights.cards import load_card

    heads = load_card(weights)
    if heads.task != WORDS_TASK:
        return load_card(weights, TASK), None
    wanted = heads.preprocess["recogniser"]
    beside = heads.folder / f"{wanted['name']}.toml"
    card = load_card(beside if beside.is_file() else str(wanted["name"]), TASK)
    if card.sha256 != wanted["sha256"]:
        raise MissingError(f"{heads.name}: made for other weights than {card.name}", hint="vitapps doc train words")
    return card, heads


def _word_fusion(heads: Card, options: RunOptions) -> WordFuser:
    from vitapps.pipelines.document.word_fusion import WordFusion

    return WordFusion.load(heads, options)


def word_evidence(peaks: Sequence[Peak], first: int, last: int, line: float, height: int) -> WordEvidence:
    """Of the word of the characters `first` to `last` in a crop of `height` pixels, whose `line` has that score."""
    gaps = [math.log(peaks[place].probability) for place in (first - 1, last) if 0 <= place < len(peaks)]
    return WordEvidence(
        path=sum(peak.path for peak in peaks[first:last]),
        least=math.log(min(peak.probability for peak in peaks[first:last])),
        blanks=sum(gaps), line=line, letters=last - first, height=height,
    )  # fmt: skip


def tiles_of(line: Line) -> list[Line]:
    """The line itself, or overlapping parts of one that is wider than a tile."""
    width = line.shape[1]
    if width <= TILE:
        return [line]
    starts = range(0, width - OVERLAP, TILE - OVERLAP)
    return [line[:, start : min(width, start + TILE)] for start in starts]


def joined(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Log probabilities of overlapping tiles as those of the line: each overlap is cut where both sides are surest that
    no character stands."""
    out = parts[0]
    shared = OVERLAP // STEP
    for part in parts[1:]:
        margin = shared // 4  # characters at a tile's very end are read without what follows
        sure = out[len(out) - shared :, 0] + part[:shared, 0]
        cut = margin + int(sure[margin : shared - margin].argmax())
        out = np.concatenate([out[: len(out) - shared + cut], part[cut:]])
    return out


def char_edges(peaks: Sequence[Peak], written: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """x0, x1 of each character in columns of the line. Within a word, halfway between peaks; at a blank, the longest
    run of bare columns there; at the ends, the nearest bare column beyond the peak."""
    centres = [STEP * (peak.token + 0.5) for peak in peaks]
    usual = median_of(np.diff(centres)) if len(centres) > 1 else 3.0 * STEP
    halves = [(left + right) / 2 for left, right in pairwise(centres)]
    starts = [_outer(written, centres[0], -1, usual), *halves]
    ends = [*halves, _outer(written, centres[-1], 1, usual)]
    for place, peak in enumerate(peaks):
        if peak.char == " ":
            gap = _bare_run(written, centres[place - 1], centres[place + 1])
            ends[place - 1], starts[place + 1] = gap
            starts[place], ends[place] = gap
    return list(zip(starts, ends, strict=True))


def _bare_run(written: NDArray[np.bool_], left: float, right: float) -> tuple[float, float]:
    """The longest run of columns without ink between two columns; the middle where there is none."""
    first, last = int(left) + 1, max(int(left) + 2, int(right))
    marks = np.concatenate([[True], written[first:last], [True]])
    inked = np.flatnonzero(marks)
    sizes = np.diff(inked)
    place = int(sizes.argmax())
    if sizes[place] < 2:
        return ((left + right) / 2,) * 2
    return float(first + inked[place]), float(first + inked[place + 1] - 1)


def _outer(written: NDArray[np.bool_], centre: float, step: int, usual: float) -> float:
    """The last written column from `centre` outwards, over gaps narrower than a third of a character."""
    column = reach = int(centre)
    bare = 0
    while 0 <= column < len(written) and bare <= max(2.0, usual / 3) and abs(column - centre) < 3 * usual:
        bare = 0 if written[column] else bare + 1
        reach = column if written[column] else reach
        column += step
    return float(reach + (step > 0))
