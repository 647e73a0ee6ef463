import numpy as np
import pytest

from fakes.drawn_faces import draw, write_people, write_scenes
from vitapps.datasets.sets.face_boxes import read_marked_faces
from vitapps.datasets.synth.face_composites import FaceComposites, Source, occlude, paste
from vitapps.errors import UnreadableInputError


@pytest.fixture(scope="module")
def composites():
    sources = []
    for person in range(4):
        pixels, points = draw(person)
        sources.append(Source(pixels, np.array([12, 8, 100, 112], np.float32), points.astype(np.float32)))
    scenes = [np.random.default_rng(n).integers(0, 255, (150, 200, 3), np.uint8) for n in range(3)]
    return FaceComposites([sources], scenes)


def test_one_seed_one_window(composites):
    first, second, other = composites.make(5), composites.make(5), composites.make(6)
    assert np.array_equal(first.pixels, second.pixels) and np.array_equal(first.points, second.points)
    assert not np.array_equal(first.pixels, other.pixels)


def test_what_windows_show(composites):
    windows = [composites.make(seed) for seed in range(150)]
    assert all(window.pixels.shape == (128, 128, 3) and window.pixels.dtype == np.uint8 for window in windows)
    counts = [len(window.boxes) for window in windows]
    assert 0.05 < np.mean(np.array(counts) == 0) < 0.35 and max(counts) >= 3
    boxes = np.concatenate([window.boxes for window in windows])
    points = np.concatenate([window.points for window in windows])
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    assert sides.min() < 20 and 85 < sides.max() < 125
    shares = (points - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2])
    assert ((shares > -0.1) & (shares < 1.1)).all()  # landmarks lie in their box
    assert (points[:, 0, 0] < points[:, 1, 0]).all()  # mirrored faces keep the viewer's left first


def test_a_face_lands_where_its_box_says():
    """A red square as the whole face, pasted by the generator's own placement."""
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    matrix = np.array([[0.5, 0, 30], [0, 0.5, 60]], np.float32)
    canvas = paste(np.zeros((128, 128, 3), np.uint8), red, np.ones((40, 40), np.float32), matrix)
    rows, columns = np.nonzero(canvas[..., 0] > 127)
    assert (columns.min(), rows.min()) == pytest.approx((30, 60), abs=1)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((50, 80), abs=1)


def test_occlusions_cover_a_part_and_leave_the_source():
    pixels, points = draw(1)
    source = Source(pixels, np.array([12, 8, 100, 112], np.float32), points.astype(np.float32))
    before = pixels.copy()
    for seed in range(20):
        changed = (occlude(pixels, source, np.random.default_rng(seed)) != pixels).any(axis=2).mean()
        assert 0.005 < changed < 0.6
    assert np.array_equal(pixels, before)


def test_tables_of_marked_faces(tmp_path):
    write_people(tmp_path, people=3, shots=1, kept=1)
    write_scenes(tmp_path, 2)
    table = tmp_path / "verify" / "lfw112.csv"
    faces = read_marked_faces(table, tmp_path / "verify" / "lfw112")
    assert len(faces) == 3 and faces[0].pixels().shape == (112, 112, 3)
    assert faces[0].box.tolist() == [12, 8, 100, 112]
    table.write_text(table.read_text().replace("12.0", "", 1))
    assert len(read_marked_faces(table, tmp_path)) == 2  # a row without a box
    for text, reason in (
        ("", "no rows"),
        ("file,box_x\na.png,1\n", "missing"),
        ("file,box_x,box_y\na,x,y\n", "missing"),
    ):
        table.write_text(text)
        with pytest.raises(UnreadableInputError, match=reason):
            read_marked_faces(table, tmp_path)
    with pytest.raises(UnreadableInputError, match="not a readable table"):
        read_marked_faces(tmp_path / "absent.csv", tmp_path)
