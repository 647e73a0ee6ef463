"""Partial FC: the whole sample against the softmax written from the papers' equations, and a tenth of the centres."""

from __future__ import annotations

import statistics

from vitapps.papers.recipes import Wish
from vitapps.pipelines.runtime.measure import cpu_seconds
from vitapps.require import require

_BATCH, _DIM = 64, 512


def measure(wish: Wish) -> dict[str, float]:
    """Differences at rate 1 and the time of a step at rate 0.1, of 200,000 classes (quick: 40,000)."""
    torch = require("torch")
    torch.set_num_threads(1)
    loss, gradient = _differences()
    full, part = _seconds(40_000 if wish.quick else 200_000)
    return {
        "rate 1: difference of the loss from the full softmax": loss,
        "rate 1: largest difference of a centre's gradient": gradient,
        "rate 0.1: share of the full softmax's time": part / full,
    }


def _differences() -> tuple[float, float]:
    import torch
    from torch.nn import functional

    from vitapps.shared_backbones.heads.margin_softmax import ARCFACE
    from vitapps.shared_backbones.heads.partial_fc import PartialFC

    torch.manual_seed(0)
    head, labels = PartialFC(500, 32), torch.randint(500, (16,))
    embeddings = torch.randn(16, 32)
    loss = head(embeddings, labels)
    loss.backward()
    centres = head.centres.detach().clone().requires_grad_()
    cosines = functional.normalize(embeddings) @ functional.normalize(centres).T  # B K
    hot = functional.one_hot(labels, 500).bool()
    angles = torch.acos(cosines.clamp(-1 + 1e-6, 1 - 1e-6))
    logits = ARCFACE.scale * torch.where(hot, torch.cos(angles + ARCFACE.add) - ARCFACE.subtract, cosines)
    wanted = -logits.log_softmax(1)[hot].mean()
    wanted.backward()
    assert centres.grad is not None and head.centres.grad is not None
    return abs(float(loss - wanted)), float((head.centres.grad - centres.grad).abs().max())


def _seconds(classes: int) -> tuple[float, float]:
    """CPU seconds of a step with all centres and with a tenth of them."""
    import torch

    from vitapps.shared_backbones.heads.partial_fc import LazySGD, PartialFC

    torch.manual_seed(0)
    embeddings, labels = torch.randn(_BATCH, _DIM), torch.randint(classes, (_BATCH,))
    found = []
    for rate in (1.0, 0.1):
        head = PartialFC(classes, _DIM, rate=rate)
        optimizer = LazySGD([head.centres], 0.1)

        def step(head: PartialFC = head, optimizer: LazySGD = optimizer) -> None:
            optimizer.zero_grad()
            head(embeddings, labels).backward()
            optimizer.step()

        step()
        found.append(statistics.median(cpu_seconds(step) for _ in range(3)))
    return found[0], found[1]
