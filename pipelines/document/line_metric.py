"""Character accuracy of a line reader on rendered lines: a metric that needs no data set (`models quantize`). The lines
come from the generator that it was trained by, so it tells networks apart, not how good one is."""

from __future__ import annotations

from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import Difficulty, LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.options import RunOptions
from vitapps.pipelines.document.recognise import Recogniser
from vitapps.pipelines.document.text_scores import character_errors
from vitapps.pipelines.runtime.own_metric import Judge, Metric

LINES = 60
_FIRST = 5_000_000  # seeds far from those of training
_OTHER = 6_000_000  # of the lines that calibrate


def line_judge(weights: str, *, lines: int = LINES) -> Judge:
    """For a card of task doc.read."""
    return Judge(
        weights=weights, score=lambda options: line_accuracy(weights, options, lines=lines),
        calibrate=lambda options: line_accuracy(weights, options, lines=lines, first=_OTHER),
    )  # fmt: skip


def line_accuracy(weights: str, options: RunOptions, *, lines: int = LINES, first: int = _FIRST) -> Metric:
    """One minus the character error rate, at least 0, over `lines` rendered lines of the seeds from `first` on."""
    maker = LineMaker(find_faces(), TextSource.open(None), Difficulty())
    samples = [maker.sample(seed) for seed in range(first, first + lines)]
    found = Recogniser.load(weights, options).read([sample.picture for sample in samples])
    rate = character_errors([reading.text for reading in found], [sample.text for sample in samples])
    return Metric(name=f"1 - CER of {lines} rendered lines", value=max(0.0, 1 - rate.rate / 100))
