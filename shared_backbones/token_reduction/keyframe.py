"""EVAD: of a clip's tokens those of the key frame stay, of the others the ones that attention finds important.

For spatio-temporal action detection (Chen et al. 2023, arXiv:2304.08451): people are found in the middle frame, whose
tokens must all survive; what happens before and after needs few. A dropped token comes back with the value that it had
when it went, so a dense head (regions of interest through time) finds the whole clip.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, ascending, drop, restore

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S163",
    "name": "keyframe",
    "family": "token_reduction",
    "paper": "Chen et al. 2023, EVAD, arXiv:2304.08451",
    "equation": "section 3.2: attention received by each token, queries of the key frame weighing more",
    "deviations": "key frame queries count four times; dropped tokens come back with their last value; an image's lines"
    " count as frames",
    "slots": ["reducer"],
    "cost": "O(h N^2 d) a reducing block, for the attention that each token receives",
    "status": "paper",
}
_KEY_WEIGHT = 4.0  # of a key frame's query, others 1


class KeyFrame(Reducer):
    """`times` slices along the first axis of `places` tokens each; the middle one is the key frame."""

    need: Need | None = "head_mean"

    def __init__(self, times: int, places: int) -> None:
        super().__init__()
        self.first, self.places = times // 2 * places, places

    def limit(self, patches: int) -> int:
        """The key frame always stays."""
        return max(patches - self.places, 0)

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        if metric is None:
            raise UsageError("the reducer ranks by received attention", hint="the attention must give head_mean")
        place = state.position - state.prefix  # B N, below 0: prefix
        key = (place >= self.first) & (place < self.first + self.places)
        weight = torch.where(key, _KEY_WEIGHT, 1.0).to(metric.dtype)  # B N, of queries
        received = (weight.unsqueeze(1) @ metric).squeeze(1) / weight.sum(dim=1, keepdim=True)  # B N, 0..1
        scores = (received + 2 * key.to(metric.dtype))[:, state.prefix :]  # key frame tokens are above all others
        kept = ascending(scores.topk(scores.shape[1] - r, dim=1).indices)  # B n-r
        return drop(x, state, kept, parked=restore(x, state))


def build(config: ViTConfig) -> KeyFrame:
    """Frames and places from the model's grid; it needs softmax attention."""
    if config.attention != "softmax":
        raise UsageError(f"reducer 'keyframe' reads softmax attention, not '{config.attention}'", hint="another one")
    return KeyFrame(config.grid[0], math.prod(config.grid[1:]))
