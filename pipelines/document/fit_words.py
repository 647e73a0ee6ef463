"""Calibration of the word heads: how often CTC and each granularity are right on words that one of them contests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vitapps.datasets.sets.text_lines import LabelledLine
from vitapps.pipelines.document.calibrate import found_in
from vitapps.pipelines.document.recognise import Recogniser
from vitapps.pipelines.document.text_scores import folded_text
from vitapps.pipelines.document.train_confidence import Marks, balanced_fit
from vitapps.pipelines.document.word_fusion import READINGS, WordFusion, contested, evidence_of, spellings_of, texts_of
from vitapps.progress import Progress, null_progress

_CHUNK = 64  # lines read together


def fit_fusion(
    reader: Recogniser, fusion: WordFusion, sets: Sequence[Sequence[LabelledLine]], progress: Progress = null_progress
) -> WordFusion:
    """`fusion` with the calibrations that fit all `sets` of lines best, each counting alike."""
    found: list[list[Marks]] = [[] for _ in READINGS]
    for lines in sets:
        for place, marks in enumerate(_marks_of(dataclasses.replace(reader, fuse=fusion), fusion, lines, progress)):
            found[place].append(marks)
    calibrations = tuple(balanced_fit([marks for marks in part if marks]) for part in found)
    return dataclasses.replace(fusion, calibrations=calibrations)


def _marks_of(
    reader: Recogniser, fusion: WordFusion, lines: Sequence[LabelledLine], progress: Progress
) -> tuple[Marks, ...]:
    """Evidence of every contested word in each reading, and whether that is right."""
    capitals = not any(char.islower() for line in lines for char in line.text)
    found: tuple[Marks, ...] = tuple([] for _ in READINGS)
    with progress.task("calibrating", total=len(lines)) as task:
        for first in range(0, len(lines), _CHUNK):
            part = lines[first : first + _CHUNK]
            looks = reader.looks([line.crop for line in part])
            for look, spellings, line in zip(looks, spellings_of(fusion, looks), part, strict=True):
                for place, marks in enumerate(found):
                    right = exactly_right(texts_of(look, spellings, place), line.text, ignore_case=capitals)
                    marks += [
                        (evidence_of(seen, others, place), good)
                        for word, seen, others, good in zip(
                            look.reading.words, look.evidence, spellings, right, strict=True
                        )
                        if fusion.doubts(seen) and contested(word.text, others)
                    ]
            task.advance(len(part))
    return found


def exactly_right(texts: Sequence[str], truth: str, ignore_case: bool) -> list[bool]:
    """Whether each of the words read stands in the truth at its place, marks included (folded)."""
    words = [[folded_text(text.upper() if ignore_case else text)] for text in texts]
    return found_in(words, folded_text(truth).split())
