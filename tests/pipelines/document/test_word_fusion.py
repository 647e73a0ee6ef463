"""Doubtful words read again: rows of words, the surest reading, what stays as it was, the training command."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.render import Run, draw_line
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.confidence import Calibration, WordEvidence
from vitapps.pipelines.document.ctc_decode import best_path, word_spans
from vitapps.pipelines.document.recognise import Look, ReadChar, Reading, ReadWord, Recogniser
from vitapps.pipelines.document.word_fusion import READINGS, Spelling, WordFusion, in_place, spellings_of, texts_of
from vitapps.pipelines.document.word_pieces import Vocabulary
from vitapps.pipelines.document.word_tokens import ordinals_of, padded, word_range, word_rows

CPU = RunOptions(threads=1, engine="openvino", precision="exact")
EVIDENCE = WordEvidence(path=math.log(0.6), least=-0.2, blanks=0.0, line=-0.1, letters=3, height=40)
VOCABULARIES = (
    Vocabulary(kind="chars", pieces=tuple("abc")), Vocabulary(kind="bpe", pieces=("a", "b", "c", "ab")),
    Vocabulary(kind="wordpiece", pieces=("▁ca", "b")),
)  # fmt: skip


def nothing(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    raise AssertionError("no word was doubtful")


def said(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """`cab` of characters, `cab` of BPE, `cab` of WordPiece, each at 0.9."""
    parts = []
    for classes, size in (((3, 1, 2, 0), 4), ((3, 4, 0), 5), ((1, 2, 0), 3)):
        log_probs = np.full((len(rows), len(classes), size), -9.0, np.float32)
        log_probs[:, np.arange(len(classes)), classes] = -0.01
        parts.append(log_probs)
    return *parts, np.full((len(rows), 3), 0.9, np.float32)


def look(*words: str, path: float = EVIDENCE.path) -> Look:
    """A line of some words, 10 pixels a character."""
    places = [
        ReadChar(char=char, x0=10.0 * place, x1=10.0 * place + 10, probability=0.9)
        for place, char in enumerate(" ".join(words))
    ]
    starts = [0, *itertools.accumulate(len(word) + 1 for word in words)]
    read = tuple(
        ReadWord(text=word, x0=10.0 * start, x1=10.0 * (start + len(word)), confidence=0.5)
        for word, start in zip(words, starts, strict=False)
    )
    return Look(
        reading=Reading(text=" ".join(words), chars=tuple(places), words=read, confidence=0.5 ** len(words)),
        evidence=(dataclasses.replace(EVIDENCE, path=path),) * len(words),
        rows=tuple(np.ones((4, 5), np.float32) for _ in words),
    )


def test_a_word_ends_at_the_blanks_beside_it() -> None:
    classes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 4, 0, 0]  # "ab", a blank at 13, "c"
    log_probs = np.full((17, 5), math.log(0.02), np.float32)
    log_probs[np.arange(17), classes] = math.log(0.92)
    peaks = best_path(log_probs, " abc")
    spans = word_spans(peaks)
    assert [word_range(peaks, *span, 17) for span in spans] == [(3, 13), (14, 17)]
    tokens = np.arange(34, dtype=np.float32).reshape(17, 2)
    one, other = word_rows(log_probs, tokens, peaks, spans, 1)
    assert one.shape == (11, 4) and other.shape == (4, 4)
    assert np.array_equal(one[:-1, :2], tokens[3:13]) and not one[-1, :2].any() and (one[:, 3] == 1).all()
    assert np.abs(one[[0, 6, 8, 9, 10], 2] - [0, 1, 2, 2, 3]).max() < 0.2  # before, at a, at b, behind, the end
    assert padded([one, other]).shape == (2, 16, 4) and not padded([one, other])[1, 4:].any()


def test_ordinals_count_softly() -> None:
    """A character at even odds counts half; a lasting one counts once; blanks of either kind count nothing."""
    log_probs = np.log(np.array([[1, 0, 0], [0.5, 0, 0.5], [0.5, 0, 0.5], [0, 1, 0], [1, 0, 0]]) + 1e-12)
    assert ordinals_of(log_probs.astype(np.float32), 1).tolist() == pytest.approx([0, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("chances", "winner"),
    [((0.5, 0.5, 0.0), None), ((0.7, 0.5, 0.0), "aac"), ((0.7, 0.8, 0.0), "abb"), ((0.7, 0.8, 0.9), None),
     ((0.6, 0.6, 0.0), None), ((0.5, 0.8, 0.55), None), ((0.05, 0.09, 0.0), None)],
)  # fmt: skip
def test_the_surest_reading_wins_and_ctc_where_it_is_as_sure(
    chances: tuple[float, ...], winner: str | None
) -> None:  # fmt: skip
    """CTC reads `abc` at 0.6; characters `aac`, BPE `abb`, WordPiece `abc` too, which makes it 0.82 with 0.55."""
    fusion = WordFusion(network=nothing, vocabularies=VOCABULARIES)
    spellings = [
        Spelling(text=text, path=math.log(chance or 1e-9))
        for text, chance in zip(("aac", "abb", "abc"), chances, strict=True)
    ]
    found, chance = fusion.surest("abc", EVIDENCE, spellings)
    assert (found.text if found else None) == winner
    ctc = 1 - (1 - 0.6) * (1 - chances[2])
    assert not max(chances[:2]) > 0.1 or chance == pytest.approx(max(ctc, *chances[:2]), abs=1e-3)


def test_a_reading_that_is_another_word_is_no_rival() -> None:
    fusion = WordFusion(network=nothing, vocabularies=VOCABULARIES)
    spellings = [Spelling(text=text, path=math.log(0.99)) for text in ("xyz", "abcdef", "a c")]
    assert fusion.surest("abc", EVIDENCE, spellings)[0] is None
    near = [Spelling(text="ayz", path=math.log(0.99)), spellings[0], Spelling(text="", path=0.0)]
    assert fusion.surest("abc", EVIDENCE, near)[0] == near[0]


def test_readings_that_agree_outvote_a_surer_one() -> None:
    fusion = WordFusion(network=nothing, vocabularies=VOCABULARIES)
    paths = (("aac", 0.7), ("abb", 0.5), ("abb", 0.55))
    found, chance = fusion.surest("abc", EVIDENCE, [Spelling(text=text, path=math.log(p)) for text, p in paths])
    assert found == Spelling(text="abb", path=math.log(0.55)) and chance == pytest.approx(1 - 0.5 * 0.45, abs=1e-3)


def test_calibration_decides_and_not_what_the_networks_say() -> None:
    doubted = dataclasses.replace(Calibration(), offset=-4.0)
    fusion = WordFusion(
        network=nothing, vocabularies=VOCABULARIES, calibrations=(Calibration(), doubted, doubted, Calibration())
    )
    spellings = [Spelling(text=text, path=math.log(0.95)) for text in ("aac", "abb", "")]
    assert fusion.surest("abc", EVIDENCE, spellings)[0] is None  # an empty reading never wins


def test_a_word_whose_characters_are_all_sure_is_left_alone() -> None:
    fusion = WordFusion(network=said, vocabularies=VOCABULARIES)
    assert fusion.doubts(EVIDENCE) and not fusion.doubts(dataclasses.replace(EVIDENCE, least=math.log(0.95)))
    before = look("ca", "cob")
    sure = dataclasses.replace(before.evidence[0], least=math.log(0.95))
    after = fusion([dataclasses.replace(before, evidence=(sure, before.evidence[1]))])[0]
    assert after.reading.text == "ca cab"


def test_a_doubtful_word_is_spelt_anew_in_its_place() -> None:
    fusion = WordFusion(network=said, vocabularies=VOCABULARIES)
    before = look("ca", "cob", "b")
    sure = dataclasses.replace(EVIDENCE, path=-1e-4)
    before = dataclasses.replace(before, evidence=(before.evidence[0], before.evidence[1], sure))
    after = fusion([before])[0]
    assert after.reading.text == "cab cab b" == "".join(char.char for char in after.reading.chars)
    assert [word.text for word in after.reading.words] == ["cab", "cab", "b"]
    assert [word.x0 for word in after.reading.words] == [0, 30, 70] and after.reading.words[2].confidence == 0.5
    assert [char.x0 for char in after.reading.chars] == pytest.approx([0, 20 / 3, 40 / 3, 20, 30, 40, 50, 60, 70])
    assert after.reading.words[0].confidence > 0.6 and after.evidence[0].letters == 3
    assert [texts_of(before, spellings_of(fusion, [before])[0], place) for place in range(len(READINGS))] == [
        ["ca", "cob", "b"], *[["cab"] * 3] * 3
    ]  # fmt: skip


def test_without_a_doubtful_word_nothing_changes() -> None:
    fusion = WordFusion(network=nothing, vocabularies=VOCABULARIES)
    looks = [look("ab", "c", path=-1e-4), Look()]
    found = fusion(looks)
    assert all(one is other for one, other in zip(found, looks, strict=True))
    long = dataclasses.replace(look("ab"), rows=(np.zeros((0, 5), np.float32),))
    assert fusion([long])[0] is long


class Keeps:
    """A fusion that changes nothing, and sees what the reader gives it."""

    def __init__(self) -> None:
        self.seen: list[Look] = []

    @property
    def facts(self) -> object:
        return None

    def __call__(self, looks: Sequence[Look]) -> list[Look]:
        self.seen += looks
        return list(looks)


@pytest.fixture(scope="module")
def crops() -> list[NDArray[np.uint8]]:
    face = find_faces(())[0]
    return [
        255 - draw_line([Run(word=word, face=face) for word in text.split()], size).ink[6:-6]
        for text, size in (("Some words, read 12.50", 36), ("low", 11), ("Another line of print", 30))
    ]


def test_heads_off_are_the_plain_reader_bit_for_bit(crops: list[NDArray[np.uint8]]) -> None:
    reader = Recogniser.load(None, CPU)
    keeps = Keeps()
    with_tokens = dataclasses.replace(reader, fuse=keeps)  # type: ignore[arg-type]
    assert with_tokens.read(crops) == reader.read(crops)
    assert all(look.rows == () for look in reader.looks(crops))
    for seen in keeps.seen:
        assert len(seen.rows) == len(seen.reading.words) and all(rows.shape[1] == 194 for rows in seen.rows)
        assert [rows[-1, -2] - 1 for rows in seen.rows] == pytest.approx(
            [len(word.text) for word in seen.reading.words], abs=0.5
        )


def test_three_steps_of_training_leave_heads_that_read(
    crops: list[NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from vitapps.pipelines.document import learn_pieces, train_words
    from vitapps.shared_backbones.weights.cards import load_card, write_card

    for name in ("DICTIONARIES", "FORTUNES"):
        monkeypatch.setattr(f"vitapps.datasets.synth.text.words.{name}", tmp_path / "none")
    monkeypatch.setattr(train_words, "find_faces", lambda: find_faces(()))
    monkeypatch.setattr("vitapps.pipelines.document.train_confidence.find_faces", lambda: find_faces(()))
    monkeypatch.setattr(learn_pieces, "_LINES", 60)
    config = train_words.WordFit(steps=3, batch=2, held_out=4, pieces=60)
    path = train_words.train_words(tmp_path / "run", config=config)
    card, recogniser = load_card(path), load_card("line-latin")
    reader = Recogniser.load(str(path), CPU)
    assert [facts.name for facts in reader.networks] == ["line-latin", card.name]
    assert isinstance(reader.fuse, WordFusion)
    assert [part.kind for part in reader.fuse.vocabularies] == ["chars", "bpe", "wordpiece"]
    every = dataclasses.replace(reader, fuse=dataclasses.replace(reader.fuse, sure=0.0))
    assert len(every.read(crops)) == len(crops)
    made_for = {"name": recogniser.name, "sha256": "0" * 64}
    write_card(dataclasses.replace(card, preprocess={**card.preprocess, "recogniser": made_for}), path)
    with pytest.raises(MissingError, match="made for other weights"):
        Recogniser.load(str(path), CPU)


def test_words_are_paired_with_the_text_where_blanks_agree() -> None:
    pytest.importorskip("torch")
    from vitapps.pipelines.document.word_batches import IGNORED, TaughtWord, paired, taught

    assert list(paired(["the", "cot", "sat"], ["the", "cat", "sat"])) == [(0, "the"), (1, "cat"), (2, "sat")]
    assert list(paired(["the", "c", "at", "sat"], ["the", "cat", "sat"])) == [(0, "the"), (3, "sat")]
    word = TaughtWord(rows=np.ones((4, 5), np.float32), text="cab")
    rows, *targets = taught([word, dataclasses.replace(word, text="dab")], VOCABULARIES, (5, 3, 3))
    assert rows.shape == (2, 16, 5)
    assert [part.tolist() for part in targets] == [
        [[3, 1, 2, 0, IGNORED], [IGNORED] * 5], [[3, 4, 0], [IGNORED] * 3], [[1, 2, 0], [IGNORED] * 3],
    ]  # fmt: skip
    assert taught([word], VOCABULARIES, (3, 2, 2))[1].tolist() == [[IGNORED] * 3]  # no room for the end


def test_every_word_is_taught_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from vitapps.pipelines.document import word_batches

    def drawn(batch: int, network: object) -> list[word_batches.TaughtWord]:
        return [word_batches.TaughtWord(rows=np.full((4, 5), batch * 3 + place, np.float32), text="cab")
                for place in range(3)]  # fmt: skip

    monkeypatch.setattr(word_batches, "taught_words", drawn)
    made = word_batches.word_batches(iter([0, 1]), lambda rows: (rows,), VOCABULARIES, (5, 3, 3), group=2, seed=0)  # type: ignore[arg-type]
    seen = [sorted({int(value) for value in rows[:, 0, 0]}) for rows, *_ in made]
    assert len(seen) == 2 * word_batches.PASSES
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == list(range(6))
    assert sorted(seen[:2]) != sorted(seen[2:])  # dealt out anew: seed 0 deals otherwise in the second pass


def test_another_spelling_keeps_the_comma_that_the_next_word_gives() -> None:
    spellings = [Spelling(text=text, path=-0.1) for text in ("flow.", "flaw.", "flow;")]
    before_small = in_place(look("flow,", "and").reading, 0, spellings)
    assert [item.text for item in before_small] == ["flow,", "flaw,", "flow;"]
    for words in (("flow,", "And"), ("flow", "and"), ("flow,",)):
        assert in_place(look(*words).reading, 0, spellings) == tuple(spellings)
