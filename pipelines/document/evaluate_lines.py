"""`vitapps doc eval-lines`: how well lines are read, beside Tesseract on the same crops when that is asked for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from vitapps.datasets.sets.text_lines import LabelledLine, read_labelled_lines
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.calibrate import words_right
from vitapps.pipelines.document.read_crops import CropReader, load_reader
from vitapps.pipelines.document.recognise import Crop, Look, Reading, Recogniser
from vitapps.pipelines.document.text_scores import (
    ErrorRate,
    character_errors,
    folded_text,
    strict_text,
    word_errors,
)
from vitapps.pipelines.document.word_fusion import READINGS, WordFusion, read_as, spellings_of, texts_of
from vitapps.pipelines.runtime.reliability import ReliabilityBin, calibration_error, reliability
from vitapps.progress import Progress, null_progress

Beside = Literal["tesseract"]
T = TypeVar("T")
_CHUNK = 64  # lines between two moves of the progress bar


@dataclass(frozen=True, kw_only=True, slots=True)
class LineScores:
    """One engine: folded and strict CER, folded WER (percent), `exact` share of lines, CPU milliseconds a line;
    `curve`: reliability of the word confidences, with its expected error, empty for an engine that gives none."""

    engine: str
    lines: int
    folded: ErrorRate
    strict: ErrorRate
    words: ErrorRate
    exact: float
    milliseconds: float
    curve: tuple[ReliabilityBin, ...] = ()
    calibration_error: float = float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """A line that was not read right by our model, the worst first."""

    source: str
    truth: str
    found: str


def evaluate_lines(
    data: Path,
    *,
    weights: str | None = None,
    ignore_case: bool = False,
    beside: Beside | None = None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> tuple[list[LineScores], list[Mistake]]:
    """Scores of our model, then of the engine beside it, on the lines of `data`, and our mistakes. Word heads are
    followed by the readings that they fuse.

    `ignore_case` scores both texts in upper case, for ground truths that are kept so (SROIE). Raises
    UnreadableInputError for a folder without lines, MissingError for an engine that is not installed. `weights`: as
    `read_crops` takes them.
    """
    recogniser = load_reader(weights, options)
    lines = read_labelled_lines(data)
    if beside is not None:
        _require_tesseract()
    truth = [_cased(line.text, ignore_case) for line in lines]
    answers = _answers(recogniser, lines, progress)
    rows = [_ours(answer, truth, ignore_case) for answer in answers]
    mistakes = [
        Mistake(source=line.source, truth=text, found=read)
        for line, text, read in zip(lines, truth, answers[0].texts(ignore_case), strict=True)
        if folded_text(read) != folded_text(text)
    ]
    if beside is not None:
        theirs, seconds = read_with_tesseract(lines)
        rows.append(_scores(beside, [_cased(text, ignore_case) for text in theirs], truth, seconds))
    return rows, mistakes


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """Readings of all lines by one engine, in `seconds` of CPU."""

    engine: str
    readings: list[Reading]
    seconds: float

    def texts(self, ignore_case: bool) -> list[str]:
        return [_cased(reading.text, ignore_case) for reading in self.readings]


def _answers(reader: CropReader, lines: Sequence[LabelledLine], progress: Progress) -> list[_Answer]:
    """Our reading first; where it is fused, then each that it is made of."""
    if isinstance(reader, Recogniser) and isinstance(reader.fuse, WordFusion):
        looks, seconds = _timed(reader.looks, lines, progress)
        return _fused_answers(reader.fuse, looks, seconds)
    readings, seconds = _timed(reader.read, lines, progress)
    return [_Answer(engine="vitapps", readings=readings, seconds=seconds)]


def _timed(
    read: Callable[[Sequence[Crop]], Sequence[T]], lines: Sequence[LabelledLine], progress: Progress
) -> tuple[list[T], float]:  # fmt: skip
    """What `read` says of all lines, and its CPU seconds."""
    found: list[T] = []
    start = time.process_time()
    with progress.task("reading", total=len(lines)) as task:
        for first in range(0, len(lines), _CHUNK):
            found += read([line.crop for line in lines[first : first + _CHUNK]])
            task.advance(min(_CHUNK, len(lines) - first))
    return found, time.process_time() - start


def _fused_answers(fuse: WordFusion, looks: Sequence[Look], seconds: float) -> list[_Answer]:
    """The fused reading, CTC's own in `seconds`, and each granularity's of every word (their time: all together)."""
    start = time.process_time()
    fused = [look.reading for look in fuse(looks)]
    fusing, start = time.process_time() - start, time.process_time()
    spellings = spellings_of(fuse, looks)
    times = [seconds, *[seconds + time.process_time() - start] * len(fuse.vocabularies)]
    answers = [_Answer(engine="vitapps", readings=fused, seconds=seconds + fusing)]
    for place, (name, spent) in enumerate(zip(READINGS, times, strict=True)):
        readings = [
            read_as(look.reading, texts_of(look, others, place)) for look, others in zip(looks, spellings, strict=True)
        ]
        answers.append(_Answer(engine=f"  {name}", readings=readings, seconds=spent))
    return answers


def _ours(answer: _Answer, truth: Sequence[str], ignore_case: bool) -> LineScores:
    pairs = [
        pair
        for reading, text in zip(answer.readings, truth, strict=True)
        for pair in words_right(reading, text, ignore_case)
    ]
    curve = reliability([confidence for confidence, _ in pairs], [right for _, right in pairs])
    return _scores(answer.engine, answer.texts(ignore_case), truth, answer.seconds, curve)


def _scores(
    engine: str, found: Sequence[str], truth: Sequence[str], seconds: float, curve: tuple[ReliabilityBin, ...] = ()
) -> LineScores:  # fmt: skip
    folded, wanted = [folded_text(text) for text in found], [folded_text(text) for text in truth]
    return LineScores(
        engine=engine, lines=len(truth), folded=character_errors(folded, wanted),
        strict=character_errors([strict_text(text) for text in found], [strict_text(text) for text in truth]),
        words=word_errors(folded, wanted),
        exact=sum(one == other for one, other in zip(folded, wanted, strict=True)) / max(1, len(truth)),
        milliseconds=1000 * seconds / max(1, len(truth)), curve=curve,
        calibration_error=calibration_error(curve) if curve else float("nan"),
    )  # fmt: skip


def _cased(text: str, ignore_case: bool) -> str:
    return text.upper() if ignore_case else text


def _require_tesseract() -> str:
    program = shutil.which("tesseract")
    if program is None:
        raise MissingError("tesseract: not installed", hint="apt install tesseract-ocr, or leave out --beside")
    return program


def read_with_tesseract(lines: Sequence[LabelledLine]) -> tuple[list[str], float]:
    """What Tesseract reads in single-line mode (`--psm 7 -l eng`), all crops in one call; CPU seconds of it."""
    import resource

    from PIL import Image

    program = _require_tesseract()
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / f"{number:06d}.png") for number in range(len(lines))]
        for name, line in zip(names, lines, strict=True):
            Image.fromarray(line.crop).save(name, dpi=(300, 300))
        listing = Path(folder) / "list.txt"
        listing.write_text("\n".join(names) + "\n", encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [program, str(listing), "stdout", "--psm", "7", "-l", "eng"],
            capture_output=True, check=False, env={"OMP_THREAD_LIMIT": "1", "PATH": str(Path(program).parent)},
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise MissingError(f"tesseract: {done.stderr.decode(errors='replace').strip()[-200:]}", hint="see its own help")
    pages = done.stdout.decode("utf-8", errors="replace").split("\f")
    texts = [" ".join(page.split()) for page in pages[: len(lines)]]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return texts + [""] * (len(lines) - len(texts)), seconds
