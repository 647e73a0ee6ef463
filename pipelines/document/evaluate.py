"""`vitapps doc eval`: how well pages are read, by ours and by tesseract in the same run, on pages whose text is known.

Pages are scored in reading order (CER, WER) and without regard to it (order-free CER, words as a multiset); receipts,
whose order means nothing, only without, in capitals, as SROIE does. `text_scores` defines the normalisations. With
`photograph` each page is first laid on a dark desk and seen askew (`datasets/synth/page_photo`, a seed for each page).
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.page_text import Box, Page, Word
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.page_truth import TruthPage, read_truth
from vitapps.datasets.synth.page_photo import box_through, photographed
from vitapps.options import RunOptions
from vitapps.pipelines.document.read_page import PageReader, ReadSettings, read_page
from vitapps.pipelines.document.tesseract import Tesseract
from vitapps.pipelines.document.text_scores import (
    BagScore,
    ErrorRate,
    bag_of_words,
    bare_words,
    edit_distance,
    error_rate,
    folded_text,
    free_distance,
    strict_text,
)  # fmt: skip
from vitapps.pipelines.runtime.reliability import ReliabilityBin, calibration_error, reliability
from vitapps.progress import Progress, null_progress

Engine = Callable[[Path], tuple[Page, float]]  # the page read, CPU seconds
_COVERED = 0.6  # share of a true box inside what was found from which it counts as found
_RECEIPT_WORD = re.compile(r"[A-Z0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class PageScore:
    """One page by one engine. Edits and lengths in characters (`words_*`: in words) of folded text; `covered` true
    boxes of a receipt of `boxes`; `cpu_s` CPU seconds; `doubts`: confidence of each word and whether its letters and
    figures are right (`bare_words`); `wrong`: the words found that the page has not, in pixels of `image`."""

    name: str
    engine: str
    receipt: bool
    edits: int
    strict_edits: int
    length: int
    strict_length: int
    free_edits: int
    free_length: int
    word_edits: int
    word_length: int
    bag: BagScore
    covered: int
    boxes: int
    cpu_s: float
    found: str
    truth: str
    doubts: tuple[tuple[float, bool], ...]
    image: Path
    wrong: tuple[Word, ...]

    @property
    def errors(self) -> float:
        """Share of the characters that are wrong: in order of a page, without regard to it of a receipt."""
        return self.free_edits / max(self.free_length, 1) if self.receipt else self.edits / max(self.length, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineScore:
    """All pages by one engine: rates in percent with 95 % intervals over pages; `cover` in percent, None without
    boxes; `cer`, `strict`, `wer` None where all are receipts; `cpu_s` mean CPU seconds a page."""

    engine: str
    pages: int
    cer: ErrorRate | None
    strict: ErrorRate | None
    wer: ErrorRate | None
    free: ErrorRate
    bag: BagScore
    cover: float | None
    cpu_s: float
    curve: tuple[ReliabilityBin, ...]
    calibration_error: float


def evaluate(
    data: Path,
    *,
    weights: str | None = None,
    beside: bool = False,
    limit: int | None = None,
    photograph: bool = False,
    settings: ReadSettings | None = None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> tuple[list[PageScore], list[EngineScore]]:
    """Scores of each page by each engine, and of each engine. `beside`: tesseract too; `limit`: only so many pages;
    `photograph`: see the module; `settings`: how ours reads. Raises UnreadableInputError for a folder
    without pages, MissingError without tesseract or weights."""
    pages = read_truth(data)[:limit]
    engines: dict[str, Engine] = {}
    if beside:
        engines["tesseract"] = Tesseract.find().read
    ours = _ours(PageReader.load(weights, options or RunOptions()), settings or ReadSettings())
    engines = {"vitapps": ours, **engines}
    scores: list[PageScore] = []
    with progress.task("reading pages", total=len(pages) * len(engines)) as task:
        for truth in pages:
            with _shown(truth, photograph) as seen:
                for name, engine in engines.items():
                    page, seconds = engine(seen.image)
                    scores.append(replace(score_page(seen, page, name, seconds), image=truth.image))
                    task.advance()
    return scores, [total(name, [score for score in scores if score.engine == name]) for name in engines]


@contextlib.contextmanager
def _shown(truth: TruthPage, photograph: bool) -> Iterator[TruthPage]:
    """The page itself, or as a camera sees it, in a file that goes away, its boxes where they are seen."""
    if not photograph:
        yield truth
        return
    from PIL import Image

    picture = read_picture(truth.image)
    seed = zlib.crc32(truth.image.name.encode())
    pixels, matrix = photographed(picture.pixels, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="vitapps-") as folder:
        path = Path(folder) / f"{truth.image.stem}.png"
        Image.fromarray(pixels).save(path, compress_level=1)
        yield replace(truth, image=path, boxes=tuple(box_through(box, matrix) for box in truth.boxes))


def score_page(truth: TruthPage, page: Page, engine: str, cpu_s: float) -> PageScore:
    """Compare one page with its truth."""
    fold = _receipt_text if truth.is_receipt else folded_text
    lines = [line for line in (fold(line) for line in truth.lines) if line]
    found, whole = fold(page.text), fold(truth.text)
    strict, strict_whole = strict_text(page.text), strict_text(truth.text)
    mine, theirs = _words(found, truth.is_receipt), _words(whole, truth.is_receipt)
    ordered = not truth.is_receipt
    verdicts = _verdicts(page, theirs, lambda text: _words(fold(text), truth.is_receipt))
    bare = _verdicts(page, bare_words(whole), lambda text: bare_words(fold(text)))
    return PageScore(
        name=truth.image.name, engine=engine, receipt=truth.is_receipt,
        edits=edit_distance(found, whole) if ordered else 0, length=len(whole) if ordered else 0,
        strict_edits=edit_distance(strict, strict_whole) if ordered else 0,
        strict_length=len(strict_whole) if ordered else 0,
        free_edits=sum(free_distance(line, found) for line in lines), free_length=sum(len(line) for line in lines),
        word_edits=edit_distance(mine, theirs) if ordered else 0, word_length=len(theirs) if ordered else 0,
        bag=bag_of_words(mine, theirs), covered=sum(_is_covered(box, page) for box in truth.boxes),
        boxes=len(truth.boxes), cpu_s=cpu_s, found=page.text, truth=truth.text,
        doubts=tuple((word.confidence, right) for word, right in bare), image=truth.image,
        wrong=tuple(word for word, right in verdicts if not right),
    )  # fmt: skip


def total(engine: str, scores: Sequence[PageScore]) -> EngineScore:
    """All pages of one engine together."""
    ordered = [score for score in scores if not score.receipt]
    boxes = sum(score.boxes for score in scores)
    doubts = [doubt for score in scores for doubt in score.doubts]
    curve = reliability([value for value, _ in doubts], [right for _, right in doubts]) if doubts else ()
    return EngineScore(
        engine=engine, pages=len(scores),
        cer=_rate([(score.edits, score.length) for score in ordered]),
        strict=_rate([(score.strict_edits, score.strict_length) for score in ordered]),
        wer=_rate([(score.word_edits, score.word_length) for score in ordered]),
        free=error_rate([score.free_edits for score in scores], [score.free_length for score in scores]),
        bag=BagScore(
            right=sum(score.bag.right for score in scores), found=sum(score.bag.found for score in scores),
            truth=sum(score.bag.truth for score in scores),
        ),
        cover=100 * sum(score.covered for score in scores) / boxes if boxes else None,
        cpu_s=sum(score.cpu_s for score in scores) / max(len(scores), 1),
        curve=curve, calibration_error=calibration_error(curve),
    )  # fmt: skip


def _ours(reader: PageReader, settings: ReadSettings) -> Engine:
    def read(image: Path) -> tuple[Page, float]:
        start = time.process_time()
        page = read_page(read_picture(image), reader, settings)
        return page, time.process_time() - start

    return read


def _rate(pairs: Sequence[tuple[int, int]]) -> ErrorRate | None:
    return error_rate([edits for edits, _ in pairs], [length for _, length in pairs]) if pairs else None


def _receipt_text(text: str) -> str:
    return folded_text(text).upper()


def _words(text: str, receipt: bool) -> list[str]:
    return _RECEIPT_WORD.findall(text) if receipt else text.split()


def _verdicts(
    page: Page, truth: Sequence[str], parts_of: Callable[[str], list[str]]
) -> list[tuple[Word, bool]]:  # fmt: skip
    """Each word found that has parts, and whether the page has these, each as often as it has it."""
    left: Counter[str] = Counter(truth)
    found: list[tuple[Word, bool]] = []
    for word in page.words:
        parts = parts_of(word.text)
        right = bool(parts) and all(left[part] > 0 for part in parts)
        if right:
            left.subtract(parts)
        if parts:
            found.append((word, right))
    return found


def _is_covered(box: Box, page: Page) -> bool:
    """Whether most of a true box lies within the boxes of the lines found; these hardly overlap one another."""
    x0, y0, x1, y1 = box
    area = max((x1 - x0) * (y1 - y0), 1e-9)
    shared = 0.0
    for line in page.lines:
        a, b, c, d = line.box
        shared += max(0.0, min(x1, c) - max(x0, a)) * max(0.0, min(y1, d) - max(y0, b))
    return shared > _COVERED * area
