"""Unmasked teacher: a clip network from scratch learns the features of a frozen image network on what is not hidden.

teacher   an image ViT with class token, frame by frame; the class token's attention says which patches matter
seen      of every frame the same number of patches, drawn by that attention without replacement
loss      squared difference of unit features, student (projected) and teacher, on the seen patches of the last layers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import Block, ViT
from vitapps.shared_backbones.ssl._clip_tokens import check_clip_encoder, encode_layers, gather
from vitapps.shared_backbones.ssl.adamae import draw

CARD = {
    "id": "S277",
    "name": "umt",
    "family": "ssl",
    "paper": "Li et al. 2023, arXiv:2303.16058",
    "equation": "section 3.1 (semantic masking, unmasked alignment, eq. 1)",
    "deviations": "the first stage alone, without text; tubelets of one frame",
    "slots": [],
    "cost": "teacher on all frames without gradient, student on (1 - hidden) of the tokens, no decoder",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class UmtConfig:
    """`hidden`: share of patches that the student does not see; `layers`: how many of the last are compared."""

    hidden: float = 0.8
    layers: int = 2


class UnmaskedTeacher(nn.Module):
    """Pre-trains `encoder`, a ViT of tubelets of one frame without class token; `forward(B C T H W) -> loss`.

    UsageError where the grids of student and teacher differ."""

    def __init__(self, encoder: ViT, teacher: ViT, config: UmtConfig) -> None:
        super().__init__()
        check_clip_encoder(encoder, "UMT")
        _check(encoder, teacher, config)
        self.encoder, self.config = encoder, config
        self.teacher = teacher.eval().requires_grad_(False)
        dim, wide = encoder.config.dim, teacher.config.dim
        self.project = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, wide)) for _ in range(config.layers)
        )  # fmt: skip

    def train(self, mode: bool = True) -> UnmaskedTeacher:
        """The teacher stays as it is."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        wanted, attention = self.look(clip)
        places = self.choose(attention, generator)  # B T*k
        student = encode_layers(self.encoder, clip, places, self.config.layers)
        parts = [
            align(project(mine), gather(theirs, places))
            for project, mine, theirs in zip(self.project, student, wanted, strict=True)
        ]
        return torch.stack(parts).mean()

    @torch.no_grad()
    def look(self, clip: Tensor) -> tuple[list[Tensor], Tensor]:
        """The teacher on every frame of B C T H W: (features of its last layers, each B T*N dim; attention B T N of the
        class token in the last block, mean over heads)."""
        batch, times = clip.shape[0], clip.shape[2]
        frames = clip.transpose(1, 2).flatten(0, 1)  # B C T H W -> B*T C H W
        prefix, found = self.teacher.config.prefix, []
        x, grid = self.teacher.embed(frames)
        rope = self.teacher.rotation(grid)
        for block in self.teacher.blocks:
            before = x
            x, _ = block(x, rope, None, None)
            found.append(self.teacher.norm(x)[:, prefix:].unflatten(0, (batch, times)).flatten(1, 2))
        last = cast(Block, self.teacher.blocks[-1])
        _, products = last.attn(last.norm1(before), rope=rope, need=("class_row",))
        attention = products["class_row"].mean(dim=1)[:, prefix:]  # B*T h N -> B*T n
        return found[-self.config.layers :], attention.unflatten(0, (batch, times))

    def choose(self, attention: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Seen patches of all frames, B T N -> B T*k: each frame as many, drawn by attention."""
        batch, times, patches = attention.shape
        count = round(patches * (1 - self.config.hidden))
        if not 0 < count < patches:
            raise UsageError(f"hidden {self.config.hidden:g} of {patches} patches", hint="some hidden, some seen")
        seen, _ = draw(attention.clamp_min(1e-9).log().flatten(0, 1), count, generator)  # B*T k
        first = torch.arange(times, device=attention.device)[:, None] * patches
        places: Tensor = seen.unflatten(0, (batch, times)) + first
        return places.flatten(1)


def align(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of unit vectors, 0..4."""
    gap = functional.normalize(student, dim=-1) - functional.normalize(teacher, dim=-1)
    return gap.square().sum(dim=-1).mean()


def _check(encoder: ViT, teacher: ViT, config: UmtConfig) -> None:
    mine, theirs = encoder.config, teacher.config
    if mine.patch[0] != 1 or mine.grid[1:] != theirs.grid:
        raise UsageError(
            f"student of {mine.grid} tubelets over {mine.patch[0]} frames, teacher of {theirs.grid} patches",
            hint="tubelets of one frame, and the teacher's patches and size",
        )
    if not theirs.class_token:
        raise UsageError("the teacher has no class token to say which patches matter", hint="another image network")
    if not 0 < config.layers <= min(mine.depth, theirs.depth):
        raise UsageError(f"layers is {config.layers}", hint=f"1 to {min(mine.depth, theirs.depth)}")
