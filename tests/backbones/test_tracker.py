"""The one-stream tracker: shapes, boxes in pixels, the template's influence, and its loss."""

from __future__ import annotations

import pytest
import torch

from vitapps.pipelines.video.track_loss import centre_cells, misfit, overlaps, tracking_loss
from vitapps.shared_backbones.distill.adaptive_features import adaptive_feature_loss, difficulty_weights
from vitapps.shared_backbones.models import build
from vitapps.shared_backbones.models.tracker import Tracker, TrackerConfig, frame_example
from vitapps.shared_backbones.robust.cox_masking import GREY, covered, cox_counts, invariance_loss

SMALL = TrackerConfig(search=96, template=64, dim=32, depth=1, heads=2)


@pytest.fixture
def tracker() -> Tracker:
    torch.manual_seed(0)
    return Tracker(SMALL).eval()


def test_shapes_and_boxes_in_pixels(tracker: Tracker) -> None:
    scores, boxes = tracker(torch.rand(2, 4, 96, 160))
    assert scores.shape == (2, 1, 6, 6) and boxes.shape == (2, 4, 6, 6)
    assert ((scores > 0) & (scores < 1)).all()
    centre = (torch.arange(6) + 0.5) * 16
    assert (boxes[:, 0] < centre[None, None]).all() and (boxes[:, 2] > centre[None, None]).all()
    assert (boxes[:, 1] < centre[None, :, None]).all() and (boxes[:, 3] > centre[None, :, None]).all()
    assert sum(part.numel() for part in Tracker(TrackerConfig()).parameters()) < 2_500_000
    assert frame_example(SMALL).shape == (1, 4, 96, 160)


def test_template_and_its_mask_count_and_the_unused_corner_does_not(tracker: Tracker) -> None:
    image = torch.rand(1, 4, 96, 160)
    first = tracker(image)[0]
    for region, matters in (((0, 0, 96), True), ((3, 0, 96), True), ((0, 64, 96), False), ((3, 0, 0), False)):
        channel, row, column = region
        changed = image.clone()
        changed[:, channel, row : row + 32, column : column + 32] = (
            1 - changed[:, channel, row : row + 32, column : column + 32]
        )
        assert (tracker(changed)[0] != first).any() == matters


def test_search_and_template_share_positions(tracker: Tracker) -> None:
    """The template's middle has the position of the search region's middle."""
    last = tracker.patch_embed.proj[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    tracker.likeness = None  # what is left of a token is its place and type
    tokens = tracker.embed(torch.zeros(1, 4, 96, 160))
    search, template = tokens[:, :36].unflatten(1, (6, 6)), tokens[:, 36:].unflatten(1, (4, 4))
    kinds = tracker.kind[1] - tracker.kind[0]
    assert torch.allclose(template[0, 1, 1] - kinds, search[0, 2, 2], atol=1e-6)
    assert not torch.allclose(template[0, 1, 1] - kinds, search[0, 1, 1], atol=1e-2)


def test_the_architecture_is_known_by_name() -> None:
    module = build("tracker", {"search": 96, "template": 64, "dim": 32, "depth": 1, "heads": 2})
    assert isinstance(module, Tracker) and module.config == SMALL


def test_overlaps_by_hand() -> None:
    one, other = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]])
    iou, generalised = overlaps(one, other)
    assert iou.item() == pytest.approx(1 / 3, abs=1e-4)
    assert generalised.item() == pytest.approx(1 / 3, abs=1e-4)  # the hull is the union
    _, far = overlaps(one, torch.tensor([[8.0, 0, 10, 2]]))
    assert far.item() == pytest.approx(-12 / 20, abs=1e-4)


def test_cells_of_a_box() -> None:
    cells = centre_cells(torch.tensor([[16.0, 16, 80, 48], [40.0, 40, 44, 44]]), 6)
    assert cells[0].nonzero().tolist() == [[2, 2], [2, 3]] or cells[0].sum() >= 2
    assert cells[1].nonzero().tolist() == [[2, 2]], "a box smaller than a token has the nearest"


