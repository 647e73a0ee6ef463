"""Rendered lines: reproducible, labelled truly, word boxes on the ink, defects that change with strength."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vitapps.datasets.synth.text.charset import CHARSET, fold_to_charset, variants
from vitapps.datasets.synth.text.degrade import STYLES, degrade
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import Difficulty, LineMaker, fit_to_face
from vitapps.datasets.synth.text.render import Run, Setting, draw_line, size_for
from vitapps.datasets.synth.text.words import TextSource
from vitapps.errors import UnreadableInputError

FACES = find_faces(())  # Pillow's own: the same on every machine
SOURCE = TextSource(common=("the", "total", "measured"), rare=("Größe", "naïve"), prose=("one", "small", "step,"))


def test_the_charset_has_every_character_once_and_a_blank_first() -> None:
    assert len(set(CHARSET)) == len(CHARSET) and CHARSET[0] == " "
    assert set("ȘșȚțŁőß€–“”½²") <= set(CHARSET)
    assert fold_to_charset("Ĳssel ŀl ŉ") == "IJssel l·l ’n"  # letters that look like two are written as two
    assert fold_to_charset(" a\t\u0301e\u0301 Ж \n z") == "a é z"  # an accent alone and Cyrillic are not of it


def test_a_seed_gives_one_picture_and_another_seed_another() -> None:
    first, again = LineMaker(FACES, SOURCE).sample(5), LineMaker(FACES, SOURCE).sample(5)
    assert first.text == again.text and np.array_equal(first.picture, again.picture)
    others = [LineMaker(FACES, SOURCE).sample(seed) for seed in range(6, 9)]
    assert len({first.text, *(item.text for item in others)}) > 1


def test_the_charset_has_all_of_latin_1_and_latin_extended_a() -> None:
    lone = set("\u00a0\u00ad¨¯´¸")  # accents without a letter, and what has no shape
    latin_1 = {chr(code) for code in range(0xA0, 0x100)} - lone
    extended = {chr(code) for code in range(0x100, 0x180)} - set("ĲĳĿŀŉ")
    assert latin_1 | extended <= set(CHARSET)


def test_made_up_words_carry_every_mark_of_their_letters() -> None:
    assert set("àáâãäåāăą") <= set(variants("a")) and "đ" in variants("d") and "Ł" in variants("L")
    assert variants("q") == "" and all("e" not in variants(letter) for letter in "aei")


def test_texts_keep_to_length_charset_and_face() -> None:
    rng = random.Random(0)
    texts = [SOURCE.text(rng, 30)[0] for _ in range(300)]
    assert all(set(text) <= set(CHARSET) and "  " not in text and text == text.strip() for text in texts)
    assert np.mean([len(text) for text in texts]) < 40
    fitted = fit_to_face("a – ș Țb", FACES[0])
    assert fitted == "a b"


def test_word_boxes_hold_the_ink_of_their_words() -> None:
    runs = [Run(word=word, face=FACES[0]) for word in ("Mill", "HEH", "x")]
    for setting in (Setting(), Setting(gap=2.0, tracking=0.1, stretch=0.7)):
        line = draw_line(runs, 40, setting)
        ink = np.flatnonzero(line.ink.max(axis=0) > 128)
        inside = [any(x0 - 1.5 <= column <= x1 + 1.5 for x0, x1 in line.words) for column in ink]
        assert all(inside) and all((line.ink[:, int(x0) : int(x1)] > 128).any() for x0, x1 in line.words)
    assert not (line.ink[line.baseline + 1 :] > 128).any()  # none of these letters has a descender


def test_size_for_reaches_the_height() -> None:
    line = draw_line([Run(word="dp", face=FACES[0])], size_for(FACES[0], 60))
    rows = np.flatnonzero(line.ink.max(axis=1) > 128)
    assert rows[-1] - rows[0] + 1 == pytest.approx(60, abs=3)


@pytest.mark.parametrize("style", STYLES)
def test_strength_zero_is_black_on_white_and_one_is_not(style: str) -> None:
    ink = draw_line([Run(word="quick", face=FACES[0])], 40).ink
    clean = degrade(ink, style, np.random.default_rng(0), 0.0)  # type: ignore[arg-type]
    assert np.abs(255 - clean.astype(int) - ink).max() <= 1
    worn = [degrade(ink, style, np.random.default_rng(seed), 1.0) for seed in range(8)]  # type: ignore[arg-type]
    assert all(item.shape == ink.shape and item.dtype == np.uint8 for item in worn)
    assert np.mean([np.abs(item.astype(float) - clean).mean() for item in worn]) > 2


def test_samples_of_one_line_share_the_text_but_not_the_picture() -> None:
    samples = LineMaker(FACES, SOURCE, Difficulty(lengths=(5, 12))).samples(3, 3)
    assert len({item.text for item in samples}) == 1
    assert len({item.picture.tobytes() for item in samples}) == 3


def test_a_word_list_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "words.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(UnreadableInputError, match=r"words\.gz"):
        TextSource.open(broken)


def test_files_that_are_no_fonts_are_left_out(tmp_path: Path) -> None:
    for name in ("a.ttf", "b.otf", "c.ttc"):
        (tmp_path / name).write_bytes(b"\0\1\0\0broken")
    assert find_faces((str(tmp_path),)) == FACES
