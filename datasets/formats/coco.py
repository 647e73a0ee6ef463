"""COCO detection JSON (https://cocodataset.org/#format-data): `bbox` is x, y, width, height in pixels."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitapps.errors import UnreadableInputError

if TYPE_CHECKING:
    from vitapps.datasets.formats.vector import BoxTable


def write_coco(path: Path, table: BoxTable) -> None:
    """One image entry, one annotation a box with its `score`; category ids count from 1 in the order of the names.

    The file also loads as a reference (images, annotations, categories) and, by its `annotations`, as a result list.
    """
    content = {
        "info": {"description": f"boxes found in {table.meta.path.name}", "version": "1.0"},
        "licenses": [],
        "images": [
            {"id": 1, "file_name": table.meta.path.name, "width": table.meta.width, "height": table.meta.height}
        ],
        "annotations": _annotations(table),
        "categories": [
            {"id": number, "name": name, "supercategory": "object"} for number, name in enumerate(table.names, 1)
        ],
    }
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _annotations(table: BoxTable) -> list[dict[str, Any]]:
    starts, sides = table.boxes[:, :2].round(2), (table.boxes[:, 2:] - table.boxes[:, :2]).round(2)
    boxes = np.concatenate([starts, sides], axis=1).tolist()  # n 4: x y w h
    rows = zip(
        boxes, sides.prod(axis=1).round(2).tolist(), table.scores.round(4).tolist(), table.labels.tolist(), strict=True
    )
    return [
        {
            "id": number, "image_id": 1, "category_id": label + 1, "bbox": box, "area": area, "iscrowd": 0,
            "segmentation": [], "score": score,
        }
        for number, (box, area, score, label) in enumerate(rows, 1)
    ]  # fmt: skip


def read_coco_boxes(path: Path) -> dict[str, list[tuple[tuple[float, float, float, float], str]]]:
    """Boxes x0 y0 x1 y1 with the names of their categories (empty where there are none) of every picture of a COCO
    file, by its name; raises UnreadableInputError for another file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        kinds = {item["id"]: str(item["name"]) for item in content.get("categories", [])}
        found: dict[str, list[tuple[tuple[float, float, float, float], str]]] = defaultdict(list)
        for item in content["annotations"]:
            x, y, width, height = (float(value) for value in item["bbox"])
            box = (x, y, x + width, y + height)
            found[names[int(item["image_id"])]].append((box, kinds.get(item.get("category_id"), "")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInputError(f"{path}: no COCO boxes: {error}", hint="images, annotations, categories") from None
    return dict(found)
