"""`vitapps rs eval`: precision, recall, F1 at IoU 0.4 (the NEON protocol) and COCO AP of crowns, per site and pooled.

With `loso` a folder is given that holds one training run per site (`<folder>/<SITE>/trees-neon.toml`, trained with
`--leave-out SITE`); each site is then scored by the run that never saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.datasets.sets.neon_trees import Tile, read_tiles, sites_of
from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.rs.average_precision import average_precision
from vitapps.pipelines.rs.matching import NEON_IOU
from vitapps.pipelines.rs.spec import spec_of
from vitapps.pipelines.rs.tile_boxes import boxes_of_tile
from vitapps.pipelines.windows.box_counts import Counts, FoundBoxes, count
from vitapps.progress import Progress, null_progress

Baseline = Literal["watershed"]
CARD_FILE = "trees-neon.toml"
FLOOR = 0.05  # boxes below this score count for nothing, not even for AP


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Figures of one site, or of all boxes together (`site` "pooled"), 0..1. `ap` over IoU 0.5 to 0.95, `ap50` at 0.5.
    `threshold` is the score from which a box counts for precision and recall (nan when sites have different ones)."""

    site: str
    precision: float
    recall: float
    f1: float
    ap: float
    ap50: float
    tiles: int
    hits: int
    found: int
    drawn: int
    threshold: float


def evaluate(
    data: Path,
    *,
    weights: str = "trees-neon",
    sites: Sequence[str] = (),
    baseline: Baseline | None = None,
    loso: Path | None = None,
    thorough: bool = False,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[Row]:
    """One row a site, then the pooled row. One finder: `baseline`, `loso`, or the card `weights` (name or path), at all
    its scales when `thorough`.

    Raises UsageError for `baseline` with `loso` or `thorough`, MissingError when a run of `loso` is missing.
    """
    if baseline is not None and loso is not None:
        raise UsageError("--baseline and --loso exclude each other", hint="give one of them")
    if baseline is not None and thorough:
        raise UsageError("--thorough: a baseline has no scales", hint="leave one of the two out")
    tiles = read_tiles(data, sites)
    rows: list[Row] = []
    parts: list[FoundBoxes] = []
    with progress.task("scoring", total=len(tiles)) as task:
        for site in sites_of(tiles):
            group = [tile for tile in tiles if tile.site == site]
            if baseline is not None:
                found, threshold = _by_watershed(group), 0.0
            else:
                found, threshold = _by_card(group, _card_of(site, weights, loso), thorough, options or RunOptions())
            rows.append(_row(site, found, count(found, threshold, NEON_IOU), threshold))
            parts.extend(found)
            task.advance(len(group))
    return [*rows, _pooled(rows, parts)]


def _card_of(site: str, weights: str, loso: Path | None) -> str:
    if loso is None:
        return weights
    card = loso / site / CARD_FILE
    if not card.exists():
        hint = f"vitapps rs train trees --data DIR --out {loso / site} --leave-out {site}"
        raise MissingError(f"{card}: no training run for site {site}", hint=hint)
    return str(card)


def _by_watershed(tiles: Sequence[Tile]) -> list[FoundBoxes]:
    from vitapps.pipelines.rs.watershed import watershed_boxes

    results = [(tile, watershed_boxes(tile.image, tile.gsd)) for tile in tiles]
    return [FoundBoxes(boxes=boxes, scores=scores, drawn=tile.boxes.astype(float)) for tile, (boxes, scores) in results]


def _by_card(
    tiles: Sequence[Tile], weights: str, thorough: bool, options: RunOptions
) -> tuple[list[FoundBoxes], float]:
    """Found boxes of `tiles`, and the card's threshold."""
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, "rs.detect")
    spec = spec_of(card.name, card.preprocess, card.labels)
    spec = spec.thorough() if thorough else spec
    model = load_model(card, options)
    found = []
    for tile in tiles:
        boxes, scores = boxes_of_tile(model, tile.image, spec, FLOOR)
        found.append(FoundBoxes(boxes=boxes, scores=scores, drawn=tile.boxes.astype(float)))
    return found, spec.thresholds[0]


def _row(site: str, found: Sequence[FoundBoxes], counts: Counts, threshold: float) -> Row:
    ap, ap50 = average_precision(found)
    return Row(
        site=site, precision=counts.precision, recall=counts.recall, f1=counts.f1, ap=ap, ap50=ap50, tiles=len(found),
        hits=counts.hits, found=counts.found, drawn=counts.drawn, threshold=threshold,
    )  # fmt: skip


def _pooled(rows: Sequence[Row], found: Sequence[FoundBoxes]) -> Row:
    """All boxes of all sites, each at its own site's threshold."""
    total = Counts(hits=0, found=0, drawn=0)
    for row in rows:
        total += Counts(hits=row.hits, found=row.found, drawn=row.drawn)
    thresholds = {row.threshold for row in rows}
    return _row("pooled", found, total, thresholds.pop() if len(thresholds) == 1 else float("nan"))
