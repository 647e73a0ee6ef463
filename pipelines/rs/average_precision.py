"""COCO average precision of found boxes, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.pipelines.windows.boxes import Floats
from vitapps.require import require

_MOST = 1000  # boxes of one tile that count; COCO's 100 is less than a dense stand has


def average_precision(tiles: Sequence[FoundBoxes]) -> tuple[float, float]:
    """(AP over IoU 0.5 to 0.95, AP at IoU 0.5) pooled over `tiles`, each 0..1; zeros without a found or a drawn box."""
    coco = require("pycocotools.coco", extra="train", package="pycocotools")
    evaluation = require("pycocotools.cocoeval", extra="train", package="pycocotools")
    drawn = [row for place, tile in enumerate(tiles, 1) for row in _rows(place, tile.drawn)]
    found = [
        {**row, "score": float(score)}
        for place, tile in enumerate(tiles, 1)
        for row, score in zip(_rows(place, tile.boxes), tile.scores, strict=True)
    ]
    if not drawn or not found:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        reference = coco.COCO()
        reference.dataset = {
            "info": {},
            "images": [{"id": place} for place in range(1, len(tiles) + 1)],
            "categories": [{"id": 1, "name": "tree"}],
            "annotations": [{**row, "id": number} for number, row in enumerate(drawn, 1)],
        }
        reference.createIndex()
        run = evaluation.COCOeval(reference, reference.loadRes(found), "bbox")
        run.params.maxDets = [1, 10, _MOST]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, 0, 0, -1]  # IoU recall
    return float(precision.mean()), float(precision[0].mean())


def _rows(place: int, boxes: Floats) -> list[dict[str, Any]]:
    return [
        {"image_id": place, "category_id": 1, "bbox": [float(v) for v in (x0, y0, x1 - x0, y1 - y0)],
         "area": float((x1 - x0) * (y1 - y0)), "iscrowd": 0}
        for x0, y0, x1, y1 in boxes
    ]  # fmt: skip
