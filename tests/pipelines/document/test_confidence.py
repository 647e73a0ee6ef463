"""Confidence of words: what it rests on, the fit that finds the truth again, and the command that writes a card."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vitapps.datasets.formats.page_text import Block, Line, Page, Word, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.sets.text_lines import LabelledLine
from vitapps.options import RunOptions
from vitapps.pipelines.document import train_confidence
from vitapps.pipelines.document.calibrate import fit_calibration
from vitapps.pipelines.document.confidence import Calibration, WordEvidence, logit_of
from vitapps.pipelines.document.ctc_decode import Peak
from vitapps.pipelines.document.read_page import PageReader, ReadSettings
from vitapps.pipelines.document.recognise import Crop, Look, Reading, ReadWord, Recogniser, word_evidence
from vitapps.pipelines.runtime.reliability import calibration_error, reliability
from vitapps.progress import null_progress
from vitapps.shared_backbones.weights.cards import load_card

SURE = WordEvidence(path=-0.1, least=-0.05, blanks=0.0, line=-0.02, letters=5, height=60)


def test_without_fields_of_its_own_it_is_the_chance_of_the_path() -> None:
    assert Calibration()(SURE) == pytest.approx(math.exp(-0.1))
    scaled = Calibration(slope=0.7, offset=-0.4)(SURE)
    assert scaled == pytest.approx(1 / (1 + math.exp(-(0.7 * logit_of(-0.1) - 0.4))))
    assert Calibration(height=2.0)(SURE) > Calibration(height=2.0)(replace(SURE, height=15))
    worst = WordEvidence(path=-900.0, least=-90.0, blanks=-90.0, line=-90.0, letters=1, height=1)
    assert 0 <= Calibration(least=50.0)(worst) < 1e-9 and Calibration()(worst) == pytest.approx(1e-4)


def test_a_word_counts_the_gaps_beside_it() -> None:
    chances = {"a": 0.9, " ": 0.5, "b": 0.8, "c": 0.7}
    peaks = [Peak(char=c, token=0, probability=chance, path=math.log(chance)) for c, chance in chances.items()]
    first, second = word_evidence(peaks, 0, 1, -0.3, 20), word_evidence(peaks, 2, 4, -0.3, 20)
    assert (first.blanks, second.blanks) == (pytest.approx(math.log(0.5)), pytest.approx(math.log(0.5)))
    assert second.path == pytest.approx(math.log(0.56)) and second.least == pytest.approx(math.log(0.7))
    assert (second.letters, second.height, second.line) == (2, 20, -0.3)


def test_the_fit_finds_what_made_the_data() -> None:
    rng = np.random.default_rng(0)
    true = Calibration(slope=0.7, offset=-0.4, height=1.5, letters=-0.5)
    words = [
        replace(SURE, path=float(path), letters=int(letters), height=int(height))
        for path, letters, height in zip(
            -rng.exponential(0.5, 6000), rng.integers(1, 12, 6000), rng.integers(10, 60, 6000), strict=True
        )
    ]
    right = [bool(rng.random() < true(word)) for word in words]
    found = fit_calibration(words, right)
    error = max(abs(found(word) - true(word)) for word in words[:500])
    assert error < 0.06
    curves = [reliability([way(word) for word in words], right) for way in (Calibration(), found)]
    assert calibration_error(curves[1]) < 0.02 < calibration_error(curves[0])
    assert fit_calibration(words[:2], [True, True]) == Calibration()  # nothing to learn from
    doubled = fit_calibration(words + words[:3000], right + right[:3000], [0.5] * 3000 + [1.0] * 3000 + [0.5] * 3000)
    assert doubled.weights() == pytest.approx(found.weights(), abs=0.03)


def test_the_command_writes_a_card_that_reads_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_on = Image.new("RGB", (120, 36), "white")
    ImageDraw.Draw(written_on).text((8, 4), "one word", font=ImageFont.load_default(24), fill="black")
    crop = np.asarray(written_on)
    names = [f"page{place}" for place in range(12)]
    lines = [LabelledLine(crop=crop, text="no such word", source=name) for name in names]
    monkeypatch.setattr(train_confidence, "read_labelled_lines", lambda folder: lines)
    monkeypatch.setattr(train_confidence, "rendered_lines", lambda number: lines[:number])
    options = RunOptions(threads=1, engine="openvino", precision="exact")
    card, scores = train_confidence.train_confidence([tmp_path / "set"], tmp_path / "out", rendered=2, options=options)
    assert {train_confidence.is_fitted(name) for name in names} == {True, False}
    assert scores[0].data == "set" and 0 <= scores[0].error <= 1
    again = Recogniser.load(str(card), options)
    assert again.read([crop])[0].text == Recogniser.load(None, options).read([crop])[0].text
    kept = [row["metric"] for row in load_card("line-latin").scores]
    written = load_card(str(card)).scores
    assert [row["metric"] for row in written if not row["metric"].startswith("calibration")] == [
        metric for metric in kept if not metric.startswith("calibration")
    ]


def test_receipts_are_marked_as_whole_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = ReadWord(text="Total:", x0=0, x1=9, confidence=0.625)
    look = Look(reading=Reading(text="Total:", words=(word,)), evidence=(SURE,))

    class Reader:
        def looks(self, crops: list[Crop]) -> list[Look]:
            return [look for _ in crops]

    def read_page(picture: Picture, reader: PageReader, settings: ReadSettings) -> Page:
        words = [word for reading in reader.lines.read([picture.pixels[..., 0]]) for word in reading.words]
        seen = tuple(Word(text=word.text, quad=quad_of((0, 0, 9, 9)), confidence=word.confidence) for word in words)  # type: ignore[attr-defined]
        return Page(
            width=90, height=24, blocks=(Block(kind="text", lines=(Line(words=seen, quad=quad_of((0, 0, 9, 9))),)),)
        )

    monkeypatch.setattr(train_confidence, "read_page", read_page)
    names = [f"r{place}" for place in range(6)]
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((24, 90), 255, np.uint8))
        (tmp_path / f"{name}.csv").write_text(f"0,0,9,0,9,9,0,9,{'total :' if name != 'r5' else 'other'}\n")
    marks = train_confidence.marked_receipts(cast(Recogniser, Reader()), tmp_path, null_progress)
    held = [name for name in names if not train_confidence.is_fitted(name)]
    assert 0 < len(held) < len(names)
    assert marks == [(SURE, name != "r5") for name in held]
    assert train_confidence.marked_receipts(cast(Recogniser, Reader()), tmp_path / "none", null_progress) == []
