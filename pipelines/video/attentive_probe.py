"""The attentive probe: one learned query over the tokens of a frozen clip network, then a linear layer.

As V-JEPA is judged (Bardes et al. 2024, arXiv:2404.08471, section 4), and TWLV-I compares networks (arXiv:2408.11318,
section 4): all networks under one sampling rule, a clip being told from the mean over its windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.shared_backbones.models.vit import ViTConfig
from vitapps.shared_backbones.pooling.attention import AttentionPool

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
_STEPS, _BATCH, _RATE = 300, 32, 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeFit:
    """`steps` of `batch` windows each."""

    steps: int = _STEPS
    batch: int = _BATCH
    rate: float = _RATE
    seed: int = 0


class AttentiveProbe(nn.Module):
    """`forward(tokens B N C) -> logits B K`."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        heads = next(count for count in (8, 4, 2, 1) if dim % count == 0)
        self.norm = nn.LayerNorm(dim)
        self.pool = AttentionPool(ViTConfig(dim=dim, heads=heads))
        self.head = nn.Linear(dim, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.norm(tokens), 0))
        return logits


def clip_tokens(weights: str, options: RunOptions) -> Callable[[Floats], Floats]:
    """The tokens B N C of views B C *size, by a card's network or a published VideoMAE checkpoint, in torch."""
    if options.threads:
        torch.set_num_threads(options.threads)
    if weights.startswith("hf:") or Path(weights).is_dir():
        from vitapps.shared_backbones.weights.published_video import load_published_video

        module = load_published_video(weights).module
        return _without_gradient(lambda views: module.forward_features(views).tokens)
    from vitapps.shared_backbones.models.clip_classifier import ClipClassifier
    from vitapps.shared_backbones.weights.cards import load_card
    from vitapps.shared_backbones.weights.load import load_module

    network = load_module(load_card(weights))
    if not isinstance(network, ClipClassifier):
        raise UsageError(f"weights '{weights}' give no tokens of clips", hint="--protocol linear")
    return _without_gradient(network.tokens)


def fit_probe(
    clips: Sequence[Floats], labels: Labels, classes: int, config: ProbeFit | None = None
) -> AttentiveProbe:  # fmt: skip
    """Train on the windows W N C of every clip, each class equally often, from a seed."""
    config = config or ProbeFit()
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    probe = AttentiveProbe(clips[0].shape[2], classes).train()
    optimizer = torch.optim.AdamW(probe.parameters(), config.rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    members = [np.flatnonzero(labels == label) for label in range(classes)]
    for _ in range(config.steps):
        wanted = np.arange(config.batch) % classes
        drawn = [clips[int(rng.choice(members[label]))] for label in wanted]
        tokens = torch.from_numpy(np.stack([windows[rng.integers(len(windows))] for windows in drawn])).float()
        loss = functional.cross_entropy(probe(tokens), torch.from_numpy(wanted), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return probe.eval()


def tell(probe: AttentiveProbe, clips: Sequence[Floats]) -> Floats:
    """Logits N K: log of the mean probability over the windows of each clip."""
    with torch.inference_mode():
        found = [
            probe(torch.from_numpy(windows).float()).log_softmax(1).logsumexp(0) - np.log(len(windows))
            for windows in clips
        ]
    return np.stack([item.numpy() for item in found]).astype(np.float32)


def _without_gradient(tokens: Callable[[Tensor], Tensor]) -> Callable[[Floats], Floats]:
    def run(views: Floats) -> Floats:
        with torch.inference_mode():
            return cast(Floats, tokens(torch.from_numpy(views)).numpy())

    return run
