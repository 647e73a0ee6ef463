"""Learned rounding: every weight goes up or down so that the layer's output, not the weight, changes least (Nagel et
al. 2020, arXiv:2004.10568, which the study of gradient-based quantization of ViTs builds on)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig
from vitapps.shared_backbones.quantization._quantizers import Quantizer, Rows

CARD = {
    "id": "S051",
    "name": "adaround",
    "family": "quantization",
    "paper": "gradient-based post-training quantization of ViTs; the rounding is Nagel et al. 2020, arXiv:2004.10568",
    "equation": "Nagel et al. eq. 21-25: rectified sigmoid h(V), regulariser annealed to 0 or 1",
    "deviations": "layer by layer on the Gram matrix of the rounded inputs; flips of one weight or two that still "
    "lower the error follow the gradient steps, so that nearest rounding is never better on the calibration set",
    "slots": [],
    "cost": "one more pass over the calibration set; STEPS products out in x in in for every layer",
    "status": "paper",
}

STEPS = 150
RATE = 0.05
LOW, HIGH = -0.1, 1.1  # gamma and zeta of the rectified sigmoid
PENALTY = 0.02  # of an undecided weight, in units of the error of nearest rounding
BETA = (20.0, 2.0)  # the regulariser's exponent, from the first to the last step
WARM = 0.2  # of the steps, before the regulariser sets in
FLIPS = 64  # passes at most
NEAR = 16  # weights of a row whose pairs are tried


class LearnedRows(Rows):
    """`Rows` whose rounding direction is learned. `observe` sums the Gram matrix of what the layer reads."""

    learns = True

    def __init__(self, bits: int, out: int) -> None:
        super().__init__(bits, out)
        self._gram: Tensor | None = None

    def observe(self, x: Tensor) -> None:
        """Add inputs ... in, as the layer reads them (rounded already)."""
        flat = x.detach().float().reshape(-1, x.shape[-1])  # ... C -> R C
        gram = flat.t() @ flat  # R C -> C C
        self._gram = gram if self._gram is None else self._gram + gram

    def settle(self, weight: Tensor) -> Tensor:
        """Calibrate on `weight` out in and return it rounded in the direction that the outputs ask for."""
        self.calibrate(weight)
        if self._gram is None:
            return super().settle(weight)
        gram, self._gram = self._gram / self._gram.diagonal().mean().clamp_min(1e-12), None
        return learn_rounding(weight, self.scale, self.zero, self.top, gram)


@torch.enable_grad()
def learn_rounding(weight: Tensor, scale: Tensor, zero: Tensor, top: int, gram: Tensor) -> Tensor:
    """`weight` out in on the grid (code - zero) scale, code 0..top, with the rows' `scale` and `zero`; minimises
    tr(D G D') of D = rounded - weight and the Gram matrix G in in."""
    steps = weight.detach().float() / scale[:, None]
    v, down, up = start_of_rounding(steps, zero, top)
    nearest = torch.where(v.detach().sigmoid() > 0.5, up, down)
    unit = _error(nearest - steps, gram, scale).sum().clamp_min(1e-20)
    optimizer = torch.optim.Adam([v], lr=RATE)
    for step in range(STEPS):
        h = soft_rounding(v)
        loss = _error(down + h * (up - down) - steps, gram, scale).sum() / unit
        if step >= WARM * STEPS:
            done = (step / STEPS - WARM) / (1 - WARM)
            beta = BETA[0] + (BETA[1] - BETA[0]) * done
            loss = loss + PENALTY * (1 - (2 * h - 1).abs().pow(beta)).mean() * h.shape[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = torch.where(soft_rounding(v.detach()) > 0.5, up, down)
    better = _error(learned - steps, gram, scale) < _error(nearest - steps, gram, scale)  # out
    start = torch.where(better[:, None], learned, nearest)
    return (_flip(start, down, up, steps, gram) * scale[:, None]).to(weight.dtype)


def start_of_rounding(steps: Tensor, zero: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """(v to be learned, codes below, codes above), out in each, of weights in units of their rows' scales; codes count
    from the rows' `zero`, so that code times scale is the value. At first `soft_rounding(v)` is the weight itself."""
    base, zero = steps.floor(), zero[:, None]
    down, up = ((base + zero + move).clamp(0, top) - zero for move in (0, 1))
    share = (steps - base).clamp(1e-3, 1 - 1e-3)
    return torch.log((share - LOW) / (HIGH - share)).requires_grad_(), down, up


def soft_rounding(v: Tensor) -> Tensor:
    """The rectified sigmoid, 0 (down) to 1 (up)."""
    return (v.sigmoid() * (HIGH - LOW) + LOW).clamp(0, 1)


def _error(difference: Tensor, gram: Tensor, scale: Tensor) -> Tensor:
    """Squared output error of every row, out in -> out."""
    return ((difference @ gram) * difference).sum(1) * scale.square()


def _flip(codes: Tensor, down: Tensor, up: Tensor, steps: Tensor, gram: Tensor) -> Tensor:
    """Per row, turn over the weight or the pair of weights that lowers its error most, until none does."""
    diagonal, rows = gram.diagonal(), torch.arange(len(codes), device=codes.device)
    near = min(NEAR, codes.shape[1])
    for _ in range(FLIPS):
        move = down + up - 2 * codes  # out in: what turning over adds to a code
        gain = 2 * move * ((codes - steps) @ gram) + move.square() * diagonal  # change of the error by each flip
        cheap, at = gain.topk(near, largest=False)  # out k
        moves = move.gather(1, at)
        pair = cheap[:, :, None] + cheap[:, None, :]  # out k k
        pair = pair + 2 * moves[:, :, None] * moves[:, None, :] * gram[at[:, :, None], at[:, None, :]]
        pair.diagonal(dim1=1, dim2=2).copy_(cheap)  # a weight with itself: one flip
        best, which = pair.flatten(1).min(1)
        wins = best < -1e-9
        if not bool(wins.any()):
            break
        first, second = at[rows, which // near], at[rows, which % near]
        turned = torch.zeros_like(codes, dtype=torch.bool)
        turned[rows[wins], first[wins]] = True
        turned[rows[wins], second[wins]] = True
        codes = torch.where(turned, down + up - codes, codes)
    return codes


class AdaRound(Method):
    """Min-max ranges, learned rounding of weights."""

    def weight(self, linear: nn.Linear) -> Quantizer:
        return LearnedRows(self.config.weight_bits, linear.out_features)


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return AdaRound(config)
