"""Packed lines beside lines one by one and lines padded to the widest of a call: CPU milliseconds a line.

python benchmarks/line_packing.py --data FOLDER [--limit 512]

FOLDER is laid out as for `vitapps doc eval-lines`. All ways go through the same network on one thread, in calls of 64
lines as pages are read; only the network is timed. `columns` counts what it computes, by those that hold a line.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.text_lines import read_labelled_lines
from vitapps.options import RunOptions
from vitapps.pipelines.document.line_input import Line, prepare_line
from vitapps.pipelines.document.line_strips import BUCKET, Gap, laid_out, plan_strips
from vitapps.pipelines.document.recognise import Recogniser, tiles_of

TOGETHER = 64  # lines of a page that are read together
COLUMNS = 12_800  # of a padded call of lines sorted by width
Pictures = Iterator[NDArray[np.float32]]


def one_by_one(lines: Sequence[Line], gap: Gap) -> Pictures:
    """Each line in a call of its own."""
    for line in lines:
        yield _stacked([line], gap)


def padded(lines: Sequence[Line], gap: Gap) -> Pictures:
    """All lines in one call, as wide as the widest."""
    yield _stacked(lines, gap)


def sorted_and_padded(lines: Sequence[Line], gap: Gap) -> Pictures:
    """Calls of lines of like width, each as wide as its widest."""
    group: list[Line] = []
    for line in sorted(lines, key=lambda item: item.shape[1]):
        if group and (len(group) + 1) * line.shape[1] > COLUMNS:
            yield _stacked(group, gap)
            group = []
        group.append(line)
    yield _stacked(group, gap)


def packed(lines: Sequence[Line], gap: Gap) -> Pictures:
    """Strips of lines end to end."""
    for strip in plan_strips([line.shape[1] for line in lines], gap):
        yield laid_out(strip, lines, gap)


def _stacked(lines: Sequence[Line], gap: Gap) -> NDArray[np.float32]:
    width = -(-max(line.shape[1] for line in lines) // BUCKET) * BUCKET
    out = np.full((len(lines), 1, len(lines[0]), width), gap.value, np.float32)
    for row, line in zip(out, lines, strict=True):
        row[0, :, : line.shape[1]] = line
    return out


WAYS: dict[str, Callable[[Sequence[Line], Gap], Pictures]] = {
    "packed": packed, "one by one": one_by_one, "sorted, padded": sorted_and_padded, "padded": padded,
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    """Print a table on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--weights")
    parser.add_argument("--precision", default="exact", choices=("exact", "int8"))
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(words)
    options = RunOptions(threads=1, engine="openvino", precision=chosen.precision)
    reader = Recogniser.load(chosen.weights, options)
    crops = [line.crop for line in read_labelled_lines(chosen.data)[: chosen.limit]]
    lines = [tile for crop in crops for tile in tiles_of(prepare_line(crop, reader.height, reader.stretch))]
    groups = [lines[first : first + TOGETHER] for first in range(0, len(lines), TOGETHER)]
    real = sum(line.shape[1] for line in lines)
    sys.stdout.write(f"{len(lines)} lines, {chosen.precision}\n")
    sys.stdout.write(f"{'way':<15} {'calls':>6} {'columns':>8} {'ms a line':>10} {'of packed':>10}\n")
    first = 0.0
    for name, way in WAYS.items():
        calls = [picture for group in groups for picture in way(group, reader.gap)]
        best = min(_seconds(reader, calls) for _ in range(chosen.rounds))
        first = first or best
        columns = sum(len(picture) * picture.shape[3] for picture in calls) / real
        row = f"{name:<15} {len(calls):>6} {columns:>8.2f} {1e3 * best / len(lines):>10.2f} {best / first:>10.2f}\n"
        sys.stdout.write(row)


def _seconds(reader: Recogniser, calls: Sequence[NDArray[np.float32]]) -> float:
    """CPU seconds of the network; wall time would measure what else the machine does."""
    start = time.process_time()
    for picture in calls:
        reader.network(picture)
    return time.process_time() - start


if __name__ == "__main__":
    main()
