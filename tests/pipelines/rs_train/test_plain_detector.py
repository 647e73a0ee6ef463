import pytest
import torch

from vitapps.shared_backbones.heads.detect import boxes_from_sides
from vitapps.shared_backbones.models.plain_detector import PlainDetector, PlainDetectorConfig, even_colours

TINY = PlainDetectorConfig(
    num_classes=2, window=(64, 64), stem=(8, 8, 16), dim=16, depth=1, heads=2, pyramid=(8, 16), unit=10
)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return PlainDetector(TINY).eval()


def test_outputs_at_stride_4(module):
    with torch.inference_mode():
        scores, boxes = module(torch.rand(2, 3, 64, 64))
        assert module.pyramid(torch.rand(1, 3, 64, 64)).shape == (1, 8, 16, 16)
    assert scores.shape == (2, 2, 16, 16)
    assert boxes.shape == (2, 4, 16, 16)
    assert 0 <= scores.min() <= scores.max() <= 1
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_sides_start_at_cell_centres():
    sides = torch.zeros(1, 4, 3, 5)
    sides[:, 0] = 1  # left
    sides[:, 3] = 2  # bottom
    boxes = boxes_from_sides(sides, 4)
    assert boxes[0, :, 2, 4].tolist() == [17, 10, 18, 12]


def test_scores_do_not_see_gain_and_offset_of_the_light(module):
    image = torch.rand(1, 3, 64, 64)
    gain = torch.tensor([0.8, 0.9, 0.7])[None, :, None, None]
    assert torch.allclose(even_colours(image + 0.2), even_colours(image), atol=1e-5)
    near = (even_colours(image * gain) - even_colours(image)).abs().max()
    assert near < 0.35 * (image * gain - image).abs().max() / image.std()
    flat = even_colours(torch.full((1, 3, 8, 8), 0.3))
    assert flat.abs().max() < 1e-4


def test_windows_of_a_batch_are_independent(module):
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        together = module(images)
        alone = module(images[1:2])
    for many, one in zip(together, alone, strict=True):
        assert torch.allclose(many[1:2], one, atol=1e-4)


def test_the_exported_graph_agrees(module, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export = pytest.importorskip("vitapps.shared_backbones.engines.export")
    path = tmp_path / "tiny.onnx"
    example = torch.rand(1, 3, 64, 64)
    export.export_graph(module, example, path, ["scores", "boxes"], half=False)
    session = onnxruntime.InferenceSession(str(path))
    images = torch.rand(2, 3, 64, 64)
    found = session.run(["scores", "boxes"], {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        wanted = module(images)
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(torch.from_numpy(a), b, rtol=1e-3, atol=1e-3)
