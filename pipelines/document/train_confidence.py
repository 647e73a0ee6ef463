"""`vitapps doc train confidence`: the calibration of word confidences, from lines whose text is known.

Rendered lines alone do not tell how often a real one is misread. Fitted to are rendered lines in held-out faces and one
in three of the documents of each folder, chosen by its name; on the other documents the reliability before and after is
reported, of their lines and, for receipts, of their pages as `doc ocr` reads them. Weights do not change, and neither
does what is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.page_truth import read_truth
from vitapps.datasets.sets.text_lines import LabelledLine, read_labelled_lines
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.options import RunOptions
from vitapps.pipelines.document.calibrate import fit_calibration, words_right
from vitapps.pipelines.document.confidence import Calibration, WordEvidence
from vitapps.pipelines.document.evaluate import score_page
from vitapps.pipelines.document.read_page import PageReader, ReadSettings, read_page
from vitapps.pipelines.document.recognise import DEFAULT_WEIGHTS, TASK, Crop, Reading, Recogniser
from vitapps.pipelines.runtime.reliability import ReliabilityBin, calibration_error, reliability
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.weights.cards import Card, card_files, load_card, write_card

RENDERED = "rendered lines"
SHARE = 3  # one document in so many is fitted to
_SEED = 3 << 60  # rendered lines that neither training nor its validation drew
_CHUNK = 64  # lines read together
Marks = list[tuple[WordEvidence, bool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidenceScore:
    """Reliability on the `words` of the documents of `data` that were not fitted to, `before` and `after`; `error`:
    expected calibration error."""

    data: str
    words: int
    error_before: float
    error: float
    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]


def train_confidence(
    data: Sequence[Path], out: Path, *, weights: str | None = None, rendered: int = 400,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> tuple[Path, list[ConfidenceScore]]:  # fmt: skip
    """Calibrate the card `weights` on lines of the folders `data` (as for `eval-lines`) and on `rendered` ones,
    and write it with its files to `out`; returns its path and the scores. Texts in capitals are compared so."""
    card = load_card(weights or DEFAULT_WEIGHTS, TASK)
    reader = Recogniser.load(weights, options)
    fitted: list[Marks] = []
    held: dict[str, Marks] = {}
    for folder in data:
        lines = read_labelled_lines(folder)
        chosen = [line for line in lines if is_fitted(line.source)]
        fitted.append(marked_words(reader, chosen, progress, f"{folder.name}, fitted to"))
        held[folder.name] = marked_words(reader, [line for line in lines if not is_fitted(line.source)], progress,
                                         f"{folder.name}, held out")  # fmt: skip
    fitted.append(marked_words(reader, rendered_lines(rendered), progress, RENDERED))
    found = balanced_fit([marks for marks in fitted if marks])
    held |= {f"{folder.name}, whole receipts": marked_receipts(reader, folder, progress) for folder in data}
    scores = [score(name, marks, reader.calibration, found) for name, marks in held.items() if marks]
    return write_calibrated(card, found, scores, out), scores


def is_fitted(source: str) -> bool:
    """Whether a document is one of those that the calibration is fitted to, by its name."""
    return hashlib.sha256(source.encode()).digest()[0] % SHARE == 0


def rendered_lines(number: int) -> list[LabelledLine]:
    """Lines in faces that training never saw."""
    faces = find_faces()
    maker = LineMaker([face for face in faces if face.held_out] or list(faces), TextSource.open(None))
    samples = [maker.sample(_SEED + place) for place in range(number)]
    return [LabelledLine(crop=sample.picture, text=sample.text, source=RENDERED) for sample in samples]


def marked_words(reader: Recogniser, lines: Sequence[LabelledLine], progress: Progress, name: str) -> Marks:
    """Every word read, and whether it is right."""
    capitals = not any(char.islower() for line in lines for char in line.text)
    found: Marks = []
    with progress.task(name, total=len(lines)) as task:
        for first in range(0, len(lines), _CHUNK):
            part = lines[first : first + _CHUNK]
            for look, line in zip(reader.looks([line.crop for line in part]), part, strict=True):
                right = [mark for _, mark in words_right(look.reading, line.text, ignore_case=capitals)]
                found += zip(look.evidence, right, strict=True)
            task.advance(len(part))
    return found


class EvidenceReader:
    """Reads as its recogniser does, and remembers what each confidence rests on: words that share one share the
    evidence that is weighed, or are so alike that they may."""

    def __init__(self, reader: Recogniser) -> None:
        self._reader = reader
        self.evidence: dict[float, WordEvidence] = {}

    def read(self, crops: Sequence[Crop]) -> tuple[Reading, ...]:
        looks = self._reader.looks(crops)
        for look in looks:
            confidences = (word.confidence for word in look.reading.words)
            self.evidence |= dict(zip(confidences, look.evidence, strict=True))
        return tuple(look.reading for look in looks)


def marked_receipts(reader: Recogniser, folder: Path, progress: Progress) -> Marks:
    """Every word that is found on the receipts (NAME.csv) that were not fitted to, read as whole pages, and whether the
    receipt has it (`evaluate.score_page`)."""
    receipts = [page for page in read_truth(folder) if page.is_receipt] if any(folder.glob("*.csv")) else []
    found: Marks = []
    held = [page for page in receipts if not is_fitted(page.image.stem)]
    with progress.task(f"{folder.name}, whole receipts", total=len(held)) as task:
        for truth in held:
            watched = EvidenceReader(reader)
            page = read_page(read_picture(truth.image), PageReader(lines=watched), ReadSettings(detector="components"))
            doubts = score_page(truth, page, "vitapps", 0.0).doubts
            found += [(watched.evidence[confidence], right) for confidence, right in doubts]
            task.advance()
    return found


def balanced_fit(sources: Sequence[Marks]) -> Calibration:
    """The calibration in which every source counts alike, however many words it has."""
    words = [word for marks in sources for word, _ in marks]
    right = [mark for marks in sources for _, mark in marks]
    return fit_calibration(words, right, [1 / len(marks) for marks in sources for _ in marks])


def score(name: str, marks: Marks, before: Calibration, after: Calibration) -> ConfidenceScore:
    """Reliability of two calibrations on the same words."""
    right = [mark for _, mark in marks]
    curves = [reliability([way(word) for word, _ in marks], right) for way in (before, after)]
    return ConfidenceScore(
        data=name, words=len(marks), error_before=calibration_error(curves[0]), error=calibration_error(curves[1]),
        before=curves[0], after=curves[1],
    )  # fmt: skip


def write_calibrated(card: Card, found: Calibration, scores: Sequence[ConfidenceScore], out: Path) -> Path:
    """The card with another calibration, and a copy of its files, in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name in card_files(card):
        if (card.folder / name).resolve() != (out / name).resolve():
            shutil.copyfile(card.folder / name, out / name)
    changed = dataclasses.replace(
        card,
        preprocess={**card.preprocess, "calibration": dataclasses.asdict(found)},
        scores=[
            *(row for row in card.scores if not str(row["metric"]).startswith("calibration error")),
            *({"metric": "calibration error of word confidences (letters and figures right)",
               "value": round(item.error, 3),
               "data": f"{item.data}: documents that were not fitted to (before: {item.error_before:.3f})",
               "n": item.words, "command": "vitapps doc train confidence --data UW3 --data SROIE --out DIR"}
              for item in scores),
        ],
    )  # fmt: skip
    path = out / f"{card.name}.toml"
    write_card(changed, path)
    return path
