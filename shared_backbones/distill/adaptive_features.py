"""Feature distillation whose weight follows the difficulty of each sample (ORTrack-D's AFKD).

A student with fewer blocks mimics the tokens of a frozen teacher. Samples on which the student's own task loss is above
the average count more, easier ones less:

    weight_i = base + slope (l_i - mean l),     loss = mean_i weight_i * MSE(student tokens_i, teacher tokens_i)
"""

from __future__ import annotations

from torch import Tensor

CARD = {
    "id": "S029",
    "name": "adaptive_features",
    "family": "distill",
    "paper": "Wu et al. 2025, ORTrack, arXiv:2504.09228",
    "equation": "section on adaptive feature-based knowledge distillation: weight by the deviation of the IoU loss",
    "deviations": "the average is that of the batch; negative weights become 0; written from the paper's description,"
    " its equation and code were not at hand to compare",
    "slots": [],
    "cost": "a forward pass of the teacher in training, nothing at inference",
    "status": "paper",
}


def difficulty_weights(task_loss: Tensor, base: float, slope: float) -> Tensor:
    """B weights for the student's task loss B: `base` on average, unless one would be below 0. No gradient."""
    loss = task_loss.detach()
    return (base + slope * (loss - loss.mean())).clamp(min=0)


def adaptive_feature_loss(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """Mean over samples of weight * mean squared difference; features B ... of one shape, weights B."""
    difference = (student.float() - teacher.detach().float()).square().flatten(1).mean(dim=1)  # B
    return (weights * difference).mean()
