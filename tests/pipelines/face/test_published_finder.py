"""YuNet and SCRFD files: decoded as OpenCV decodes the one, and as the paper of the other says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fakes.detector_graphs import write_constant_graph
from fakes.photographs import photograph
from vitapps.apps.main import main
from vitapps.errors import MissingError
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings
from vitapps.pipelines.face.published_finder import PublishedFinder
from vitapps.pipelines.face.published_layouts import SCRFD, YUNET, layout_of

HEIGHT, WIDTH = 64, 96


def yunet_outputs(seed: int = 0) -> dict[str, np.ndarray]:
    """Random outputs with few places that count."""
    rng = np.random.default_rng(seed)
    outputs = {}
    for stride in (8, 16, 32):
        cells = (HEIGHT // stride) * (WIDTH // stride)
        outputs[f"cls_{stride}"] = rng.uniform(0, 1, (1, cells, 1))
        outputs[f"obj_{stride}"] = rng.uniform(0, 1, (1, cells, 1))
        outputs[f"bbox_{stride}"] = rng.normal(0, 0.4, (1, cells, 4))
        outputs[f"kps_{stride}"] = rng.normal(0, 1, (1, cells, 10))
    order = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    return {name: outputs[name].astype(np.float32) for name in order}


def scrfd_outputs() -> dict[str, np.ndarray]:
    """One face of 20 x 24 pixels, its anchor at column 5, row 3 of stride 8, the second of two."""
    outputs: dict[str, np.ndarray] = {}
    for size, name in ((1, "score"), (4, "reach"), (10, "marks")):
        for stride in (8, 16, 32):
            outputs[f"{name}{stride}"] = np.zeros((2 * (HEIGHT // stride) * (WIDTH // stride), size), np.float32)
    place = 2 * (3 * (WIDTH // 8) + 5) + 1
    outputs["score8"][place] = 0.9
    outputs["reach8"][place] = np.array([8, 12, 12, 12]) / 8
    outputs["marks8"][place] = np.array([-4, -4, 5, -4, 0, 1, -3, 6, 4, 6]) / 8
    return dict(enumerate_names(outputs))


def enumerate_names(outputs: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """InsightFace's files name their outputs by numbers."""
    return [(str(448 + 23 * number), value) for number, value in enumerate(outputs.values())]


def test_yunet_is_decoded_as_opencv_does(tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "yunet.onnx", yunet_outputs(), HEIGHT, WIDTH)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    peer = cv2.FaceDetectorYN.create(str(path), "", (WIDTH, HEIGHT), 0.6, 1.0, 5000)  # overlap 1: nothing suppressed
    wanted = peer.detect(picture)[1]
    boxes, points, scores = YUNET.decode(yunet_outputs(), HEIGHT, WIDTH)
    kept = np.flatnonzero(scores >= 0.6)
    kept = kept[np.argsort(-scores[kept])]
    order = np.argsort(-wanted[:, 14])
    assert len(kept) == len(wanted) > 20
    assert np.allclose(scores[kept], wanted[order, 14], atol=1e-5)
    corners = np.concatenate([wanted[order, :2], wanted[order, :2] + wanted[order, 2:4]], axis=1)
    assert np.allclose(boxes[kept], corners, atol=1e-3)
    assert np.allclose(points[kept].reshape(-1, 10), wanted[order, 4:14], atol=1e-3)


def test_scrfd_is_found_where_its_paper_says(tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "scrfd_500m_kps.onnx", scrfd_outputs(), HEIGHT, WIDTH)
    finder = FaceFinder.load(str(path))
    assert isinstance(finder, PublishedFinder) and finder.layout == SCRFD and finder.cascade is None
    faces = finder.find(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    found = min(  # the second look shows the same face elsewhere
        faces, key=lambda face: float(np.abs(face.box - [32, 12, 52, 36]).sum())
    )
    assert np.allclose(found.box, [32, 12, 52, 36])
    assert found.score == pytest.approx(0.9)
    assert np.allclose(found.landmarks, [[36, 20], [45, 20], [40, 25], [37, 30], [44, 30]])
    assert finder.find(np.zeros((HEIGHT, WIDTH, 3), np.uint8), FindSettings(min_score=0.95)) == ()


def test_boxes_come_back_in_pixels_of_a_picture_of_another_size(tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "scrfd.onnx", scrfd_outputs(), HEIGHT, WIDTH)
    faces = FaceFinder.load(str(path)).find(np.zeros((192, 288, 3), np.uint8))
    boxes = np.array([face.box for face in faces])
    assert np.abs(boxes - 3 * np.array([32, 12, 52, 36])).max(axis=1).min() < 1e-3


def test_the_command_takes_a_file_and_records_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_constant_graph(tmp_path / "yunet.onnx", yunet_outputs(), HEIGHT, WIDTH)
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), photograph(0, 96, 64, quality=0))
    out = tmp_path / "faces.json"
    assert main(["face", "detect", str(picture), "--weights", str(path), "-o", str(out)]) == 0
    assert "yunet.onnx" in (tmp_path / "faces.json.run.json").read_text() and out.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such weights file"):
        FaceFinder.load(str(tmp_path / "absent.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(MissingError, match="not a readable graph"):
        FaceFinder.load(str(broken))
    one = write_constant_graph(tmp_path / "one.onnx", {"out": np.zeros((1, 5), np.float32)}, HEIGHT, WIDTH)
    with pytest.raises(MissingError, match="neither YuNet nor SCRFD"):
        FaceFinder.load(str(one))
    with pytest.raises(MissingError, match="places for an input"):
        SCRFD.decode({str(n): np.zeros((7, (1, 4, 10)[n // 3]), np.float32) for n in range(9)}, HEIGHT, WIDTH)
    assert layout_of(tuple(yunet_outputs())) == YUNET
