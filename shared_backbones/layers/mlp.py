"""The token-wise half of a block: a two-layer MLP or its gated form."""

from __future__ import annotations

from torch import Tensor, nn


class Mlp(nn.Module):
    """fc2(norm(act(fc1(x)))), B N C -> B N C; `norm` is the sub-LN of EVA-02, an identity elsewhere."""

    def __init__(self, dim: int, hidden: int, act: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = act
        self.norm = norm if norm is not None else nn.Identity()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.norm(self.act(self.fc1(x))))  # B N C -> B N hidden -> B N C
        return out


class SwiGLU(nn.Module):
    """fc2(norm(silu(gate) * value)) (Shazeer 2020, arXiv:2002.05202, eq. 6); fc1 makes gate, then value."""

    def __init__(self, dim: int, hidden: int, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * hidden)
        self.norm = norm if norm is not None else nn.Identity()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)  # B N C -> two of B N hidden
        out: Tensor = self.fc2(self.norm(nn.functional.silu(gate) * value))  # -> B N C
        return out
