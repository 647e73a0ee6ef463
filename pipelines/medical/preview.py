"""A picture to judge a segmentation by: three planes of the scan with coloured contours, and a legend.

Radiological convention: the patient's right is on the left of the axial and coronal planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.datasets.formats.volume import Volume
from vitapps.pipelines.medical.orientation import turn_to
from vitapps.pipelines.medical.volumes import LabelVolume

if TYPE_CHECKING:
    from PIL.Image import Image

PANEL = 380  # pixels of the longest edge of the field of view
GAP = 12
ROW = 18
COLUMN = 285
BACKGROUND = (18, 18, 20)
PLANES = (("axial", 2, "RLAP"), ("coronal", 1, "RLSI"), ("sagittal", 0, "APSI"))


def draw_preview(
    volume: Volume, labels: NDArray[Any], infos: Sequence[LabelInfo], volumes: Sequence[LabelVolume]
) -> Image:
    """Scan and labels (X Y Z on the same grid) through the middle of what was found, as a Pillow image."""
    from PIL import Image

    turn = turn_to(volume.meta.affine, "LPS")
    scan, marks = turn.apply(volume.array), turn.apply(labels)
    spacing = [volume.meta.spacing[axis] for axis in turn.axes]
    middle = _middle(marks)
    scale = PANEL / max(n * mm for n, mm in zip(scan.shape, spacing, strict=True))
    window = _window(scan)
    colors = _palette(infos)
    panels = [_panel(scan, marks, axis, middle, spacing, scale, window, colors) for _, axis, _ in PLANES]
    legend = [(info, found) for info, found in _legend(infos, volumes)]
    width = sum(panel.width for panel in panels) + GAP * 4
    columns = max(1, (width - GAP) // COLUMN)
    height = max(panel.height for panel in panels)
    total = height + 3 * GAP + ROW + ROW * -(-len(legend) // columns)
    picture = Image.new("RGB", (width, total), BACKGROUND)
    left = GAP
    for panel, (name, _, ends) in zip(panels, PLANES, strict=True):
        picture.paste(panel, (left, GAP + ROW))
        _annotate(picture, left, panel, name, ends)
        left += panel.width + GAP
    _draw_legend(picture, legend, columns, height + 2 * GAP + ROW)
    return picture


def _panel(
    scan: NDArray[Any], marks: NDArray[Any], axis: int, middle: tuple[int, ...], spacing: Sequence[float],
    scale: float, window: tuple[float, float], colors: NDArray[np.uint8],
) -> Image:  # fmt: skip
    from PIL import Image

    grey, plane = (np.take(source, middle[axis], axis).T for source in (scan, marks))  # rows columns
    if axis != 2:  # superior is up; anterior is up (axial) by the LPS order already
        grey, plane = grey[::-1], plane[::-1]
    across, down = (spacing[i] for i in range(3) if i != axis)
    size = (max(1, round(plane.shape[1] * across * scale)), max(1, round(plane.shape[0] * down * scale)))
    low, high = window
    values = np.nan_to_num((grey.astype(np.float32) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    shade = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    large = np.asarray(Image.fromarray(plane.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    pixels = np.repeat(np.asarray(shade)[:, :, None], 3, axis=2).copy()  # rows columns -> rows columns 3
    edge = _contour(large)
    pixels[edge] = colors[large[edge]]
    return Image.fromarray(pixels)


def _contour(plane: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Labelled pixels with a neighbour of another label."""
    padded = np.pad(plane, 1)
    different = np.zeros(plane.shape, np.bool_)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        different |= padded[rows : rows + plane.shape[0], columns : columns + plane.shape[1]] != plane
    return different & (plane > 0)


def _middle(marks: NDArray[Any]) -> tuple[int, ...]:
    """The slice of each axis through the centre of what was found; the middle of an empty map."""
    found = marks > 0
    if not found.any():
        return tuple(n // 2 for n in marks.shape)
    middle = []
    for axis in range(3):
        others: Any = tuple(i for i in range(3) if i != axis)
        count = np.cumsum(found.sum(axis=others))
        middle.append(int(np.searchsorted(count, count[-1] / 2)))
    return tuple(middle)


def _window(scan: NDArray[Any]) -> tuple[float, float]:
    step = max(1, round((scan.size / 500_000) ** (1 / 3)))
    sample = scan[::step, ::step, ::step].astype(np.float32)
    sample = sample[np.isfinite(sample)]
    low, high = (float(v) for v in np.percentile(sample, [1, 99.5])) if sample.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _palette(infos: Sequence[LabelInfo]) -> NDArray[np.uint8]:
    colors = np.zeros((max((info.value for info in infos), default=0) + 1, 3), np.uint8)
    for info in infos:
        colors[info.value] = info.color
    return colors


def _legend(infos: Sequence[LabelInfo], volumes: Sequence[LabelVolume]) -> list[tuple[LabelInfo, LabelVolume]]:
    by_value = {info.value: info for info in infos}
    return [(by_value[volume.value], volume) for volume in volumes if volume.voxels]


def _annotate(picture: Image, left: int, panel: Image, name: str, ends: str) -> None:
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    top = GAP + ROW
    draw.text((left, GAP // 2), name, fill=(220, 220, 220), font=font)
    middle_x, middle_y = left + panel.width // 2, top + panel.height // 2
    places = ((left + 3, middle_y, "lm"), (left + panel.width - 3, middle_y, "rm"),
              (middle_x, top + 3, "mt"), (middle_x, top + panel.height - 3, "mb"))  # fmt: skip
    for letter, (x, y, anchor) in zip(ends, places, strict=True):
        draw.text((x, y), letter, fill=(255, 230, 120), font=font, anchor=anchor)


def _draw_legend(picture: Image, legend: Sequence[tuple[LabelInfo, LabelVolume]], columns: int, top: int) -> None:
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    rows = -(-len(legend) // columns)
    for number, (info, volume) in enumerate(legend):
        x, y = GAP + COLUMN * (number // rows), top + ROW * (number % rows)
        draw.rectangle((x, y + 2, x + 11, y + 13), fill=info.color)
        draw.text((x + 18, y), f"{info.value} {info.name}: {volume.ml:.1f} mL", fill=(220, 220, 220), font=font)
