import numpy as np
import pytest

from fakes.red_faces import PLACES, finder, picture
from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.face.align import moved
from vitapps.pipelines.face.faces import Face
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings, spec_of
from vitapps.pipelines.face.pyramid import finest_scale, scales_of, views
from vitapps.pipelines.face.quality import judge
from vitapps.pipelines.face.turned_faces import TILT, find_turned, tilt_about_middle
from vitapps.pipelines.windows.boxes import box_iou


def _matched(found, faces):
    overlaps = box_iou(np.array(faces), np.array([face.box for face in found]).reshape(-1, 4))
    return overlaps.max(axis=1)


def test_small_and_large_faces_of_one_picture_are_each_found_once():
    faces = [(20, 30, 36, 50), (300, 40, 380, 140), (500, 200, 860, 640), (60, 600, 80, 626), (850, 20, 868, 44)]
    found = finder().find(picture(900, 700, faces), FindSettings(min_face=12))
    assert len(found) == len(faces)
    assert (_matched(found, faces) > 0.8).all()
    large = max(found, key=lambda face: face.quality.size)
    wanted = np.array([500, 200]) + PLACES * [360, 440]
    assert np.abs(large.landmarks - wanted).max() < 12


def test_a_face_that_fills_its_picture_is_found():
    found = finder().find(picture(96, 112, [(4, 4, 92, 108)]))
    assert len(found) == 1
    assert (_matched(found, [(4, 4, 92, 108)]) > 0.85).all()


def test_no_face_is_an_empty_answer():
    assert finder().find(picture(300, 200, [])) == ()
    assert finder().find(picture(1, 1, [])) == ()


def test_the_smallest_face_and_the_number_of_faces_can_be_set():
    pixels = picture(2000, 1500, [(100, 100, 116, 120), (900, 500, 1300, 1000)])
    assert len(finder().find(pixels)) == 1  # 16 pixels of 2000 are below 1/64
    assert len(finder().find(pixels, FindSettings(min_face=12))) == 2
    best = finder().find(pixels, FindSettings(min_face=12, most=1))
    assert [face.quality.size > 300 for face in best] == [True]
    with pytest.raises(UsageError):
        FindSettings(min_face=0)
    with pytest.raises(UsageError):
        FindSettings(min_score=1.5)


def test_every_pixel_is_seen_at_every_scale():
    pixels = np.random.default_rng(0).integers(0, 255, (170, 300, 3), np.uint8)
    seen = np.zeros((170, 300))
    for view in views(pixels, 64, 0.375, 1.0):
        corners = view.to_picture(np.array([[0.0, 0.0], [64.0, 64.0]])).clip(0)
        (x0, y0), (x1, y1) = corners.round().astype(int)
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= len(scales_of(300, 170, 64, 1.0))
    assert scales_of(300, 170, 64, 1.0)[-1] == 1.0
    assert finest_scale(6400, 100, 12, None) == pytest.approx(0.12)
    assert finest_scale(100, 100, 12, 24) == pytest.approx(0.5)
    assert finest_scale(480, 320, 12, None) == 2  # a small picture is enlarged
    assert finest_scale(640, 320, 12, None) == pytest.approx(4 / 3) and finest_scale(768, 320, 12, None) == 1
    assert finest_scale(300, 320, 12, None) == 2 and finest_scale(200, 255, 12, None) == 1
    assert finest_scale(480, 320, 12, None, enlarge=False) == 1


def test_a_card_that_is_no_face_detector_is_refused():
    with pytest.raises(MissingError, match=r"rs\.detect"):
        FaceFinder.load("trees-neon")
    with pytest.raises(MissingError, match="not usable"):
        spec_of("x", {"window": 128}, [{"threshold": 0.5}])


class _Spots:
    """A finder whose face is a bright spot of 20 x 20 pixels, upright wherever it is seen."""

    def find(self, pixels, settings):
        y, x = np.unravel_index(pixels[..., 0].argmax(), pixels.shape[:2])
        box, marks = np.array([x - 10.0, y - 10, x + 10, y + 10]), np.array([x, y]) + 8 * (PLACES - 0.5)
        score = 0.9 if pixels.shape != (120, 160, 3) else 0.5  # best where the picture is tilted
        return (Face(box=box, landmarks=marks, score=score, quality=judge(pixels, box, marks)),)


@pytest.mark.parametrize("spot", [(10, 12), (80, 60), (150, 100)])
def test_tilted_faces_come_back_to_their_place(spot):
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[spot[1] - 1 : spot[1] + 2, spot[0] - 1 : spot[0] + 2] = 255
    (face,) = find_turned(_Spots(), pixels, FindSettings(), quarters=False, tilted=True)
    assert face.score == 0.9 and abs(face.quality.roll) == pytest.approx(TILT)
    assert np.hypot(*(face.landmarks - spot).T).max() < 5
    np.testing.assert_allclose(face.box, [spot[0] - 10, spot[1] - 10, spot[0] + 10, spot[1] + 10], atol=2)
    matrix, (width, height) = tilt_about_middle((160, 120), TILT)
    corners = moved(np.array([[0.0, 0], [160, 0], [0, 120], [160, 120]]), matrix)
    assert (corners >= -1).all() and (corners <= np.array([width, height]) + 1).all()
