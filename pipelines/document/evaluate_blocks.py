"""Blocks of journal pages beside drawn ones (PubLayNet, Zhong et al. 2019, arXiv:1908.07836), by rules and network.

Three measures, each an F at IoU 0.5, one found block to one drawn one (`windows/boxes.match`):
- all found blocks, whatever their kind;
- those that are no running lines, which PubLayNet does not draw;
- of these, only pairs of one kind: text (captions too), title, list, table, figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.coco import read_coco_boxes
from vitapps.datasets.formats.page_text import Block, Box, Page
from vitapps.datasets.formats.picture import read_picture
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.lay_out import layout_page
from vitapps.pipelines.document.layout_network import LayoutNetwork
from vitapps.pipelines.windows.boxes import match
from vitapps.progress import Progress, null_progress

IOU = 0.5
RUNNING = ("header", "footer")
Drawn = Sequence[tuple[Box, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutScore:
    """`right` of `total` of a `measure` over some `pages`; `precision` and `recall` where they differ from it."""

    measure: str
    pages: int
    right: int
    total: int
    score: float
    precision: float | None = None
    recall: float | None = None
    seconds: float = 0.0  # of the processor a page


def block_scores(
    folder: Path, detector: LineDetector | None, layout: LayoutNetwork, *, progress: Progress = null_progress
) -> list[LayoutScore]:  # fmt: skip
    """F of the blocks of PubLayNet pages, three measures by the rules and the same by the network."""
    drawn = read_coco_boxes(folder / "coco.json")
    ways: dict[str, LayoutNetwork | None] = {"rules": None, "network": layout}
    pages: dict[str, list[Page]] = {way: [] for way in ways}
    spent = dict.fromkeys(ways, 0.0)
    with progress.task("journal pages", total=len(drawn)) as task:
        for name in sorted(drawn):
            picture = read_picture(folder / name)
            for way, network in ways.items():
                start = time.process_time()
                pages[way].append(layout_page(picture, detector=detector, layout=network))
                spent[way] += time.process_time() - start
            task.advance()
    truth = [drawn[name] for name in sorted(drawn)]
    return [
        _score(f"{measure}, {way}", hits, pages[way], truth, spent[way] / max(1, len(truth)))
        for measure, hits in MEASURES.items()
        for way in ways
    ]


Hits = Callable[[Page, Drawn], tuple[int, int]]  # right, found


def _all(page: Page, drawn: Drawn) -> tuple[int, int]:
    return _hits(page.blocks, drawn), len(page.blocks)


def _standing(page: Page, drawn: Drawn) -> tuple[int, int]:
    blocks = [block for block in page.blocks if block.kind not in RUNNING]
    return _hits(blocks, drawn), len(blocks)


def _of_one_kind(page: Page, drawn: Drawn) -> tuple[int, int]:
    blocks = [block for block in page.blocks if block.kind not in RUNNING]
    kinds = {kind for _, kind in drawn}
    return sum(
        _hits(
            [block for block in blocks if ("text" if block.kind == "caption" else block.kind) == kind],
            [(box, name) for box, name in drawn if name == kind],
        )
        for kind in kinds
    ), len(blocks)


MEASURES: dict[str, Hits] = {
    "blocks at IoU 0.5, journal pages": _all,
    "without running lines": _standing,
    "without running lines, of one kind": _of_one_kind,
}


def _hits(blocks: Sequence[Block], drawn: Drawn) -> int:
    boxes = np.array([block.box for block in blocks], np.float64).reshape(-1, 4)
    return int(match(boxes, np.ones(len(boxes)), np.array([box for box, _ in drawn]).reshape(-1, 4), IOU).sum())


def _score(measure: str, hits: Hits, pages: Sequence[Page], truth: Sequence[Drawn], seconds: float) -> LayoutScore:
    counts = [hits(page, drawn) for page, drawn in zip(pages, truth, strict=True)]
    right, found = sum(count[0] for count in counts), sum(count[1] for count in counts)
    total = sum(map(len, truth))
    return LayoutScore(
        measure=measure, pages=len(pages), right=right, total=total, score=2 * right / max(1, found + total),
        precision=right / max(1, found), recall=right / max(1, total), seconds=seconds,
    )  # fmt: skip
