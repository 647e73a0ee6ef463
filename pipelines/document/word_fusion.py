"""Words that CTC is not sure of, read again by the word heads; of the four readings the surest stays (MGP-STR).

The heads see the tokens of the recogniser, cut into words where CTC saw blanks, and give characters, BPE pieces and
WordPieces with the joint probability of each reading (Wang et al. 2022, eq. 6, takes the likeliest). Here CTC is the
fourth reading and the four are not of one scale, so each is first brought to the chance that the word is right, on
words that some reading contests (`confidence.Calibration`); readings that agree strengthen one another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.document.confidence import Calibration, WordEvidence
from vitapps.pipelines.document.look_alikes import kept_comma, settle_text
from vitapps.pipelines.document.recognise import TOGETHER, Look, ReadChar, Reading, ReadWord
from vitapps.pipelines.document.text_scores import edit_distance
from vitapps.pipelines.document.word_pieces import GRANULARITIES, Vocabulary
from vitapps.pipelines.document.word_tokens import Floats, like_lengths, padded
from vitapps.pipelines.runtime.in_order import in_order
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.weights.cards import Card

READINGS = ("ctc", *GRANULARITIES)
SURE = -0.2  # log probability of a word's path: above it hardly a word was changed, and CTC is not asked again
SURE_CHARACTER = math.log(0.9)  # of its least sure one: nor above it (of 102 changes 99 stayed, for 41 % of the words)
CONTEST = math.log(0.1)  # of a reading: below it, it says nothing against CTC
NEAR = 2  # characters (chosen on the lines that are calibrated on): what differs more is a guess at another word
_MOST = 32  # words a call
_LEAST = 1e-30
Network = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """One reading of a word and the logarithm of its joint probability."""

    text: str
    path: float


@dataclass(frozen=True, kw_only=True)
class WordFusion:
    """`network` computes B N D+2 -> log probabilities B T classes for each of `vocabularies`, and confidence B 3 of
    these readings. `calibrations`: of CTC and of each granularity. Words with a path above `sure` are left alone, and
    those whose characters are all surer than `SURE_CHARACTER`; `together` calls of the network may run at once."""

    network: Network
    vocabularies: tuple[Vocabulary, ...]
    calibrations: tuple[Calibration, ...] = (Calibration(),) * len(READINGS)
    sure: float = SURE
    facts: NetworkFacts = dataclasses.field(default_factory=NetworkFacts)
    together: int = 1

    @classmethod
    def load(cls, card: Card, options: RunOptions) -> WordFusion:
        """The word heads of a card, their network compiled."""
        from vitapps.shared_backbones.engines.load import load_model

        # they have no int8 graph, and little to gain from one
        exact = dataclasses.replace(options, precision="exact") if options.precision == "int8" else options
        model = load_model(card, exact, together=TOGETHER)
        return cls(
            network=model,
            vocabularies=tuple(Vocabulary.of(kind, card.preprocess) for kind in GRANULARITIES),
            calibrations=tuple(Calibration(**card.preprocess["calibration"][name]) for name in READINGS),
            sure=float(card.preprocess["sure"]),
            facts=NetworkFacts.of(card, model),
            together=model.together,
        )

    def __call__(self, looks: Sequence[Look]) -> list[Look]:
        """The looks with every doubtful word as its surest reading has it; the others as they are."""
        places = [
            (place, number)
            for place, look in enumerate(looks)
            for number, seen in enumerate(look.evidence)
            if self.doubts(seen) and len(look.rows[number])
        ]
        spellings = self.spellings([looks[place].rows[number] for place, number in places])
        changes: dict[int, dict[int, tuple[Spelling, float]]] = {}
        for (place, number), found in zip(places, spellings, strict=True):
            look = looks[place]
            spelt = in_place(look.reading, number, found)
            best, chance = self.surest(look.reading.words[number].text, look.evidence[number], spelt)
            if best is not None:
                changes.setdefault(place, {})[number] = (best, chance)
        return [respelt(look, changes[place]) if place in changes else look for place, look in enumerate(looks)]

    def doubts(self, seen: WordEvidence) -> bool:
        """Whether a word is to be read again."""
        return seen.path < self.sure and seen.least < SURE_CHARACTER

    def spellings(self, words: Sequence[Floats]) -> list[tuple[Spelling, ...]]:
        """Characters, BPE and WordPiece of each word's rows, in their order."""
        groups = list(like_lengths(words, _MOST))
        found: dict[int, tuple[Spelling, ...]] = {}
        for group, spelt in zip(
            groups, in_order(lambda group: self._spelt([words[place] for place in group]), groups, self.together),
            strict=True,
        ):  # fmt: skip
            found |= zip(group, spelt, strict=True)
        return [found[place] for place in range(len(words))]

    def _spelt(self, words: Sequence[Floats]) -> list[tuple[Spelling, ...]]:
        """The same for the words of one call."""
        *log_probs, chances = self.network(padded(words))
        return [
            tuple(
                Spelling(
                    text=settle_text(vocabulary.spell(part[row].argmax(axis=1).tolist())),
                    path=math.log(max(float(chance), _LEAST)),
                )
                for vocabulary, part, chance in zip(self.vocabularies, log_probs, chances[row], strict=True)
            )
            for row in range(len(words))
        ]

    def surest(
        self, text: str, seen: WordEvidence, spellings: Sequence[Spelling]
    ) -> tuple[Spelling | None, float]:  # fmt: skip
        """The reading that wins over `text` of CTC, with its chance of being right; None where CTC stays, which it does
        where it is as sure. Readings that agree are held to err apart: one of them is right with 1 - (1 - p)(1 - q)."""
        if not contested(text, spellings):
            return None, 0.0
        found: dict[str, tuple[float, Spelling]] = {}  # by text: the chance that it is wrong, its likeliest reading
        for place, spelling in enumerate([Spelling(text=text, path=seen.path), *spellings]):
            wrong = 1 - self.calibrations[place](evidence_of(seen, spellings, place))
            others, first = found.get(spelling.text, (1.0, spelling))
            if is_near(text, spelling.text):
                found[spelling.text] = (others * wrong, max(first, spelling, key=lambda item: item.path))
        wrong, winner = min(found.values(), key=lambda item: item[0])
        return (None if winner.text == text else winner), 1 - wrong


