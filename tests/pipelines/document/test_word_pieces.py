"""Vocabularies of words: what is written is spelt again, and pairs are joined in the order of the papers."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.pipelines.document.learn_pieces import learn_bpe, learn_wordpiece
from vitapps.pipelines.document.word_pieces import END, START_MARK, Granularity, Vocabulary

WORDS = Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3, "a##b": 2, "##": 2, "12.50": 4, "Łódź,": 2})


def vocabularies() -> dict[Granularity, Vocabulary]:
    return {
        "chars": Vocabulary(kind="chars", pieces=tuple(CHARSET)), "bpe": learn_bpe(WORDS, 60, least=2),
        "wordpiece": learn_wordpiece(WORDS, 80, least=2),
    }  # fmt: skip


def test_bpe_joins_the_most_frequent_pair_first() -> None:
    """The example of Sennrich et al. 2016, section 3.2: e s, es t come first."""
    letters = sorted({char for word in WORDS for char in word})
    learned = learn_bpe(WORDS, 60, least=2).pieces
    assert list(learned[: len(letters)]) == letters
    assert learned[len(letters) : len(letters) + 2] == ("es", "est")
    assert learn_bpe(WORDS, 60, least=2) == learn_bpe(WORDS, 60, least=2)


def test_wordpiece_prefers_pairs_that_hardly_stand_apart() -> None:
    """`xq`, always together, comes before more frequent pairs whose letters stand with any others."""
    words = Counter({"xq": 6, **{one + other: 10 for one in "acd" for other in "bef"}})
    first = next(piece for piece in learn_wordpiece(words, 20, least=1).pieces if len(piece.strip(START_MARK)) > 1)
    joined = next(piece for piece in learn_bpe(words, 20, least=1).pieces if len(piece) > 1)
    assert (joined, first) == ("ab", f"{START_MARK}xq")


@pytest.mark.parametrize("kind", ["chars", "bpe", "wordpiece"])
def test_what_is_encoded_is_spelt_again(kind: Granularity) -> None:
    vocabulary = vocabularies()[kind]
    rng = random.Random(0)
    letters = sorted({char for word in WORDS for char in word})
    made_up = ["".join(rng.choices(letters, k=rng.randint(1, 12))) for _ in range(300)]
    encoded = [(word, vocabulary.encode(word)) for word in [*WORDS, *made_up]]
    known = [(word, classes) for word, classes in encoded if classes is not None]
    assert len(known) > len(WORDS) + 20 and (kind == "wordpiece" or len(known) == len(encoded))
    for word, classes in known:
        assert END not in classes and max(classes) < vocabulary.classes
        assert vocabulary.spell([*classes, END, 1]) == word == vocabulary.spell(classes)
    assert all(vocabulary.encode(word) is not None for word in WORDS)
    if kind != "chars":
        assert vocabulary.encode("Ω") is None
        assert sum(len(classes) for _, classes in known) < sum(len(word) for word, _ in known)


def test_a_card_holds_the_vocabularies() -> None:
    made = vocabularies()
    stored = {"charset": CHARSET, "bpe": " ".join(made["bpe"].pieces), "wordpiece": " ".join(made["wordpiece"].pieces)}
    assert {kind: Vocabulary.of(kind, stored) for kind in made} == made
