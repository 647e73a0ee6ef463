import math
from pathlib import Path

import pytest
import torch
from torch import multiprocessing
from torch.nn import functional

from fakes.partial_fc_worker import CLASSES, DIM, batch, work
from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.margin_softmax import ARCFACE, COSFACE, Margin, margin_logits, with_margin
from vitapps.shared_backbones.heads.partial_fc import LazySGD, PartialFC


def _full(embeddings, labels, centres, margin):
    """The plain softmax over all classes, written from the papers' equations."""
    cosines = functional.normalize(embeddings) @ functional.normalize(centres).T
    hot = functional.one_hot(labels, len(centres)).bool()
    angles = torch.acos(cosines.clamp(-1 + 1e-6, 1 - 1e-6))
    logits = margin.scale * torch.where(hot, torch.cos(angles + margin.add) - margin.subtract, cosines)
    return -logits.log_softmax(1)[hot].mean()


@pytest.mark.parametrize("margin", [ARCFACE, COSFACE])
def test_the_whole_sample_is_the_full_softmax(margin):
    head = PartialFC(CLASSES, DIM, margin=margin)
    with torch.no_grad():
        head.centres.copy_(torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(1)))
    embeddings, labels = batch()
    loss = head(embeddings, labels)
    loss.backward()
    other, centres = embeddings.detach().requires_grad_(), head.centres.detach().clone().requires_grad_()
    wanted = _full(other, labels, centres, margin)
    wanted.backward()
    assert torch.allclose(loss, wanted, atol=1e-6)
    assert torch.allclose(embeddings.grad, other.grad, atol=1e-6)
    assert torch.allclose(head.centres.grad, centres.grad, atol=1e-6)
    cosines = functional.normalize(embeddings) @ functional.normalize(head.centres).T
    assert torch.equal(loss, functional.cross_entropy(margin_logits(cosines, labels, margin), labels))  # exactly


def test_positives_are_always_sampled_and_the_others_rest():
    head = PartialFC(200, DIM, rate=0.1)
    optimizer = LazySGD([head.centres], 0.1)
    labels = torch.tensor([5, 199, 5, 42])
    for _ in range(3):
        chosen, places = head.sample(labels)
        assert len(chosen) == 20
        assert torch.equal(chosen[places], labels)
    before = head.centres.detach().clone()
    head.draws.manual_seed(9)
    chosen, _ = head.sample(labels)
    head.draws.manual_seed(9)
    head(torch.randn(4, DIM), labels).backward()
    assert head.centres.grad.is_sparse
    optimizer.step()
    moved = (head.centres.detach() != before).any(dim=1)
    assert set(torch.nonzero(moved)[:, 0].tolist()) <= set(chosen.tolist())
    assert moved[labels].all()


def test_more_positives_than_the_rate_allows():
    head = PartialFC(10, DIM, rate=0.1)
    chosen, places = head.sample(torch.arange(7))
    assert chosen.tolist() == list(range(7)) and places.tolist() == list(range(7))


def test_the_lazy_optimizer_is_sgd_where_gradients_are_dense():
    start = torch.randn(4, 3)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    a, b = LazySGD([ours], 0.1, weight_decay=0.01), torch.optim.SGD([theirs], 0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        for parameter, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_margins_by_hand_and_monotone_past_pi():
    cosine = torch.cos(torch.tensor([0.3, 1.0, 2.0]))
    assert torch.allclose(with_margin(cosine), torch.cos(torch.tensor([0.8, 1.5, 2.5])), atol=1e-5)
    assert torch.allclose(with_margin(cosine, COSFACE), cosine - 0.35)
    angles = torch.linspace(0.01, math.pi - 0.01, 400)
    for margin in (ARCFACE, Margin(multiply=1.35, add=0.0), Margin(multiply=1.2, add=0.4, subtract=0.1)):
        values = with_margin(torch.cos(angles), margin)
        assert (values.diff() < 1e-6).all()
    untouched = margin_logits(torch.eye(3) * 0.5, torch.tensor([-1, -1, -1]))
    assert torch.equal(untouched, 64 * torch.eye(3) * 0.5)


def test_senseless_heads_are_refused():
    for words in ({"rate": 0.0}, {"rate": 1.5}):
        with pytest.raises(UsageError):
            PartialFC(5, DIM, **words)
    with pytest.raises(UsageError, match="outside 0 to 4"):
        PartialFC(5, DIM)(torch.randn(2, DIM), torch.tensor([0, 5]))
    with pytest.raises(UsageError):
        Margin(add=4.0)


def test_two_processes_equal_one(tmp_path, monkeypatch):
    """Half of the batch and half of the centres each: loss and every gradient are those of one process."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))  # of the spawned ones
    torch.manual_seed(0)
    centres = torch.randn(CLASSES, DIM)
    torch.save(centres, tmp_path / "centres.pt")
    multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    head = PartialFC(CLASSES, DIM)
    with torch.no_grad():
        head.centres.copy_(centres)
    embeddings, labels = batch()
    loss = head(embeddings, labels)
    loss.backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for part in parts:
        assert torch.allclose(part["loss"], loss, atol=1e-6)
    assert torch.allclose(torch.cat([part["centres"] for part in parts]), head.centres.grad, atol=1e-6)
    assert torch.allclose(torch.cat([part["embeddings"] for part in parts]), embeddings.grad, atol=1e-6)
