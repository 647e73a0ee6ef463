"""Batches of rendered lines: the same for a seed and a step, easy lines first, lines of like widths together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.datasets.synth.text.fonts import Face
from vitapps.datasets.synth.text.line import Difficulty, LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.pipelines.document.line_input import STEP, prepare_line
from vitapps.pipelines.runtime.fit import Batch

GROUP = 8  # batches that are made together and sorted by width
TIMES = 2  # crops and degradations of one drawn line
WIDTHS = 64  # pixels
SEED_STRIDE = 1_000_003
CLASSES = {char: place + 1 for place, char in enumerate(CHARSET)}  # 0 is the blank of CTC


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """From step `first` on, lines of `difficulty`."""

    first: int
    difficulty: Difficulty


def stages(steps: int) -> tuple[Stage, ...]:
    """Short clean words until CTC finds the characters (a seventh of the run, 1,100 steps at most), then longer lines
    with ever more defects."""
    align = min(1100, steps // 7)
    return (
        Stage(first=0, difficulty=Difficulty(lengths=(3, 14), strength=0.2)),
        Stage(first=align, difficulty=Difficulty(lengths=(1, 32), strength=0.6)),
        Stage(first=2 * align, difficulty=Difficulty(lengths=(1, 56), strength=0.9)),
        Stage(first=4 * align, difficulty=Difficulty(lengths=(1, 84), strength=1.0)),
    )


class LineGroups(Dataset[list[Batch]]):
    """Item g: the `GROUP` batches of the steps from g x GROUP on."""

    def __init__(
        self, faces: Sequence[Face], source: TextSource, plan: Sequence[Stage], *, batch: int, height: int, seed: int
    ) -> None:
        self.plan, self.batch, self.height, self.seed = plan, batch, height, seed
        self._makers = [LineMaker(faces, source, stage.difficulty) for stage in plan]

    def __getitem__(self, group: int) -> list[Batch]:
        cv2.setNumThreads(1)
        step = group * GROUP
        maker = self._makers[max(place for place, stage in enumerate(self.plan) if stage.first <= step)]
        wanted, place = GROUP * self.batch, 0
        lines: list[tuple[NDArray[np.float32], str]] = []
        while len(lines) < wanted:
            seed = (self.seed * SEED_STRIDE + group) * SEED_STRIDE + place
            for sample in maker.samples(seed, TIMES):
                line = prepare_line(sample.picture, self.height)
                if tokens_needed(sample.text) <= line.shape[1] // STEP:
                    lines.append((line, sample.text))
            place += 1
        lines = sorted(lines[:wanted], key=lambda item: item[0].shape[1])
        batches = [to_batch(lines[first : first + self.batch]) for first in range(0, wanted, self.batch)]
        order = np.random.default_rng(group).permutation(GROUP)
        return [batches[number] for number in order]


def tokens_needed(text: str) -> int:
    """Tokens that CTC needs: one for each character and one between two that are alike."""
    return len(text) + sum(one == other for one, other in pairwise(text))


def to_batch(lines: Sequence[tuple[NDArray[np.float32], str]]) -> Batch:
    """Images B 1 H W, paper to the right of the shorter ones; classes B L, zeros behind; lengths B. Widths are
    multiples of `WIDTHS`: for every other shape the CPU library keeps prepared code and blocks of memory, gigabytes
    over the hundreds of widths that lines have."""
    height, width = lines[0][0].shape[0], max(line.shape[1] for line, _ in lines)
    width = -(-width // WIDTHS) * WIDTHS
    images = np.zeros((len(lines), 1, height, width), np.float32)
    targets = np.zeros((len(lines), max(len(text) for _, text in lines)), np.int64)
    for row, (line, text) in enumerate(lines):
        images[row, 0, :, : line.shape[1]] = line
        targets[row, : len(text)] = [CLASSES[char] for char in text]
    lengths = torch.tensor([len(text) for _, text in lines])
    return torch.from_numpy(images), torch.from_numpy(targets), lengths


def batches_from(groups: LineGroups, first: int, steps: int, generators: int) -> Iterator[Batch]:
    """The batches of the steps `first` to `steps`, made in `generators` processes beside this one (0: in this one)."""
    numbers = range(first // GROUP, -(-steps // GROUP))
    loader = DataLoader(
        groups, batch_size=None, sampler=numbers, num_workers=generators, prefetch_factor=6 if generators else None
    )
    place = numbers.start * GROUP
    for group in loader:
        for batch in group:
            if place >= first:
                yield batch
            place += 1
