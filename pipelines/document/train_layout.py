"""`vitapps doc train layout`: the layout head on the frozen trunk of a text detector, from synthetic pages alone.

Every page is looked at as `doc layout` does it: lines, pictures and tables by the rules, features by the detector.
Their rows of numbers are kept in `OUT/pages-…` and used again by a later run with the same detector; the head, which is
small, then sees every page many times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.atomic import atomic_path
from vitapps.datasets.formats.page_text import box_of, quad_of
from vitapps.datasets.synth.journal_pages import make_journal_page
from vitapps.datasets.synth.pages import SyntheticPage, make_page
from vitapps.errors import UsageError
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.layout_elements import elements_of
from vitapps.pipelines.document.layout_network import TASK
from vitapps.pipelines.document.layout_truth import layout_loss, targets_of
from vitapps.pipelines.document.read_page import ReadSettings, find_on, look_at
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.layout_head import (
    LAYOUT_KINDS,
    LayoutHeadConfig,
    OrderedLayoutHead,
    layout_example,
)

NAME = "page-layout"
SEED_STRIDE = 10_000_019  # pages of different seeds never coincide
JOURNALS = 0.8  # share of pages of journals; the others are those of `pages.py`
LEAST, MOST = 3, 400  # elements of a page that teaches
HELD_OUT = 20  # one page in so many is not learned from
JITTER = 0.1  # x-heights by which boxes are moved in training
NOISE = 0.1  # deviation of the features, beside their own, in training
Known = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]  # rows n F, kinds n, blocks n


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutFit:
    """`pages` that are drawn, `batch` of them a step, `rate` the highest learning rate."""

    pages: int = 640
    steps: int = 5000
    batch: int = 4
    rate: float = 1.5e-3
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutCheck:
    """Shares of right answers on the pages that were held out: kinds of elements, links of pairs that belong together
    or are said to (their F), order of pairs of blocks."""

    pages: int
    kinds: float
    links: float
    order: float

    def __str__(self) -> str:
        return f"kinds {self.kinds:.3f}, links F {self.links:.3f}, order {self.order:.3f}"


def train(
    out: Path, *, config: LayoutFit | None = None, detector: LineDetector | None = None, device: str = "cpu",
    resume: bool = False, progress: Progress = null_progress,
) -> tuple[Path, LayoutCheck]:  # fmt: skip
    """Train and write card, weights and graph to `out`; returns the card's path and the check on held-out pages."""
    config = config or LayoutFit()
    if config.steps < 1 or config.batch < 1 or config.pages < 2:
        raise UsageError(
            f"steps {config.steps}, batch {config.batch}, pages {config.pages}", hint="1, 1 and 2 at least"
        )
    detector = detector or LineDetector.load()
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    pages = known_pages(out, config, detector, progress=progress)
    taught, held = split(pages)
    module = fit_head(out / "checkpoint.pt", taught, config, device=device, resume=resume, progress=progress)
    found = check(module, held)
    facts = {
        "data": f"{len(taught):,} synthetic pages (datasets/synth/journal_pages.py, pages.py), no scanned page;"
        f" {len(held)} more to check",
        "command": f"vitapps doc train layout --out DIR --pages {config.pages} --steps {config.steps}"
        f" --batch {config.batch} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "trained on synthetic pages only; every real page is unseen by the weights",
        "features": f"by {detector.facts.name}, {detector.facts.engine}, {detector.facts.precision}",
    }
    if found.pages:
        facts["held_out"] = str(found)
    return export(module, facts, detector, out), found


def known_pages(
    out: Path, config: LayoutFit, detector: LineDetector, *, progress: Progress = null_progress
) -> list[Known]:  # fmt: skip
    """The elements of every page and what they are, from the files of an earlier run where it left them."""
    folder = out / f"pages-{detector.facts.sha256[:12] or 'unnamed'}-{config.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Known] = []
    with progress.task("looking at pages", total=config.pages) as task:
        for number in range(config.pages):
            path = folder / f"{number:05d}.npz"
            if not path.exists():
                rows, kinds, blocks = known_page(some_page(config.seed * SEED_STRIDE + number), detector)
                with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
                    np.savez(file, rows=rows.astype(np.float16), kinds=kinds, blocks=blocks)
            with np.load(path) as arrays:
                found.append((arrays["rows"].astype(np.float32), arrays["kinds"], arrays["blocks"]))
            task.advance()
    return found


def some_page(seed: int) -> SyntheticPage:
    """A journal's page or another, upright."""
    rng = np.random.default_rng([seed, 3])
    if rng.random() < JOURNALS:
        return make_journal_page(seed)
    return make_page(seed, turn=0, skew=float(rng.normal(scale=0.3)), largest=1800)


def known_page(made: SyntheticPage, detector: LineDetector) -> Known:
    """The elements of a page as `doc layout` finds them, and what the truth says of them."""
    _, page = look_at(made.image, None, ReadSettings(turn=0))
    found = find_on(page)
    elements = elements_of(page.grey, found.lines, found.figures, found.tables, detector)
    given = [box_of(page.back(quad_of((x0, y0, x1, y1)))) for x0, y0, x1, y1 in elements.boxes.tolist()]
    return elements.rows, *targets_of(given, made.page.blocks)


