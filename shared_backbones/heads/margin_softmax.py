"""Angular margins of face recognition: the true class must win by an angle or by a cosine.

    logit of another class   s cos(theta_j)
    logit of the true class  s (cos(m1 theta_y + m2) - m3)

ArcFace (Deng et al. 2019, arXiv:1801.07698, eq. 4) is m2 = 0.5, CosFace (Wang et al. 2018, arXiv:1801.09414, eq. 4) is
m3 = 0.35, SphereFace is m1. Past theta where m1 theta + m2 = pi the cosine would rise again; there the logit goes on
linearly in cos(theta) with slope 1, so that it stays monotone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitapps.errors import UsageError

CARD = {
    "id": "ArcFace",
    "name": "margin_softmax",
    "family": "heads",
    "paper": "Deng et al. 2019, arXiv:1801.07698; Wang et al. 2018, arXiv:1801.09414",
    "equation": "ArcFace eq. 4 (combined margin)",
    "deviations": "linear continuation where the angle with its margin passes pi",
    "slots": [],
    "cost": "O(B) on top of the logits",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """`scale` s; `multiply` m1, `add` m2 (radians), `subtract` m3."""

    scale: float = 64.0
    multiply: float = 1.0
    add: float = 0.5
    subtract: float = 0.0

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.multiply < 1 or not 0 <= self.add < math.pi or self.subtract < 0:
            raise UsageError(f"margin {self}", hint="scale > 0, multiply >= 1, 0 <= add < pi, subtract >= 0")


ARCFACE = Margin()
COSFACE = Margin(add=0.0, subtract=0.35)


def margin_logits(cosines: Tensor, places: Tensor, margin: Margin = ARCFACE) -> Tensor:
    """Logits B K of cosines B K; `places` B is the column of the true class, -1 where it is none of these columns."""
    rows = torch.nonzero(places >= 0)[:, 0]
    columns = places[rows]
    true = with_margin(cosines[rows, columns], margin)
    return margin.scale * cosines.index_put((rows, columns), true)


def with_margin(cosine: Tensor, margin: Margin = ARCFACE) -> Tensor:
    """cos(m1 theta + m2) - m3 of cosines, any shape."""
    if margin.multiply == 1 and margin.add == 0:
        return cosine - margin.subtract
    theta = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    turn = (math.pi - margin.add) / margin.multiply  # the largest angle before the cosine rises again
    beyond = cosine - math.cos(turn) - 1.0
    return torch.where(theta <= turn, torch.cos(margin.multiply * theta + margin.add), beyond) - margin.subtract
