"""`vitapps doc eval-lines`: how well lines are read, beside Tesseract on the same crops when that is asked for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.datasets.sets.text_lines import LabelledLine, read_labelled_lines
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.calibrate import words_right
from vitapps.pipelines.document.read_crops import load_reader
from vitapps.pipelines.document.recognise import Reading
from vitapps.pipelines.document.text_scores import (
    ErrorRate,
    ReliabilityBin,
    calibration_error,
    character_errors,
    folded_text,
    reliability,
    strict_text,
    word_errors,
)
from vitapps.progress import Progress, null_progress

Beside = Literal["tesseract"]
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
    """Scores of our model, then of the engine beside it, on the lines of `data`, and our mistakes.

    `ignore_case` scores both texts in upper case, for ground truths that are kept so (SROIE). Raises
    UnreadableInputError for a folder without lines, MissingError for an engine that is not installed. `weights`: as
    `read_crops` takes them.
    """
    recogniser = load_reader(weights, options)
    lines = read_labelled_lines(data)
    if beside is not None:
        _require_tesseract()
    truth = [_cased(line.text, ignore_case) for line in lines]
    start = time.process_time()
    readings: list[Reading] = []
    with progress.task("reading", total=len(lines)) as task:
        for first in range(0, len(lines), _CHUNK):
            readings += recogniser.read([line.crop for line in lines[first : first + _CHUNK]])
            task.advance(min(_CHUNK, len(lines) - first))
    seconds = time.process_time() - start
    found = [_cased(reading.text, ignore_case) for reading in readings]
    pairs = [
        pair for reading, text in zip(readings, truth, strict=True) for pair in words_right(reading, text, ignore_case)
    ]
    curve = reliability([confidence for confidence, _ in pairs], [right for _, right in pairs])
    rows = [_scores("vitapps", found, truth, seconds, curve)]
    mistakes = [
        Mistake(source=line.source, truth=text, found=read)
        for line, text, read in zip(lines, truth, found, strict=True)
        if folded_text(read) != folded_text(text)
    ]
    if beside is not None:
        theirs, seconds = read_with_tesseract(lines)
        rows.append(_scores(beside, [_cased(text, ignore_case) for text in theirs], truth, seconds))
    return rows, mistakes


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