def test_the_loss_falls_on_one_batch() -> None:
    torch.manual_seed(0)
    module = Tracker(SMALL)
    image, box = torch.rand(4, 4, 96, 160), torch.tensor([[30.0, 30, 60, 70]]).repeat(4, 1)
    present = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    values = []
    for _ in range(16):
        value = tracking_loss(*module.forward_logits(image), box, present)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]


def test_covers_come_from_a_cox_process() -> None:
    counts = cox_counts(20_000, 6, 9.0, torch.Generator().manual_seed(2)).sum(dim=(1, 2))
    error = counts.std() / len(counts) ** 0.5
    assert abs(counts.mean() - 9.0) < 3 * error
    assert counts.var() / counts.mean() > 1.1, "a Poisson process would have 1"


def test_invariance_to_covered_templates(tracker: Tracker) -> None:
    image, counts = torch.rand(2, 4, 96, 160), torch.zeros(2, 4, 4)
    assert invariance_loss(tracker, image, counts) == 0
    counts[0, 1, 1] = 2
    assert invariance_loss(tracker, image, counts) > 0
    hidden = covered(image, 64, counts)
    assert (hidden[0, :3, 16:32, 96 + 16 : 96 + 32] == GREY).all()
    hidden[0, :3, 16:32, 96 + 16 : 96 + 32] = image[0, :3, 16:32, 96 + 16 : 96 + 32]
    assert torch.equal(hidden, image)


def test_correlations_find_the_object_before_any_training() -> None:
    """The likeness maps of a pasted template peak, on the whole, where it was pasted."""
    torch.manual_seed(0)
    tracker = Tracker(TrackerConfig(dim=64, depth=1)).eval()
    image = torch.zeros(1, 4, 192, 288)
    image[:, :3, :, :192] = torch.rand(1, 3, 192, 192)
    template = torch.rand(1, 3, 96, 96)
    image[:, :3, :96, 192:], image[:, 3, 24:72, 216:264] = template, 1
    image[:, :3, 96:144, 32:80] = template[:, :, 24:72, 24:72]
    pixels = (image[:, :3] - tracker.mean) / tracker.std
    fine = [tracker._patches(part)[1] for part in (pixels[..., :192], pixels[:, :, :96, 192:])]
    maps = tracker._correlations(fine[0], fine[1], image[:, 3:, :96, 192:])[0].unflatten(0, (12, 12))  # 12 12 24 24
    assert (maps[0] == 0).all(), "the template's border is background"
    row, column = divmod(int(maps[5, 5].argmax()), 24)
    assert (row, column) == (12 + 2, 4 + 2)


def test_distillation_weighs_hard_samples_more() -> None:
    loss = torch.tensor([0.2, 0.4, 0.9], requires_grad=True)
    weights = difficulty_weights(loss, 1.0, 0.5)
    assert weights.tolist() == pytest.approx([0.85, 0.95, 1.2]) and not weights.requires_grad
    assert weights.mean().item() == pytest.approx(1.0), "the base on average"
    assert difficulty_weights(loss, 0.1, 5.0).min() == 0
    student, teacher = torch.rand(3, 4, 5), torch.rand(3, 4, 5)
    plain = adaptive_feature_loss(student, teacher, difficulty_weights(loss, 1.0, 0.0))
    assert plain.item() == pytest.approx((student - teacher).square().mean().item())
    assert adaptive_feature_loss(student, student, weights) == 0


def test_misfit_of_each_sample_is_that_of_its_own_box() -> None:
    drawn = torch.tensor([[16.0, 16, 80, 48]]).repeat(3, 1)
    boxes = drawn[:, :, None, None].expand(3, 4, 6, 6).clone()
    boxes[1, 0] -= 16  # a quarter too wide
    found = misfit(boxes, drawn, torch.tensor([[1.0], [1.0], [0.0]]))
    assert found.tolist() == pytest.approx([0.0, 0.2, 0.0], abs=1e-5)
