from pathlib import Path

import numpy as np
import pytest
import rasterio

from vitapps.datasets.sets.naip_trees import crown_boxes, read_naip
from vitapps.errors import UnreadableInputError


def _plants(size: int, discs: list[tuple[int, int, int]]) -> np.ndarray:
    """4 H W: bare ground with discs (x, y, radius) that are bright in the near infrared."""
    y, x = np.mgrid[:size, :size]
    bands = np.full((4, size, size), 120, np.uint8)
    for middle_x, middle_y, radius in discs:
        inside = (x - middle_x) ** 2 + (y - middle_y) ** 2 <= radius**2
        bands[0, inside], bands[3, inside] = 60, 220
    return bands


def _write(path: Path, bands: np.ndarray, points: list[tuple[int, int]]) -> None:
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(path, "w", dtype="uint8", transform=rasterio.Affine(0.6, 0, 0, 0, -0.6, 0), **profile) as file:
        file.write(bands)
    path.with_suffix(".csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in points))


def test_a_box_is_grown_over_the_crown_and_touching_crowns_are_shared_out():
    bands = _plants(64, [(20, 20, 6), (44, 44, 5), (53, 44, 5)])
    alone, left, right = crown_boxes(bands, np.array([[20.0, 20], [44, 44], [53, 44]]), 0.6)
    np.testing.assert_allclose(alone, [14, 14, 27, 27], atol=2)
    assert left[2] == pytest.approx(49, abs=2)
    assert right[0] == pytest.approx(49, abs=2)


def test_a_point_without_plants_gets_the_smallest_box_and_no_points_no_box():
    bands = _plants(64, [(20, 20, 6)])
    (box,) = crown_boxes(bands, np.array([[50.0, 50]]), 0.6)
    np.testing.assert_allclose(box, [49.25, 49.25, 51.75, 51.75], atol=1e-4)
    assert crown_boxes(bands, np.zeros((0, 2)), 0.6).shape == (0, 4)


def test_pictures_are_enlarged_with_their_boxes(tmp_path):
    _write(tmp_path / "a.tif", _plants(64, [(20, 20, 6)]), [(20, 20)])
    (tmp_path / "b").mkdir()
    _write(tmp_path / "b" / "b.tif", _plants(64, []), [])
    first, second = read_naip(tmp_path)
    assert first.image.shape == (3, 256, 256)
    np.testing.assert_allclose(first.boxes, [[56, 56, 108, 108]], atol=8)
    assert len(second.boxes) == 0


def test_a_folder_without_pictures_and_too_few_bands_are_told(tmp_path):
    with pytest.raises(UnreadableInputError, match="no picture"):
        read_naip(tmp_path)
    _write(tmp_path / "a.tif", _plants(16, [])[:3], [])
    with pytest.raises(UnreadableInputError, match="3 band"):
        read_naip(tmp_path)
