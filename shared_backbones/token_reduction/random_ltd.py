"""Random-LTD: in training, every block works on a random subset of the tokens of its own (Yao et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, ascending, drop

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S022",
    "name": "random_ltd",
    "family": "token_reduction",
    "paper": "Yao et al. 2022, Random-LTD, arXiv:2211.11586",
    "equation": "section 3.1: gather, block, scatter; section 3.2: the kept length grows linearly (`kept_length`)",
    "deviations": "prefix tokens are always kept (the paper gives [CLS] no such rule); no LayerToken learning rates",
    "slots": ["reducer"],
    "cost": "saves r (C^2 + N C) a block and step",
    "status": "paper",
}


class RandomLTD(Reducer):
    """Dropped tokens pass the block bit for bit. In evaluation nothing is dropped."""

    stage = "before"
    span = 1

    def limit(self, patches: int) -> int:
        return max(patches - 1, 0) if self.training else 0

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        batch, patches = x.shape[0], x.shape[1] - state.prefix
        order = torch.rand(batch, patches, device=x.device).argsort(dim=1)
        return drop(x, state, ascending(order[:, r:]), parked=x)


def kept_length(step: int, *, patches: int, first: int, steps: int) -> int:
    """Patches that stay at `step`: `first` at step 0, linearly up to all `patches` from step `steps` on (eq. 1)."""
    if not 0 < first <= patches or steps < 1 or step < 0:
        raise UsageError(f"kept length {first} of {patches} over {steps} steps", hint="0 < first <= patches, steps > 0")
    return min(patches, first + (patches - first) * step // steps)


def build(config: ViTConfig) -> RandomLTD:
    """UsageError where the first or the last block would drop: the paper keeps both whole."""
    last = len(config.reduce) == config.depth and config.reduce[-1]
    if config.reduce and (config.reduce[0] or last):
        raise UsageError(f"random_ltd: reduce {config.reduce}", hint="0 in the first and in the last block")
    return RandomLTD()
