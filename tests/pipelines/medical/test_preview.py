"""The preview shows the right slices, the right way round, with contours only where labels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.scans import affine, orientations, stored_as
from fakes.volume_network import ROWS, phantom
from vitapps.datasets.formats.volume_types import Volume, VolumeMeta
from vitapps.pipelines.medical.preview import draw_preview
from vitapps.pipelines.medical.structures import label_infos
from vitapps.pipelines.medical.volumes import measure

INFOS = label_infos(ROWS)


def scan(axes: tuple[int, ...] = (0, 1, 2), signs: tuple[int, ...] = (1, 1, 1)) -> tuple[Volume, np.ndarray]:
    image, labels = phantom()
    stored, matrix = stored_as(image, affine((2, 2, 3)), axes, signs)
    meta = VolumeMeta(
        source=Path("x"), format="nifti", shape=stored.shape, affine=matrix, dtype=stored.dtype  # type: ignore[arg-type]
    )  # fmt: skip
    return Volume(stored, meta), stored_as(labels, matrix, axes, signs)[0]


def drawn(volume: Volume, labels: np.ndarray) -> np.ndarray:
    return np.asarray(draw_preview(volume, labels, INFOS, measure(labels, INFOS, volume.meta.voxel_ml)))


def has_color(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((pixels == color).all(-1))


def test_patient_right_is_on_the_left() -> None:
    volume, labels = scan()
    axial = drawn(volume, labels)[30:300, :300]
    left, right = (has_color(axial, INFOS[i].color) for i in (1, 2))
    assert len(left) > 50
    assert len(right) > 50
    assert right[:, 1].mean() < left[:, 1].mean()
    stem = has_color(axial, INFOS[3].color)
    assert stem[:, 0].mean() > left[:, 0].mean()  # posterior is below


@pytest.mark.parametrize(("axes", "signs"), list(orientations())[::7])
def test_storage_order_does_not_matter(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(drawn(*scan(axes, signs)), drawn(*scan()))


def test_without_labels() -> None:
    volume, labels = scan()
    pixels = drawn(volume, labels * 0)
    assert not any(len(has_color(pixels, info.color)) for info in INFOS[1:])
