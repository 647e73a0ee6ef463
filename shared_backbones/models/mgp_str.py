"""MGP-STR: a scene word is read in one pass as characters, as BPE pieces and as WordPieces (Wang et al. 2022).

    picture         B 3 32 128            a word, scaled to this size
    ViT             B 1+N C               patches of 4 x 4, no norm at its end
    A3 modules      B T C each            one for each granularity: T learned queries gather what stands at each place
    heads           B T classes each      characters, BPE, WordPiece; the last two may be left out

A3 and the fusion of the readings by their confidence stand in `heads/a3.py`. Place 0 holds the start symbol.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.a3 import A3
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "S072",
    "name": "mgp_str",
    "family": "models",
    "paper": "Wang, Da, Yao 2022, arXiv:2209.03592",
    "equation": "section 3.2 (A3), eq. 6 (fusion by confidence)",
    "deviations": "granularities besides characters are optional; A3 is written as attention with fixed queries",
    "slots": ["attention", "norm", "pos"],
    "cost": "that of the ViT; the BPE and WordPiece heads hold most parameters of a small model",
    "status": "verified",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MgpStrConfig:
    """`length` T: places of a word, its start and end included. `chars`, `bpe`, `wordpiece`: classes of each head, 0
    leaves the granularity out."""

    in_chans: int = 3
    image_size: tuple[int, int] = (32, 128)
    patch: tuple[int, int] = (4, 4)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    eps: float = 1e-5
    length: int = 27
    chars: int = 38
    bpe: int = 50257
    wordpiece: int = 30522


class MgpStr(nn.Module):
    """See the module docstring. `forward(B 3 H W) -> logits B T classes`, one of each granularity there is, in the
    order characters, BPE, WordPiece."""

    def __init__(self, config: MgpStrConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = ViT(_vit_config(config))
        sizes = {"chars": config.chars, "bpe": config.bpe, "wordpiece": config.wordpiece}
        used = {name: size for name, size in sizes.items() if size}
        if not used:
            raise UsageError("no granularity: chars, bpe and wordpiece are 0", hint="give chars its classes")
        self.gather = nn.ModuleDict({name: A3(config.dim, config.length) for name in used})
        self.heads = nn.ModuleDict({name: nn.Linear(config.dim, size) for name, size in used.items()})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        tokens = self.vit.forward_features(x).tokens  # B 3 H W -> B 1+N C
        return tuple(head(self.gather[name](tokens)) for name, head in self.heads.items())


def _vit_config(config: MgpStrConfig) -> ViTConfig:
    return ViTConfig(
        in_chans=config.in_chans,
        image_size=config.image_size,
        patch=config.patch,
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=config.qkv_bias,
        eps=config.eps,
        final_norm=False,
        pool="none",
    )
