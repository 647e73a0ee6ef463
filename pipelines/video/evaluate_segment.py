"""`vitapps video eval segment`: a DAVIS tree by its own protocol, beside optical flow + GrabCut in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.mask_series import VOID, read_index_png
from vitapps.datasets.formats.video_read import Frame, open_clip
from vitapps.datasets.sets.davis import AnnotatedSequence, read_tree
from vitapps.options import RunOptions
from vitapps.pipelines.video.davis_scores import DavisScore, average, score_object
from vitapps.pipelines.video.first_mask import First, grown_labels
from vitapps.pipelines.video.optical_flow import dense_flow, grey_of, warp_back
from vitapps.pipelines.video.propagate import MaskPropagator
from vitapps.pipelines.video.segment import limit_threads
from vitapps.pipelines.video.segment_network import load_segmenter
from vitapps.pipelines.video.starts import Prompt
from vitapps.progress import Progress, null_progress

Labels = NDArray[np.uint8]
Step = Callable[[NDArray[np.uint8]], Labels]
OURS, BASELINE = "vitapps", "flow + GrabCut"
_SURE = 11  # pixels at half size inside or outside the warped outline that GrabCut may not change


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method on one sequence, or on all; `cpu_ms` processor time a frame, reading and scoring not counted."""

    method: str
    score: DavisScore
    cpu_ms: float

    def to_json(self) -> dict[str, Any]:
        """The table's numbers by name."""
        return {"method": self.method, **self.score.row(), "cpu_ms": round(self.cpu_ms, 1)}


def evaluate(
    data: Path, names: Sequence[str] = (), *, baseline: bool = True, from_boxes: bool = False,
    weights: str | None = None, options: RunOptions | None = None, progress: Progress = null_progress,
) -> list[Row]:  # fmt: skip
    """Rows by method, the last of each the mean over sequences; `weights`: a network as a further method; `from_boxes`:
    the first masks are grown in the boxes of those drawn. Raises as `read_tree` and `load_segmenter` do."""
    sequences = read_tree(data, names)
    limit_threads(options or RunOptions())
    methods: dict[str, Callable[[NDArray[np.uint8], Labels], Step]] = {OURS: _ours}
    methods |= {BASELINE: FlowGrabCut} if baseline else {}
    if weights is not None:
        network, facts = load_segmenter(weights, options or RunOptions())
        methods[facts.name] = lambda pixels, labels: network(pixels, labels).step
    rows = []
    with progress.task("scoring", total=len(sequences) * len(methods)) as task:
        for method, begin in methods.items():
            scored = []
            for sequence in sequences:
                scored.append(score_sequence(sequence, begin, method, from_boxes=from_boxes))
                task.advance()
            mean = average("mean", [row.score for row in scored])
            rows += [
                *scored,
                Row(method=method, score=mean, cpu_ms=sum(row.cpu_ms for row in scored) / len(scored)),
            ]
    return rows


def score_sequence(
    sequence: AnnotatedSequence, begin: Callable[[NDArray[np.uint8], Labels], Step], method: str, *,
    from_boxes: bool = False,
) -> Row:  # fmt: skip
    """Every object of a sequence from its first mask on; the score is the mean over objects."""
    truth = [read_index_png(path) for path in sequence.masks]
    numbers = [int(number) for number in np.unique(truth[0]) if number not in (0, VOID)]
    first = np.where(truth[0] == VOID, 0, truth[0]).astype(np.uint8)
    with closing(open_clip(sequence.images)) as clip:
        found, seconds = _run(clip.frames(), partial(_grown, first) if from_boxes else lambda pixels: first, begin)
    scores = [
        score_object(
            sequence.name,
            [(labels == number) & (drawn != VOID) for labels, drawn in zip(found, truth, strict=True)],
            [drawn == number for drawn in truth],
        )
        for number in numbers
    ]
    return Row(method=method, score=average(sequence.name, scores), cpu_ms=1000 * seconds / len(found))


def _run(
    frames: Iterator[Frame], given: First, begin: Callable[[NDArray[np.uint8], Labels], Step]
) -> tuple[list[Labels], float]:
    """(labels of every frame, seconds of processor time)."""
    found: list[Labels] = []
    seconds = 0.0
    step: Step | None = None
    for frame in frames:
        clock = time.process_time()
        if step is None:
            found.append(given(frame.pixels))
            step = begin(frame.pixels, found[0])
        else:
            found.append(step(frame.pixels))
        seconds += time.process_time() - clock
    return found, seconds


def _grown(first: Labels, pixels: NDArray[np.uint8]) -> Labels:
    """Masks grown in the boxes of the objects of `first`, with their numbers."""
    numbers = [int(number) for number in np.unique(first) if number]
    boxes = [cv2.boundingRect((first == number).astype(np.uint8)) for number in numbers]
    grown = grown_labels(pixels, [Prompt(where=tuple(map(float, box))) for box in boxes])
    return np.array([0, *numbers], np.uint8)[grown]


def _ours(pixels: NDArray[np.uint8], labels: Labels) -> Step:
    return MaskPropagator(pixels, labels).step


class FlowGrabCut:
    """The baseline: the last mask warped by DIS flow, one iteration of GrabCut at half size around its outline."""

    def __init__(self, pixels: NDArray[np.uint8], labels: Labels) -> None:
        self._grey = grey_of(pixels)
        self._masks = {int(n): (labels == n).astype(np.float32) for n in np.unique(labels) if n}

    def __call__(self, pixels: NDArray[np.uint8]) -> Labels:
        grey = grey_of(pixels)
        flow = dense_flow(grey, self._grey)
        half = pixels.shape[1] // 2, pixels.shape[0] // 2
        small = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.zeros(grey.shape, np.uint8)
        for number, mask in self._masks.items():
            self._masks[number] = self._cut(small, warp_back(mask, flow))
            labels[self._masks[number] > 0.5] = number
        self._grey = grey
        return labels

    def _cut(self, small: NDArray[np.uint8], warped: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = small.shape[:2]
        inside = (cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA) > 0.5).astype(np.uint8)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_SURE, _SURE))
        marks = np.where(inside > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        marks[cv2.erode(inside, kernel) > 0] = cv2.GC_FGD
        marks[cv2.dilate(inside, kernel) == 0] = cv2.GC_BGD
        if inside.sum() > 20:
            models = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(small, marks, (0, 0, 0, 0), *models, 1, cv2.GC_INIT_WITH_MASK)
            inside = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
        out = cv2.resize(inside.astype(np.float32), warped.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(out, np.float32)
