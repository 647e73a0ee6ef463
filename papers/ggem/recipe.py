"""GGeM on 196 random positive tokens."""

from __future__ import annotations

from itertools import pairwise

from vitapps.papers.recipes import Wish
from vitapps.require import require


def measure(wish: Wish) -> dict[str, float]:
    """Pooling by exponents from 1 to 100, four groups of eight channels."""
    torch = require("torch")
    from vitapps.shared_backbones.pooling.ggem import GroupedGem

    torch.manual_seed(0)
    tokens = torch.rand(2, 196, 32) + 0.05  # B N C
    with torch.inference_mode():
        pooled = [GroupedGem(32, 4, init=p)(tokens, 0) for p in (1.0, 2.0, 3.0, 8.0, 30.0, 100.0)]
    return {
        "p = 1 less the mean": float((pooled[0] - tokens.mean(dim=1)).abs().max()),
        "p = 100, share of the maximum": float((pooled[-1] / tokens.amax(dim=1)).min()),
        "least growth from one exponent to the next": min(float((two - one).min()) for one, two in pairwise(pooled)),
    }
