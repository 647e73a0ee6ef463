"""What published face detectors put out, as candidates: YuNet and SCRFD.

    YuNet   Wu et al. 2023, Machine Intelligence Research 20(5), section 3.2: one place a cell at strides 8, 16, 32
            outputs cls_S n 1, obj_S n 1 (0..1), bbox_S n 4, kps_S n 10, with n cells in rows of the map of stride S
            score = sqrt(cls obj); centre = (cell + t_xy) S; sides = exp(t_wh) S; points = (cell + t) S
    SCRFD   Guo et al. 2022, ICLR (arXiv:2105.04714), section 3: anchors at the corner of each cell, mostly two
            outputs in groups scores n 1, distances n 4, points n 10, strides 8, 16, 32 (, 64, 128), names free
            box = anchor - S d_lt .. anchor + S d_rb; points = anchor + S t

Landmarks of both come in the order of `faces.LANDMARKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.face.faces import Floats

Outputs = Mapping[str, NDArray[np.float32]]
YUNET_STRIDES = (8, 16, 32)
SCRFD_STRIDES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a detector is fed and read: `swapped` means BGR; values x go in as (x - `mean`) / `deviation`; `threshold`
    and `nms_iou` are those that its authors use."""

    kind: Literal["yunet", "scrfd"]
    swapped: bool
    mean: float
    deviation: float
    threshold: float
    nms_iou: float

    def decode(self, outputs: Outputs, height: int, width: int) -> tuple[Floats, Floats, Floats]:
        """Boxes n 4, landmarks n 5 2, scores n of every place; `height`, `width` of the input.

        Raises MissingError where the outputs do not fit the input."""
        return (_yunet if self.kind == "yunet" else _scrfd)(outputs, height, width)


YUNET = Layout(kind="yunet", swapped=True, mean=0.0, deviation=1.0, threshold=0.6, nms_iou=0.3)
SCRFD = Layout(kind="scrfd", swapped=False, mean=127.5, deviation=128.0, threshold=0.5, nms_iou=0.4)


def layout_of(names: tuple[str, ...]) -> Layout:
    """By the names of the outputs; MissingError where they are neither's."""
    if {f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in YUNET_STRIDES} <= set(names):
        return YUNET
    if len(names) in (9, 15):
        return SCRFD
    found = ", ".join(names[:6])
    raise MissingError(
        f"{len(names)} outputs ({found}): neither YuNet nor SCRFD with landmarks",
        hint="give yunet.onnx, or an SCRFD file whose name has `kps`",
    )


def _yunet(outputs: Outputs, height: int, width: int) -> tuple[Floats, Floats, Floats]:
    boxes, points, scores = [], [], []
    for stride in YUNET_STRIDES:
        cells = _cells(height, width, stride)
        parts = {name: _rows(outputs[f"{name}_{stride}"]) for name in ("cls", "obj", "bbox", "kps")}
        if {len(rows) for rows in parts.values()} != {len(cells)}:
            raise _misfit(len(parts["cls"]), height, width)
        middle, sides = (cells + parts["bbox"][:, :2]) * stride, np.exp(parts["bbox"][:, 2:]) * stride
        boxes.append(np.concatenate([middle - sides / 2, middle + sides / 2], axis=1))
        points.append((cells[:, None] + parts["kps"].reshape(-1, 5, 2)) * stride)
        scores.append(np.sqrt(parts["cls"][:, 0].clip(0, 1) * parts["obj"][:, 0].clip(0, 1)))
    return np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)


def _scrfd(outputs: Outputs, height: int, width: int) -> tuple[Floats, Floats, Floats]:
    rows = [_rows(value) for value in outputs.values()]
    groups = [sorted((each for each in rows if each.shape[1] == size), key=len, reverse=True) for size in (1, 4, 10)]
    if len({len(group) for group in groups}) != 1:
        raise _misfit(len(rows[0]), height, width)
    boxes, points, scores = [], [], []
    for stride, score, reach, marks in zip(SCRFD_STRIDES, *groups, strict=False):
        cells = _cells(height, width, stride)
        anchors, left = divmod(len(score), len(cells))
        if left or not anchors or {len(reach), len(marks)} != {len(score)}:
            raise _misfit(len(score), height, width)
        corner = np.repeat(cells, anchors, axis=0) * stride
        boxes.append(np.concatenate([corner - reach[:, :2] * stride, corner + reach[:, 2:] * stride], axis=1))
        points.append(corner[:, None] + marks.reshape(-1, 5, 2) * stride)
        scores.append(score[:, 0])
    return np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)


def _cells(height: int, width: int, stride: int) -> Floats:
    """Column and row of every cell, in rows; n 2."""
    rows, columns = np.indices((height // stride, width // stride)).reshape(2, -1)
    return np.stack([columns, rows], axis=1).astype(float)


def _rows(value: NDArray[np.float32]) -> Floats:
    return value.reshape(-1, value.shape[-1]).astype(float)


def _misfit(places: int, height: int, width: int) -> MissingError:
    return MissingError(
        f"{places} places for an input of {width} x {height}: neither YuNet nor SCRFD", hint="give the published file"
    )
