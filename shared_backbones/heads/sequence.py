"""Heads that write a sequence: a class for every token, made one string by CTC (Graves et al. 2006)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BLANK = 0  # class of "no character here"


class CtcHead(nn.Module):
    """Logits of `num_chars` characters and the blank (class 0) at every token: B N C -> B N 1+num_chars.

    An untrained head says blank nearly everywhere, which is where CTC training arrives first anyway.
    """

    def __init__(self, dim: int, num_chars: int) -> None:
        super().__init__()
        self.classes = nn.Linear(dim, 1 + num_chars)
        nn.init.trunc_normal_(self.classes.weight, std=0.02)
        nn.init.zeros_(self.classes.bias)
        with torch.no_grad():
            self.classes.bias[BLANK] = 2.0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classes(x)  # B N C -> B N 1+num_chars
        return out


def ctc_loss(logits: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Negative log likelihood of the strings, per character (Graves et al. 2006, eq. 8), in float32.

    `logits` B N K; `targets` B L classes from 1, padded with 0 behind `lengths` B. A string that does not fit into N
    tokens counts nothing.
    """
    log_probs = functional.log_softmax(logits.float(), dim=-1).transpose(0, 1)  # B N K -> N B K
    sizes = torch.full_like(lengths, logits.shape[1])
    losses = functional.ctc_loss(log_probs, targets, sizes, lengths, BLANK, reduction="none", zero_infinity=True)
    return losses.sum() / lengths.sum().clamp_min(1)
