"""PPCR: old classifier rows stand for the domains whose faces are gone, and keep new features away from the wrong ones.

    loss = - log [ sum of exp(z.p / t) over the proxies p of z's own class / sum over all proxies ]

z: the L2-normalised feature, p: L2-normalised rows of earlier domains' classifiers, frozen. No face is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError

CARD = {
    "id": "S098",
    "name": "ppcr",
    "family": "peft",
    "paper": "rehearsal-free domain continual face anti-spoofing (DCDCA + PPCR)",
    "equation": "proxy prototype contrastive regularisation",
    "deviations": "all proxies of a class count as positives, log of their sum",
    "slots": [],
    "cost": "B P C",
    "status": "paper",
}


def proxy_loss(features: Tensor, labels: Tensor, proxies: Tensor, classes: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean over the batch: `features` B C, `labels` B, `proxies` P C of classes `classes` P, both kinds of each domain.

    UsageError where a label has no proxy."""
    own = labels[:, None] == classes[None]  # B P
    if not bool(own.any(dim=1).all()):
        raise UsageError("a label without a proxy", hint="give the classifier rows of every class")
    alike = functional.normalize(features, dim=1) @ functional.normalize(proxies.detach(), dim=1).T / temperature
    positive = alike.masked_fill(~own, float("-inf")).logsumexp(dim=1)
    loss: Tensor = (torch.logsumexp(alike, dim=1) - positive).mean()
    return loss
