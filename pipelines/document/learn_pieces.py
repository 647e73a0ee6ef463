"""Vocabularies of BPE and WordPiece from the words of the training text: pairs are joined, the best one first.

BPE joins the pair that is most frequent (Sennrich et al. 2016, arXiv:1508.07909, algorithm 1), WordPiece the one that
most raises the likelihood of the text (Schuster and Nakajima 2012, section 3): n(ab) log(n(ab) n / (n(a) n(b))).
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise

from vitapps.datasets.synth.text.words import TextSource
from vitapps.pipelines.document.word_pieces import START_MARK, Vocabulary

Pair = tuple[str, str]
_LINES = 60_000  # of text whose words are counted
_LENGTHS = (20, 80)  # characters a line
_SEEN = 3  # times that a character must stand to be a piece, and a word to teach pairs
Score = Callable[[Pair, int, Mapping[str, int]], float]


def count_words(source: TextSource, seed: int, lines: int = _LINES) -> Counter[str]:
    """How often each word stands in lines of the training text."""
    rng = random.Random(seed)
    return Counter(word for _ in range(lines) for word in source.text(rng, rng.randint(*_LENGTHS))[0].split())


def learn_bpe(words: Mapping[str, int], pieces: int, least: int = _SEEN) -> Vocabulary:
    """The characters seen `least` times and what is joined of them, `pieces` at most."""
    found = _joined({word: tuple(word) for word in words}, words, pieces, least, lambda pair, number, _: number)
    return Vocabulary(kind="bpe", pieces=found)


def learn_wordpiece(words: Mapping[str, int], pieces: int, least: int = _SEEN) -> Vocabulary:
    """The same with pieces that begin a word told from the others."""
    total = sum(number * len(word) for word, number in words.items())

    def gain(pair: Pair, number: int, single: Mapping[str, int]) -> float:
        return number * math.log(number * total / (single[pair[0]] * single[pair[1]]))

    split = {word: (START_MARK + word[0], *word[1:]) for word in words}
    return Vocabulary(kind="wordpiece", pieces=_joined(split, words, pieces, least, gain))


def _joined(
    split: Mapping[str, tuple[str, ...]], words: Mapping[str, int], pieces: int, least: int, score: Score
) -> tuple[str, ...]:  # fmt: skip
    """Letters and joined pairs in the order of their learning; ties go to the pair that sorts first."""
    single = Counter[str]()
    for word, parts in split.items():
        for part in parts:
            single[part] += words[word]
    found = sorted(part for part, number in single.items() if number >= least)
    known = set(found)
    texts = [
        (list(parts), words[word]) for word, parts in split.items() if words[word] >= least and known >= set(parts)
    ]
    pairs, where = Counter[Pair](), defaultdict[Pair, set[int]](set)
    for place, (whole, number) in enumerate(texts):
        _count(pairs, where, whole, number, place)
    while len(found) < pieces and pairs:
        best = max(sorted(pairs), key=lambda pair: score(pair, pairs[pair], single))
        if (joined := "".join(best)) not in known:
            found.append(joined)
            known.add(joined)
        for place in sorted(where[best]):
            old, number = texts[place]
            new = _replaced(old, best)
            fewer = (len(old) - len(new)) * number
            single.subtract(dict.fromkeys(best, fewer))
            single[joined] += fewer
            _count(pairs, where, old, -number, place)
            _count(pairs, where, new, number, place)
            texts[place] = (new, number)
    return tuple(found)


def _count(pairs: Counter[Pair], where: defaultdict[Pair, set[int]], parts: list[str], number: int, place: int) -> None:
    """Add the pairs of a word that stands `number` times, or take them away again."""
    for pair in pairwise(parts):
        pairs[pair] += number
        if number > 0:
            where[pair].add(place)
        elif not pairs[pair]:
            del pairs[pair]


def _replaced(parts: list[str], pair: Pair) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if kept and (kept[-1], part) == pair:
            kept[-1] = "".join(pair)
        else:
            kept.append(part)
    return kept
