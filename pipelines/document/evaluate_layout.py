"""`vitapps doc eval-layout`: cover of receipts' lines, blocks of journal pages, and quarter turns of whole pages.

Measures
- cover: share of drawn line boxes that lie to more than 60 % inside the union of the found lines' boxes.
- words: cover of the words of photographs, as of lines, and the share of found lines that stand on words.
- blocks: `evaluate_blocks.py`, by the rules and by the network for layout beside one another.
- turns: every page of `pages`, and the first six of `docbank`, is turned by 0, 90, 180 and 270 degrees and has to be
  found so, as `doc ocr` does it: by the letters, and by the recogniser where they leave it open.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitapps.datasets.formats.page_text import Box, Page
from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, Picture, read_picture
from vitapps.datasets.sets.receipts import read_receipts
from vitapps.datasets.sets.scene_words import read_scene_words
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.evaluate_blocks import LayoutScore, block_scores
from vitapps.pipelines.document.lay_out import layout_page
from vitapps.pipelines.document.layout_network import LayoutNetwork
from vitapps.pipelines.document.read_page import LineReader, PageReader, ReadSettings, grey_of, survey_page
from vitapps.progress import Progress, null_progress

INSIDE = 0.6
ON_WORDS = 0.4  # of a found line's box, from which it stands on words
TURNED = {"pages": None, "docbank": 6}  # folders, and how many of their pages are turned


def evaluate_layout(
    data: Path,
    *,
    weights: str | None = None,
    detector: str | None = None,
    layout: str | None = None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[LayoutScore]:
    """The measures for which `data` holds a folder: `sroie`, `icdar15`, `publaynet`, `pages`, `docbank`. `detector`:
    card of a network that finds the lines, None: components; `layout`: of one for blocks, None: the embedded one.
    Raises UnreadableInputError where there is no such folder, MissingError without weights."""
    network = LineDetector.load(detector, options) if detector else None
    found: list[LayoutScore] = []
    if (data / "sroie").is_dir():
        found.append(receipt_cover(data / "sroie", network, progress=progress))
    if (data / "icdar15" / "textdet.json").exists():
        found += scene_scores(data / "icdar15", network)
    if (data / "publaynet" / "coco.json").exists():
        found += block_scores(data / "publaynet", network, LayoutNetwork.load(layout, options), progress=progress)
    turned = [path for name, most in TURNED.items() for path in _pictures(data / name)[:most]]
    if turned:
        reader = PageReader.load(weights, options or RunOptions()).lines
        found.append(turn_score(turned, reader, progress=progress))
    if not found:
        raise UnreadableInputError(
            f"{data}: no folder sroie, publaynet, pages or docbank", hint="give the folder above them"
        )
    return found


def receipt_cover(
    folder: Path, detector: LineDetector | None = None, *, progress: Progress = null_progress
) -> LayoutScore:  # fmt: skip
    """Cover of the lines of SROIE receipts."""
    receipts = read_receipts(folder)
    right = total = 0
    start = time.process_time()
    with progress.task("receipts", total=len(receipts)) as task:
        for receipt in receipts:
            page = layout_page(read_picture(receipt.picture), detector=detector)
            right += covered(receipt.boxes, page)
            total += len(receipt.boxes)
            task.advance()
    seconds = (time.process_time() - start) / len(receipts)
    return LayoutScore(
        measure="line cover, receipts", pages=len(receipts), right=right, total=total, score=right / max(1, total),
        seconds=seconds,
    )  # fmt: skip


def covered(drawn: Sequence[Box], page: Page) -> int:
    """How many drawn boxes lie to more than 60 % inside the union of the page's lines."""
    mask = np.zeros((page.height, page.width), bool)
    for line in page.lines:
        x0, y0, x1, y1 = (max(0, round(value)) for value in line.box)
        mask[y0:y1, x0:x1] = True
    parts = [mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] for x0, y0, x1, y1 in drawn]
    return sum(bool(part.size) and float(part.mean()) > INSIDE for part in parts)


def scene_scores(folder: Path, detector: LineDetector | None = None) -> list[LayoutScore]:
    """Cover of the words of photographs, and of those among them that can be read; precision: lines found of which a
    good part is words."""
    pictures = read_scene_words(folder)
    start = time.process_time()
    pages = [layout_page(read_picture(item.picture), ReadSettings(turn=0), detector) for item in pictures]
    seconds = (time.process_time() - start) / max(1, len(pictures))
    lines = [(line.box, item.boxes) for item, page in zip(pictures, pages, strict=True) for line in page.lines]
    precision = sum(_on_words(box, words) > ON_WORDS for box, words in lines) / max(1, len(lines))
    found = []
    chosen_of = {"words": [item.boxes for item in pictures], "readable words": [item.readable for item in pictures]}
    for name, chosen in chosen_of.items():
        right = sum(covered(boxes, page) for boxes, page in zip(chosen, pages, strict=True))
        total = sum(map(len, chosen))
        found.append(LayoutScore(
            measure=f"{name} covered, photographs", pages=len(pages), right=right, total=total,
            score=right / max(1, total), precision=precision, recall=right / max(1, total), seconds=seconds,
        ))  # fmt: skip
    return found


def _on_words(line: Box, words: Sequence[Box]) -> float:
    """Share of a line's box inside those of words, which do not overlap."""
    sides = [
        (min(line[2], word[2]) - max(line[0], word[0]), min(line[3], word[3]) - max(line[1], word[1])) for word in words
    ]
    shared = sum(max(0.0, wide) * max(0.0, high) for wide, high in sides)
    return shared / max((line[2] - line[0]) * (line[3] - line[1]), 1e-9)


def turn_score(paths: Sequence[Path], reader: LineReader, *, progress: Progress = null_progress) -> LayoutScore:
    """Quarter turns of pictures of pages, each shown in four ways."""
    right = 0
    start = time.process_time()
    with progress.task("quarter turns", total=4 * len(paths)) as task:
        for path in paths:
            picture = read_picture(path)
            for turn in (0, 90, 180, 270):
                right += survey_page(grey_of(quarter_turned(picture, turn)), reader).turn == turn
                task.advance()
    return LayoutScore(
        measure="quarter turns", pages=len(paths), right=right, total=4 * len(paths),
        score=right / max(1, 4 * len(paths)), seconds=(time.process_time() - start) / max(1, 4 * len(paths)),
    )  # fmt: skip


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder by name, none where it does not exist."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES)


def quarter_turned(picture: Picture, turn: int) -> Picture:
    """A picture turned so that `turn` degrees clockwise make it upright again."""
    return replace(picture, pixels=np.ascontiguousarray(np.rot90(picture.pixels, turn // 90)))
