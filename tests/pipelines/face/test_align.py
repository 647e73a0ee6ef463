import math

import numpy as np
import pytest

from vitapps.errors import UsageError
from vitapps.pipelines.face.align import TEMPLATE, align, moved, similarity, template
from vitapps.pipelines.face.quality import _MEAN_HEAD, judge, pose


def _turned(angle, scale, shift):
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def test_a_similarity_is_recovered_exactly():
    matrix = _turned(0.7, 2.5, (30, -12))
    assert np.allclose(similarity(TEMPLATE, moved(TEMPLATE, matrix)), matrix)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = TEMPLATE * [-1, 1]
    found = similarity(mirrored, TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize("scale", [0.4, 1.0, 6.3])
@pytest.mark.parametrize("size", [112, 224])
def test_landmarks_come_to_the_template(scale, size):
    """A dot drawn at each landmark of a turned picture lands on the template's place."""
    places = moved(TEMPLATE, _turned(0.4, scale, (80 * scale, 20 * scale)))
    y, x = np.mgrid[: int(200 * scale), : int(240 * scale)] + 0.5
    spots = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * (3 * scale) ** 2)) for a, b in places)
    pixels = np.repeat((spots * 250).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = align(pixels, places, size)[..., 0].astype(float)
    assert crop.shape == (size, size)
    for a, b in template(size):
        reach = size // 16
        row, column = round(b), round(a)
        part = crop[row - reach : row + reach + 1, column - reach : column + reach + 1]
        yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        drift = (part * xx).sum() / part.sum(), (part * yy).sum() / part.sum()
        assert np.hypot(drift[0] + column - a, drift[1] + row - b) < 0.8


def test_landmarks_that_span_nothing_are_refused():
    with pytest.raises(UsageError):
        align(np.zeros((20, 20, 3), np.uint8), np.full((5, 2), 3.0))
    with pytest.raises(UsageError):
        similarity(np.full((5, 2), np.nan), TEMPLATE)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (25, 0, 0), (-25, 0, 0), (0, 20, 0), (0, -20, 0),
                                                    (0, 0, 30), (15, 10, -20)])  # fmt: skip
def test_pose_of_a_head_that_is_turned(yaw, pitch, roll):
    y, p, r = (math.radians(value) for value in (yaw, pitch, roll))
    about_y = np.array([[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    seen = (_MEAN_HEAD @ (about_z @ about_y @ about_x).T)[:, :2] * 40 + [100, 90]
    assert np.allclose(pose(seen), (yaw, pitch, roll), atol=9 if yaw and pitch else 1e-6)
    nose_goes_right = seen[2, 0] - seen[:2, 0].mean()
    assert (nose_goes_right > 0) == (yaw > 0) or roll or not yaw


def test_quality_sees_blur_darkness_and_cut_faces():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (112, 112, 3), np.uint8)
    flat = np.full((112, 112, 3), 4, np.uint8)
    box = np.array([-28.0, 0, 84, 112])
    good, poor = judge(sharp, box, TEMPLATE), judge(flat, box, TEMPLATE)
    assert good.sharpness > 0.9 > 0.1 > poor.sharpness
    assert poor.brightness < 0.05 and poor.clipped == 1
    assert good.inside == pytest.approx(0.75)
    assert good.size == 112
