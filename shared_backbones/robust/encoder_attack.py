"""An attack on an image encoder alone: what uses its features follows, whatever it is.

I See Dead People (Lapid and Sipper 2023, arXiv:2306.07591, section 3): a change d of the picture x, bounded by eps,
that moves the features E(x + d) to those of a target picture, or away from E(x); nothing behind the encoder is asked.

    targeted    min |E(x + d) - E(t)|^2 / |E(t)|^2      untargeted    max |E(x + d) - E(x)|^2 / |E(x)|^2
    d <- clip(d -+ step sign(grad), -eps, eps), x + d in 0..1
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vitapps.errors import UsageError

CARD = {
    "id": "S003",
    "name": "encoder_attack",
    "family": "robust",
    "paper": "Lapid and Sipper 2023, arXiv:2306.07591",
    "equation": "section 3 (gray-box attack on the encoder)",
    "deviations": "signed gradients within an L-infinity ball in the place of Adam with a penalty on visible change",
    "slots": [],
    "cost": "one forward and backward pass of the encoder a step",
    "status": "paper",
}


def encoder_attack(
    encode: Callable[[Tensor], Tensor], images: Tensor, *, target: Tensor | None = None, eps: float = 8 / 255,
    steps: int = 100, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Images B C H W in 0..1, changed by at most `eps` a value, so that `encode` (B ... -> B D) gives the features of
    `target` B C H W, or others than before. The same for the same seed.

    Raises UsageError for eps or steps out of range.
    """
    if not 0 <= eps <= 1 or steps < 1:
        raise UsageError(f"eps {eps:g}, {steps} steps", hint="eps lies in 0 to 1, steps start at 1")
    with torch.no_grad():
        goal = encode(images if target is None else target).flatten(1)
    scale = goal.square().sum(dim=1).clamp(min=1e-12)  # B
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(seed)).to(images)
    change = ((2 * noise - 1) * eps / 4).requires_grad_(True)
    sign = 1.0 if target is None else -1.0
    for number in range(steps):
        away = (encode((images + change).clamp(0, 1)).flatten(1) - goal).square().sum(dim=1) / scale
        (slope,) = torch.autograd.grad(away.sum(), change)
        step = 2.5 * eps / steps * 2 * (1 - number / steps)
        with torch.no_grad():
            change += sign * step * slope.sign()
            change.clamp_(-eps, eps)
            change.copy_((images + change).clamp(0, 1) - images)  # what leaves 0..1 is no change
    return (images + change.detach()).clamp(0, 1)
