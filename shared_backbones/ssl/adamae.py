"""AdaMAE: which tubelets the encoder sees is learned, so that what is hard to guess is seen and the rest hidden.

    sampler   one block of attention over all embedded tubelets, a linear layer, a distribution over them
    seen      a few per cent of them, drawn without replacement
    rebuilt   all others, mean squared error of normalised pixels (as VideoMAE)
    sampler's loss   - log p of every hidden tubelet, weighed by its error (REINFORCE with the error as reward)

Neither loss reaches the other's weights: the sampler sees embeddings without gradient, the errors come without one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import Block, ViT, ViTConfig
from vitapps.shared_backbones.ssl._clip_tokens import (
    check_clip_encoder,
    encode,
    gather,
    grid_of,
    normalised_tubelets,
    pixel_decoder,
)

CARD = {
    "id": "S154",
    "name": "adamae",
    "family": "ssl",
    "paper": "Bandara et al. 2023, arXiv:2211.09120",
    "equation": "eq. 1-3 (sampling network), eq. 5-6 (expected reward)",
    "deviations": "a whole transformer block in the sampler; its loss is a mean and not scaled, being apart",
    "slots": [],
    "cost": "encoder on (1 - hidden) of the tokens; sampler and decoder on all",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaMaeConfig:
    """`hidden`: share of tubelets that the encoder does not see."""

    hidden: float = 0.95
    decoder_dim: int = 192
    decoder_depth: int = 4
    decoder_heads: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaMaeLoss:
    """`rebuild` trains encoder and decoder, `sample` the sampler; `error` B M of each hidden tubelet."""

    rebuild: Tensor
    sample: Tensor
    error: Tensor


class AdaMae(nn.Module):
    """Pre-trains `encoder`, a ViT of tubelets without class token; `forward(B C T H W) -> loss`."""

    def __init__(self, encoder: ViT, config: AdaMaeConfig) -> None:
        super().__init__()
        check_clip_encoder(encoder, "AdaMAE")
        self.encoder, self.config = encoder, config
        self.decoder = pixel_decoder(encoder, config.decoder_dim, config.decoder_depth, config.decoder_heads)
        dim, heads = encoder.config.dim, encoder.config.heads
        self.mixer = Block(ViTConfig(dim=dim, heads=heads, depth=1), 0)
        self.score = nn.Linear(dim, 1)
        nn.init.zeros_(self.score.weight)  # all tubelets alike at first
        nn.init.zeros_(self.score.bias)

    def forward(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        found = self.losses(clip, generator)
        return found.rebuild + found.sample

    def losses(self, clip: Tensor, generator: torch.Generator | None = None) -> AdaMaeLoss:
        """Both losses of B C T H W."""
        patch = self.encoder.config.patch
        grid = grid_of(clip, patch)
        chances = self.log_chances(clip)  # B N
        seen, hidden = draw(chances, self.visible(chances.shape[1]), generator)
        order = torch.cat([seen, hidden], dim=1)
        rebuilt = self.decoder(encode(self.encoder, clip, seen), order, grid)[:, seen.shape[1] :]  # -> B M P
        error = (rebuilt - gather(normalised_tubelets(clip, patch), hidden)).square().mean(dim=2)  # B M
        reward = -(chances.gather(1, hidden) * error.detach()).mean()
        return AdaMaeLoss(rebuild=error.mean(), sample=reward, error=error)

    def visible(self, tubelets: int) -> int:
        """How many of them the encoder sees, rounded up; UsageError where that is none or all."""
        count = math.ceil(tubelets * (1 - self.config.hidden) - 1e-9)
        if not 0 < count < tubelets:
            raise UsageError(f"hidden {self.config.hidden:g} of {tubelets}", hint="some hidden, some seen")
        return count

    def log_chances(self, clip: Tensor) -> Tensor:
        """Log probability of each tubelet to be seen, B C T H W -> B N; no gradient reaches the encoder."""
        tokens, _ = self.encoder.embed(clip)
        mixed, _ = self.mixer(tokens.detach(), None, None, None)
        return torch.log_softmax(self.score(mixed).squeeze(2), dim=1)


def draw(chances: Tensor, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """(`count` numbers drawn without replacement by the log probabilities B N, the others), B count and B N-count.

    The largest of log p plus Gumbel noise are such a draw (Kool et al. 2019, arXiv:1903.06059, section 2.3)."""
    uniform = torch.rand(chances.shape, generator=generator).clamp(1e-9, 1 - 1e-7).to(chances.device)
    order = (chances.detach() - (-uniform.log()).log()).argsort(dim=1, descending=True)
    return order[:, :count], order[:, count:]