def in_place(reading: Reading, number: int, spellings: Sequence[Spelling]) -> tuple[Spelling, ...]:
    """Spellings of a word with what its neighbours say of it, which the heads did not see."""
    word, following = (reading.words[at].text if at < len(reading.words) else "" for at in (number, number + 1))
    return tuple(dataclasses.replace(item, text=kept_comma(word, following, item.text)) for item in spellings)


def contested(text: str, spellings: Sequence[Spelling]) -> bool:
    """Whether a reading says something else than `text` with a probability that is worth a look."""
    return any(item.text != text and item.path > CONTEST and is_near(text, item.text) for item in spellings)


def is_near(text: str, other: str) -> bool:
    """Whether a reading may stand for `text` of CTC: one word, which differs in `NEAR` characters at most."""
    return bool(other) and " " not in other and edit_distance(text, other) <= NEAR


def evidence_of(seen: WordEvidence, spellings: Sequence[Spelling], place: int) -> WordEvidence:
    """What speaks for reading number `place` of `READINGS`: that of CTC is `seen`."""
    return dataclasses.replace(seen, path=spellings[place - 1].path) if place else seen


def respelt(look: Look, changes: dict[int, tuple[Spelling, float]]) -> Look:
    """A look with some of its words spelt otherwise; their characters share the word's place evenly where their number
    has changed."""
    words: list[ReadWord] = []
    chars: list[ReadChar] = []
    evidence = list(look.evidence)
    first = 0
    for number, word in enumerate(look.reading.words):
        last = first + len(word.text)
        own, blank = look.reading.chars[first:last], look.reading.chars[last : last + 1]
        if number in changes:
            spelling, chance = changes[number]
            own = _spread(own, word, spelling)
            word = dataclasses.replace(word, text=spelling.text, confidence=chance)
            evidence[number] = dataclasses.replace(evidence[number], path=spelling.path, letters=len(spelling.text))
        words.append(word)
        chars += [*own, *blank]
        first = last + 1
    reading = dataclasses.replace(
        look.reading, text=" ".join(word.text for word in words), words=tuple(words), chars=tuple(chars),
        confidence=math.prod(word.confidence for word in words),
    )  # fmt: skip
    return dataclasses.replace(look, reading=reading, evidence=tuple(evidence))


def _spread(chars: Sequence[ReadChar], word: ReadWord, spelling: Spelling) -> tuple[ReadChar, ...]:
    number = len(spelling.text)
    if number == len(chars):
        return tuple(
            dataclasses.replace(old, char=char) for old, char in zip(chars, spelling.text, strict=True)
        )  # fmt: skip
    edges = np.linspace(word.x0, word.x1, number + 1)
    chance = math.exp(spelling.path / number)
    return tuple(
        ReadChar(char=char, x0=float(edges[place]), x1=float(edges[place + 1]), probability=chance)
        for place, char in enumerate(spelling.text)
    )


def card_fields(fusion: WordFusion, recogniser: Card, charset: str) -> dict[str, Any]:
    """What `load` reads of a card's `preprocess`."""
    return {
        "recogniser": {"name": recogniser.name, "sha256": recogniser.sha256},
        "charset": charset,
        **{part.kind: " ".join(part.pieces) for part in fusion.vocabularies if part.kind != "chars"},
        "sure": fusion.sure,
        "calibration": {
            name: dataclasses.asdict(part) for name, part in zip(READINGS, fusion.calibrations, strict=True)
        },
    }


def read_as(reading: Reading, texts: Sequence[str]) -> Reading:
    """A reading whose words say `texts`, to be scored."""
    words = tuple(dataclasses.replace(word, text=text) for word, text in zip(reading.words, texts, strict=True))
    return dataclasses.replace(reading, text=" ".join(texts), words=words)


def spellings_of(fusion: WordFusion, looks: Sequence[Look]) -> list[list[tuple[Spelling, ...]]]:
    """The spellings of every word of some looks, none for a word that is too long."""
    places = [(place, number) for place, look in enumerate(looks) for number, rows in enumerate(look.rows) if len(rows)]
    found: list[list[tuple[Spelling, ...]]] = [[() for _ in look.evidence] for look in looks]
    spellings = fusion.spellings([looks[place].rows[number] for place, number in places])
    for (place, number), others in zip(places, spellings, strict=True):
        found[place][number] = in_place(looks[place].reading, number, others)
    return found


def texts_of(look: Look, spellings: Sequence[tuple[Spelling, ...]], place: int) -> list[str]:
    """The words of a look as reading number `place` of `READINGS` has them; CTC's where there is no other."""
    return [
        others[place - 1].text if place and others else word.text
        for word, others in zip(look.reading.words, spellings, strict=True)
    ]