def split(pages: Sequence[Known]) -> tuple[list[Known], list[Known]]:
    """Pages to learn from, and those held out; pages with too few or too many elements are left."""
    fit_in = [LEAST <= len(rows) <= MOST for rows, _, _ in pages]
    held = [page for number, page in enumerate(pages) if fit_in[number] and number % HELD_OUT == HELD_OUT - 1]
    taught = [page for number, page in enumerate(pages) if fit_in[number] and number % HELD_OUT != HELD_OUT - 1]
    if not taught:
        raise UsageError(f"{len(pages)} pages hold too little writing to learn from", hint="more --pages")
    return taught, held


def fit_head(
    checkpoint: Path, pages: Sequence[Known], config: LayoutFit, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> OrderedLayoutHead:  # fmt: skip
    """The EMA weights after `config.steps` steps."""
    start_training(config.seed, device, config.threads)
    module = OrderedLayoutHead(LayoutHeadConfig()).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(200, config.steps), cooldown=0.4, ema=0.998,
        weight_decay=0.05, log_every=100,
    )  # fmt: skip
    average = fit(
        module, lambda first: batches(first, pages, config), _loss, schedule, checkpoint=checkpoint, resume=resume,
        progress=progress,
    )  # fmt: skip
    assert isinstance(average, OrderedLayoutHead)
    return average


def batches(first: int, pages: Sequence[Known], config: LayoutFit) -> Iterator[Batch]:
    """Some pages a step, one after another in the tensors: rows, kinds, blocks, and how many elements each has."""
    for step in range(first, config.steps):
        rng = np.random.default_rng([config.seed, step, 4])
        chosen = [pages[place] for place in rng.integers(len(pages), size=config.batch)]
        rows = [_moved(page[0], rng) for page in chosen]
        sizes = torch.tensor([len(part) for part in rows])
        yield (
            torch.from_numpy(np.concatenate(rows)),
            torch.from_numpy(np.concatenate([page[1] for page in chosen])),
            torch.from_numpy(np.concatenate([page[2] for page in chosen])),
            sizes,
        )


def _moved(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The rows of a page with boxes a little moved and noise on the features."""
    facts = LayoutHeadConfig().facts
    moved = rows.copy()
    moved[:, :4] += rng.normal(scale=JITTER, size=(len(rows), 4)).astype(np.float32)
    seen = moved[:, 4 + facts :]
    seen += NOISE * seen.std() * rng.normal(size=seen.shape).astype(np.float32)
    return moved


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    rows, kinds, blocks, sizes = batch
    ends = sizes.tolist()
    parts = zip(rows.split(ends), kinds.split(ends), blocks.split(ends), strict=True)
    return torch.stack([layout_loss(module(row[None]), kind, block) for row, kind, block in parts]).mean()


@torch.inference_mode()
def check(module: OrderedLayoutHead, pages: Sequence[Known]) -> LayoutCheck:
    """How often the head is right on some pages."""
    right = np.zeros(3)
    total = np.full(3, 1e-9)
    for rows, kinds, block in pages:
        answers, links, order = (part[0].numpy() for part in module.cpu()(torch.from_numpy(rows)[None]))
        known = block >= 0
        both = known[:, None] & known[None] & ~np.eye(len(block), dtype=bool)
        one = both & (block[:, None] == block[None])
        said = (links > 0) & ~np.eye(len(block), dtype=bool)
        before = block[:, None] < block[None]
        right += (answers.argmax(axis=1) == kinds).sum(), 2 * (said & one).sum(), ((order > 0) & before & both).sum()
        total += len(kinds), said.sum() + one.sum(), (before & both).sum()
    kind, link, first = (right / total).tolist()
    return LayoutCheck(pages=len(pages), kinds=kind, links=link, order=first)


def export(module: OrderedLayoutHead, facts: dict[str, Any], detector: LineDetector, out: Path) -> Path:
    """Write `page-layout.safetensors` (fp16), `page-layout.onnx` and the card `page-layout.toml` to `out`, without what
    answers for the order: pages are read in the order of the rules."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "layout_head",
        "config": asdict(module.config),
        "summary": "kinds of the lines, pictures and tables of a page, which of them are one block",
        "licence": "Apache-2.0 (weights); trained on pages rendered with fonts of Debian, none of which is contained",
        "status": "core",
        "preprocess": {"trunk": detector.facts.name, "trunk_sha256": detector.facts.sha256},
        "labels": [{"value": number, "name": name} for number, name in enumerate(LAYOUT_KINDS)],
        "training": facts,
        "limits": [
            "pages of print, most of them like those of journals; nothing is read, so that a caption is told by its"
            " place and type alone",
            "pictures and tables without lines are those that the rules propose",
        ],
    }
    return publish(
        module.without_order(), card, out, example=layout_example(module.config), output_names=["kinds", "links"],
        free_axes=(1,),
    )  # fmt: skip
