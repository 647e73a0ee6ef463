"""A user's YOLO detector as exported to ONNX, run by OpenVINO: no weights of it ship here.

Two layouts of one output are known, N candidates and K classes, boxes as centre x, centre y, width, height in pixels of
the network's input:

    1 4+K N     YOLOv8 and later: class scores
    1 N 5+K     YOLOv5 to v7, YOLOX decoded: objectness, then class scores

The frame is scaled to fit the input and padded with grey on the right and below; pixels are in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.windows.boxes import nms
from vitapps.provenance import sha256_file

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_PERSON = 0  # of COCO, whose classes nearly all published ones have
_FLOOR, _SAME = 0.1, 0.6  # least score, IoU of two boxes of one thing
_GREY = 114


@dataclass(frozen=True, kw_only=True, slots=True)
class Yolo:
    """`run(1 3 h w)` gives the output described above; `size` w h of its input."""

    run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
    size: tuple[int, int]
    facts: NetworkFacts

    def find(self, pixels: Picture) -> tuple[Floats, Floats]:
        """Persons of a frame H W 3 (everything, where there is one class): boxes n 4 as x0 y0 x1 y1, scores n."""
        width, height = self.size
        scale = min(width / pixels.shape[1], height / pixels.shape[0])
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        canvas = np.full((height, width, 3), _GREY, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        image = np.asarray(canvas.transpose(2, 0, 1)[None] / 255, np.float32)  # H W 3 -> 1 3 h w
        found = self.run(image)[0]
        boxes, scores = decode(found)
        kept = nms(boxes, scores, _SAME)
        limit = np.array([pixels.shape[1], pixels.shape[0]] * 2)
        return np.clip(boxes[kept] / scale, 0, limit), scores[kept]


def decode(output: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Boxes n 4 as x0 y0 x1 y1 and scores n of class 0 above the floor. MissingError for another layout."""
    table = np.asarray(output, np.float64)
    if table.ndim != 3 or len(table) != 1 or min(table.shape[1:]) < 5:
        raise MissingError(
            f"a graph whose output is {' x '.join(map(str, table.shape))}", hint="a YOLO export without NMS is expected"
        )
    rows = table[0].T if table.shape[1] < table.shape[2] else table[0]  # N 4+K or N 5+K
    older = table.shape[1] >= table.shape[2]
    scores = rows[:, 4] * (rows[:, 5 + _PERSON] if rows.shape[1] > 5 else 1.0) if older else rows[:, 4 + _PERSON]
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise MissingError("a graph whose class scores leave 0 to 1", hint="export it with its last sigmoid")
    rows, scores = rows[scores >= _FLOOR], scores[scores >= _FLOOR]
    half = rows[:, 2:4] / 2
    return np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1), scores


def load_yolo(path: Path, options: RunOptions) -> Yolo:
    """Compile an .onnx file. Raises MissingError for one that is absent, no graph, or takes no picture."""
    from vitapps.shared_backbones.engines.machine import usable_cores
    from vitapps.shared_backbones.engines.openvino import compile_graph, open_core

    if not path.is_file():
        raise MissingError(f"{path}: no such file", hint="--detect-weights FILE.onnx, or a card")
    model = compile_graph(path, card_name=path.name, precision="exact", threads=options.threads or usable_cores())
    shape = open_core().read_model(str(path)).inputs[0].get_partial_shape()
    sides = [axis.get_length() if axis.is_static else 0 for axis in shape]
    if len(sides) != 4 or sides[1] != 3 or not all(sides[2:]):
        raise MissingError(f"{path}: takes {shape}, no picture of a fixed size", hint="export it with a fixed size")
    facts = NetworkFacts(
        name=path.name, sha256=sha256_file(path), engine=model.engine, precision=model.precision, device=model.device,
        threads=model.threads, reason="a detector's graph of the user",
    )  # fmt: skip
    return Yolo(run=model, size=(sides[3], sides[2]), facts=facts)
