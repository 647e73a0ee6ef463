from pathlib import Path

import numpy as np
import pytest

from vitapps.datasets.sets.neon_trees import hold_out, leave_out, read_tiles, read_voc, sites_of
from vitapps.errors import UnreadableInputError, UsageError


def test_reads_image_boxes_and_site(tmp_path, write_tile):
    image = np.arange(3 * 8 * 10, dtype=np.uint8).reshape(3, 8, 10)
    boxes = np.array([[1, 2, 6, 7], [0, 0, 10, 8]])
    write_tile(tmp_path, "HARV_001", image, boxes)
    (tile,) = read_tiles(tmp_path)
    assert (tile.name, tile.site) == ("HARV_001", "HARV")
    assert tile.gsd == pytest.approx(0.1)
    np.testing.assert_array_equal(tile.image, image)
    np.testing.assert_array_equal(tile.boxes, boxes)


def test_a_tile_without_boxes_file_is_skipped_and_an_empty_one_is_not(tmp_path, write_tile):
    image = np.zeros((3, 8, 8), np.uint8)
    write_tile(tmp_path, "AAAA_1", image, np.zeros((0, 4)))
    write_tile(tmp_path, "AAAA_2", image, np.zeros((0, 4)))
    (tmp_path / "AAAA_2.xml").unlink()
    (tile,) = read_tiles(tmp_path)
    assert tile.boxes.shape == (0, 4)


def test_splits_by_site_do_not_share_tiles(tile_folder):
    tiles = read_tiles(tile_folder)
    rest, test = leave_out(tiles, "AAAA")
    assert sites_of(rest) == ["BBBB"]
    assert sites_of(test) == ["AAAA"]
    shown, held = hold_out(tiles)
    assert sites_of(held) == ["AAAA", "BBBB"]
    assert {t.name for t in shown}.isdisjoint(t.name for t in held)
    assert len(shown) + len(held) == len(tiles)


def test_the_only_tile_of_a_site_is_never_held_out(tile_folder):
    tiles = read_tiles(tile_folder)[:1]
    assert hold_out(tiles) == (tiles, [])


def test_unknown_site_names_those_there(tile_folder):
    with pytest.raises(UsageError) as caught:
        read_tiles(tile_folder, ["HARV"])
    assert "AAAA, BBBB" in str(caught.value.hint)
    with pytest.raises(UsageError):
        leave_out(read_tiles(tile_folder), "HARV")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "<annotation><object/></annotation>",
        "<annotation><object><bndbox><xmin>5</xmin><ymin>1</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object></annotation>",
        "<annotation><object><bndbox><xmin>a</xmin><ymin>1</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object></annotation>",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
    ],
)
def test_broken_annotations_are_named(tmp_path: Path, text: str):
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(UnreadableInputError, match=r"x\.xml"):
        read_voc(path)


def test_wrong_rasters_are_named(tmp_path, write_tile):
    with pytest.raises(UnreadableInputError):
        read_tiles(tmp_path)
    write_tile(tmp_path, "A_1", np.zeros((1, 8, 8), np.uint8), np.zeros((0, 4)))
    with pytest.raises(UnreadableInputError, match="1 band"):
        read_tiles(tmp_path)
    write_tile(tmp_path, "A_1", np.zeros((3, 8, 8), np.uint16), np.zeros((0, 4)))
    with pytest.raises(UnreadableInputError, match="uint16"):
        read_tiles(tmp_path)
    (tmp_path / "A_1.tif").write_bytes(b"II*\0nonsense")
    with pytest.raises(UnreadableInputError, match=r"A_1\.tif"):
        read_tiles(tmp_path)
