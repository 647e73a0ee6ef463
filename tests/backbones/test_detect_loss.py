import numpy as np
import torch

from vitapps.shared_backbones.heads.detect_loss import centre_loss, detection_loss, giou, make_targets


def _maps(box):
    return torch.tensor(box, dtype=torch.float32).reshape(1, 4, 1, 1)


def test_giou_by_hand():
    assert giou(_maps([0, 0, 10, 10]), _maps([0, 0, 10, 10])).item() == 1
    assert torch.isclose(giou(_maps([0, 0, 10, 10]), _maps([5, 0, 15, 10])), torch.tensor(1 / 3)).all()
    # apart: IoU 0, hull 30 x 10, union 200
    assert torch.isclose(giou(_maps([0, 0, 10, 10]), _maps([20, 0, 30, 10])), torch.tensor(-1 / 3)).all()


def test_targets_sit_at_the_centres():
    boxes = np.array([[8, 16, 40, 48], [100, 100, 120, 112]], np.float32)
    heat, target = make_targets(boxes, 128, 4)
    rows, columns = np.nonzero(heat[0].numpy() >= 0.999)
    assert sorted(zip(rows, columns, strict=True)) == [(8, 6), (26, 27)]
    assert target[:, 8, 6].tolist() == [8, 16, 40, 48]
    assert heat[0, 8, 7] < 1
    assert heat[0, 0, 31] < 1e-3
    assert target[:, 0, 31].tolist() == [0, 0, 0, 0]


def test_the_smaller_of_two_concentric_boxes_owns_the_centre():
    boxes = np.array([[44, 44, 84, 84], [60, 60, 68, 68]], np.float32)
    for order in ([0, 1], [1, 0]):
        _, target = make_targets(boxes[order], 128, 4)
        assert target[:, 16, 16].tolist() == [60, 60, 68, 68]


def test_no_box_at_all_is_finite():
    heat, target = make_targets(np.zeros((0, 4), np.float32), 64, 4)
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    loss = detection_loss(logits, torch.zeros(1, 4, 16, 16), heat[None], target[None])
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_right_answers_cost_less():
    heat, target = make_targets(np.array([[8, 8, 40, 40]], np.float32), 64, 4)
    right = torch.where(heat >= 0.999, 6.0, -6.0)[None]
    assert centre_loss(right, heat[None]) < 0.1 * centre_loss(torch.zeros(1, 1, 16, 16), heat[None])
    assert centre_loss(-right, heat[None]) > centre_loss(torch.zeros(1, 1, 16, 16), heat[None])
    good = detection_loss(right, target[None], heat[None], target[None])
    assert good < detection_loss(right, target[None] + 8, heat[None], target[None])


def test_heat_near_a_centre_is_forgiven():
    heat, _ = make_targets(np.array([[0, 0, 64, 64]], np.float32), 64, 4)
    near, far = torch.full((1, 1, 16, 16), -8.0), torch.full((1, 1, 16, 16), -8.0)
    near[..., 8, 9] = 2.0
    far[..., 0, 0] = 2.0
    assert centre_loss(near, heat[None]) < centre_loss(far, heat[None])


def test_what_is_ignored_costs_nothing() -> None:
    """Logits inside an ignored box change nothing, those outside do, and a box inside is still learnt."""
    boxes, beside = np.array([[8, 8, 24, 40]], np.float32), np.array([[32, 0, 64, 64]], np.float32)
    heat, target = make_targets(boxes, 64, 4, ignored=beside)
    logits, found = torch.zeros(1, 1, 16, 16), torch.rand(1, 4, 16, 16) * 64
    loss = detection_loss(logits, found, heat[None], target[None])
    inside, outside = logits.clone(), logits.clone()
    inside[..., 3, 12], outside[..., 14, 2] = 3.0, 3.0
    assert torch.allclose(detection_loss(inside, found, heat[None], target[None]), loss, atol=1e-4)
    assert detection_loss(outside, found, heat[None], target[None]) > loss + 0.1
    covered, of_covered = make_targets(boxes, 64, 4, ignored=np.array([[0, 0, 64, 64]], np.float32))
    assert covered[0, 6, 4] == 1 and (of_covered[2, 6, 4] == 24)
