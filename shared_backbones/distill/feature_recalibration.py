"""Feature recalibration distillation: a slimmed student gives back all tokens, and they shall be the teacher's (Zong et
al. 2022, arXiv:2111.12624).

The teacher is the same network without slimming. A reverse module, which only training has, spreads the student's few
tokens over all places again.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.layers.mlp import Mlp

CARD = {
    "id": "S197",
    "name": "feature_recalibration",
    "family": "distill",
    "paper": "Zong et al. 2022, Self-slimmed Vision Transformer, arXiv:2111.12624",
    "equation": "eq. 5-9: reverse slimming, squared error to the teacher's tokens, KL of logits, hard labels",
    "deviations": "weights of the three terms are the caller's; the prefix tokens are compared as they are",
    "slots": [],
    "cost": "a forward pass of the teacher and an MLP over tokens for every compared block in training, nothing after",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RecalibrationWeights:
    """Of the three terms; `temperature` of the logits' KL divergence."""

    tokens: float = 2.0
    logits: float = 2.0
    labels: float = 1.0
    temperature: float = 1.0


class ReverseSlimming(nn.Module):
    """B n C -> B N C: an MLP over the tokens of every channel, then a residual one over the channels of every token."""

    def __init__(self, kept: int, whole: int, dim: int, ratio: float = 4.0) -> None:
        super().__init__()
        self.norm_tokens, self.norm_channels = nn.LayerNorm(dim), nn.LayerNorm(dim)
        hidden = round(whole * ratio)
        self.spread = nn.Sequential(nn.Linear(kept, hidden), nn.GELU(), nn.Linear(hidden, whole))
        self.mlp = Mlp(dim, round(dim * ratio), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        spread = self.spread(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)  # B n C -> B C N -> B N C
        out: Tensor = spread + self.mlp(self.norm_channels(spread))
        return out


def recalibration_loss(
    students: list[Tensor], teachers: list[Tensor], answers: tuple[Tensor, Tensor], labels: Tensor | None = None,
    weights: RecalibrationWeights | None = None,
) -> Tensor:  # fmt: skip
    """Scalar. `students` are recalibrated tokens B N C of the compared blocks, `teachers` theirs; `answers`: logits B K
    of student and teacher; `labels` B, None: none are known. No gradient reaches the teacher."""
    weights = weights or RecalibrationWeights()
    tokens = sum(functional.mse_loss(one, other.detach()) for one, other in zip(students, teachers, strict=True))
    own, other = (answer / weights.temperature for answer in answers)
    wanted = functional.log_softmax(other.detach(), dim=-1)
    near = functional.kl_div(functional.log_softmax(own, dim=-1), wanted, log_target=True, reduction="batchmean")
    loss = weights.tokens * tokens + weights.logits * weights.temperature**2 * near
    return loss if labels is None else loss + weights.labels * functional.cross_entropy(answers[0], labels)
