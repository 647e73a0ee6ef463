"""LookupViT: few compressed tokens do the work of a ViT and look up what they need in many cheap ones (Koner et al.
2024, arXiv:2407.12753).

    lookup tokens      B N C   the patches of the full grid
    compressed tokens  B M C   class and register tokens, then the patches resampled to the grid `lookup`, M << N

Each block: compressed tokens attend to the lookup tokens; they pass a whole ViT block among themselves; the lookup
tokens get their answer back along the same attention, turned round; then each passes a narrow MLP of its own.
`lookup` is no weight: one trained network serves several grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.layers.act import make_act
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.layers.norm import make_norm
from vitapps.shared_backbones.models import tuples
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "S140",
    "name": "lookup_vit",
    "family": "models",
    "paper": "Koner et al. 2024, LookupViT, arXiv:2407.12753",
    "equation": "section 3: bidirectional cross-attention (MHBC) around a ViT block, narrow MLP for lookup tokens",
    "deviations": "class and register tokens are among the compressed ones; the way back shares out what each lookup "
    "token gave (columns brought to sum 1) and has no projection of its own behind it; rotary positions are refused",
    "slots": ["mlp", "norm", "pos", "pool"],
    "cost": "O(depth (3 N C^2 + 15 M C^2 + 2 N M C + M^2 C))",
    "status": "paper",
}
_RESAMPLE = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupViTConfig:
    """`vit`: fields of `ViTConfig`; `lookup`: grid of compressed tokens, patches an axis; `narrow`: hidden width of the
    lookup tokens' MLP over their width."""

    vit: dict[str, Any]
    lookup: tuple[int, ...] = (5, 5)
    narrow: float = 0.5

    def tower(self) -> ViTConfig:
        """The ViT whose blocks the compressed tokens pass; lists stand for tuples, as in TOML."""
        return ViTConfig(**{key: tuples(value) for key, value in self.vit.items()})


class Exchange(nn.Module):
    """What a block adds for the lookup tokens: the way there, the way back, and their MLP."""

    def __init__(self, config: ViTConfig, narrow: float) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.norm_compressed, self.norm_lookup, self.norm_back, self.norm_mlp = (
            make_norm(config.norm, dim, config.eps) for _ in range(4)
        )
        self.query, self.proj, self.answer = (nn.Linear(dim, dim) for _ in range(3))
        self.key_value = nn.Linear(dim, 2 * dim)
        self.mlp = Mlp(dim, round(dim * narrow), make_act(config.act))

    def there(self, compressed: Tensor, lookup: Tensor) -> tuple[Tensor, Tensor]:
        """B M C and B N C -> (compressed tokens with what they found, the attention B h M N)."""
        q = self._split(self.query(self.norm_compressed(compressed)))
        k, v = self.key_value(self.norm_lookup(lookup)).chunk(2, dim=-1)
        out, products = attend(q, self._split(k), self._split(v), need={"map"})
        found: Tensor = self.proj(self._join(out))
        return compressed + found, products["map"]

    def back(self, compressed: Tensor, lookup: Tensor, attention: Tensor) -> Tensor:
        """The lookup tokens with their answer and behind their MLP, B N C."""
        values = self._split(self.answer(self.norm_back(compressed)))  # B h M d
        lookup = lookup + self._join(turned_round(attention) @ values)
        out: Tensor = lookup + self.mlp(self.norm_mlp(lookup))
        return out

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B N C -> B N h d -> B h N d
        return split

    def _join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)  # B h N d -> B N h d -> B N C


def turned_round(attention: Tensor) -> Tensor:
    """B h M N -> B h N M: the transpose, its rows brought to sum 1 again."""
    other = attention.transpose(-1, -2)
    return other / other.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(other.dtype).tiny)


class LookupViT(nn.Module):
    """See the module docstring. `forward_features` gives the full grid to dense heads, `forward` reads the compressed
    tokens; both take another `lookup` grid than the configured one."""

    def __init__(self, config: LookupViTConfig) -> None:
        super().__init__()
        self.config, tower = config, config.tower()
        self.vit = ViT(tower)
        wrong = [
            what
            for what, found in {
                "rotary positions": self.vit.rotation(tower.grid) is not None, "a reducer": tower.reducer != "none",
                f"a lookup grid of {len(config.lookup)} axes": len(config.lookup) != len(tower.patch),
            }.items()
            if found
        ]  # fmt: skip
        if wrong:
            raise UsageError(f"lookup_vit with {', '.join(wrong)}", hint="learned positions, one size an axis")
        self.exchanges = nn.ModuleList(Exchange(tower, config.narrow) for _ in range(tower.depth))

    def forward_features(self, x: Tensor, lookup: tuple[int, ...] | None = None) -> Features:
        """B in_chans *spatial -> the lookup tokens behind the class and register tokens."""
        compressed, tokens, grid = self._run(x, lookup)
        prefix = self.vit.config.prefix
        whole = self.vit.norm(torch.cat((compressed[:, :prefix], tokens), dim=1))  # B prefix+N C
        return Features(tokens=whole, grid=grid, prefix=prefix)

    def forward(self, x: Tensor, lookup: tuple[int, ...] | None = None) -> Tensor:
        """What the ViT's head says of the compressed tokens."""
        compressed, _, _ = self._run(x, lookup)
        features = Features(
            tokens=self.vit.norm(compressed), grid=lookup or self.config.lookup, prefix=self.vit.config.prefix
        )  # fmt: skip
        return self.vit.forward_head(features)

    def _run(self, x: Tensor, lookup: tuple[int, ...] | None) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        tokens, grid = self.vit.embed(x)
        compressed, tokens = compress(tokens, grid, self.vit.config.prefix, lookup or self.config.lookup)
        for block, exchange in zip(self.vit.blocks, self.exchanges, strict=True):
            assert isinstance(exchange, Exchange)
            compressed, attention = exchange.there(compressed, tokens)
            compressed, _ = block(compressed, None, None, None)
            tokens = exchange.back(compressed, tokens, attention)
        return compressed, tokens, grid


def compress(x: Tensor, grid: tuple[int, ...], prefix: int, lookup: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(prefix and resampled patches B prefix+M C, patches B N C) of tokens B prefix+N C."""
    patches = x[:, prefix:]
    whole = patches.transpose(1, 2).unflatten(-1, grid)  # B N C -> B C *grid
    few = functional.interpolate(whole, size=lookup, mode=_RESAMPLE[len(grid)], align_corners=False)
    return torch.cat((x[:, :prefix], few.flatten(2).transpose(1, 2)), dim=1), patches  # -> B M C
