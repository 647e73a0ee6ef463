"""A ViT on images of any size at once, packed in one sequence (NaViT, Dehghani et al. 2023, arXiv:2307.06304; as in
Ocean-OCR and Qwen2.5-VL): nothing is resized, nothing is padded, nothing between images is computed.

Any trained `ViT` runs packed: its weights are used as they are, positions follow each image's own grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.options import Options
from vitapps.shared_backbones.attention.rotate import Rotation
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.models.vit import Block, ViT
from vitapps.shared_backbones.packing.first_fit import pack
from vitapps.shared_backbones.packing.sequence import PackedTokens, join, split

CARD = {
    "id": "S204",
    "name": "packed_vit",
    "family": "models",
    "paper": "Dehghani et al. 2023, arXiv:2307.06304 (S204); S061, S192",
    "equation": "section 2.1: packing, masked attention, masked pooling; factorised positions are posenc/factorised",
    "deviations": "first-fit decreasing instead of first come; sequences end where their images end, without padding",
    "slots": ["pos"],
    "cost": "O(depth sum over images (n C^2 + n^2 C))",
    "status": "paper",
}


def run_block(block: nn.Module, x: Tensor, **options: Unpack[Options]) -> Tensor:
    """A ViT's block without reducer, B N C -> B N C, with any options of `attend`."""
    assert isinstance(block, Block)
    mixed, _ = block.attn(block.norm1(x), **options)
    x = x + block.drop_path(block.ls1(mixed))
    out: Tensor = x + block.drop_path(block.ls2(block.mlp(block.norm2(x))))
    return out


class PackedViT:
    """Runs `vit` on lists of images; equal to the ViT on each image alone up to rounding. Not a module: the weights,
    their device and the training mode are those of `vit`."""

    def __init__(self, vit: ViT) -> None:
        if vit.config.attention != "softmax" or vit.config.reducer != "none":
            raise UsageError(
                f"packing with attention '{vit.config.attention}' and reducer '{vit.config.reducer}'",
                hint="packed sequences take softmax attention and no reducer",
            )
        self.vit = vit

    def __call__(self, images: Sequence[Tensor], capacity: int | None = None) -> Tensor:
        """Images in_chans *spatial each -> what the ViT's head says of each, in their order: K N_classes (or K C)."""
        return torch.cat([self.vit.forward_head(item) for item in self.forward_features(images, capacity)])

    def forward_features(self, images: Sequence[Tensor], capacity: int | None = None) -> list[Features]:
        """Images in_chans *spatial each -> the features of each (batch 1), in their order.

        `capacity`: tokens of a sequence, None puts all into one; images are shared out by `first_fit.pack`.
        """
        if not images:
            return []
        lengths = [self.count_tokens(image) for image in images]
        found: dict[int, Features] = {}
        for items in pack(lengths, capacity or sum(lengths)).sequences:
            packed = self.embed([images[item] for item in items])
            found |= dict(zip(items, split(self.run(packed), packed), strict=True))
        return [found[item] for item in range(len(images))]

    def count_tokens(self, image: Tensor) -> int:
        """Tokens that an image in_chans *spatial will have, prefix included."""
        config = self.vit.config
        sizes = [-(-size // step) for size, step in zip(image.shape[1:], config.patch, strict=True)]
        return config.prefix + torch.Size(sizes).numel()

    def embed(self, images: Sequence[Tensor]) -> PackedTokens:
        """Patch tokens of all images with prefix and positions, and their rotations."""
        tokens: list[Tensor] = []
        grids: list[tuple[int, ...]] = []
        ropes: list[Rotation | None] = []
        for image in images:
            own, grid = self.vit.embed(image.unsqueeze(0))  # in_chans *spatial -> 1 n C
            tokens.append(own)
            grids.append(grid)
            ropes.append(self.vit.rotation(grid))
        return join(tokens, ropes, grids)

    def run(self, packed: PackedTokens) -> Tensor:
        """All blocks and the final norm on a packed sequence, 1 N C -> 1 N C (stochastic depth drops a sequence)."""
        x = packed.tokens
        for block in self.vit.blocks:
            x = run_block(block, x, rope=packed.rope, cu_seqlens=packed.cu_seqlens)
        out: Tensor = self.vit.norm(x)
        return out
