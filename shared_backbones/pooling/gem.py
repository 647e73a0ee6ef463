"""Generalised mean with one learned exponent: the one-group case of `ggem`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitapps.shared_backbones.pooling.ggem import GroupedGem

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "GeM",
    "name": "gem",
    "family": "pooling",
    "paper": "Radenovic et al. 2018, arXiv:1711.02512",
    "equation": "eq. 3, with one exponent for all channels",
    "deviations": "as ggem",
    "slots": ["pool"],
    "cost": "O(N C), one parameter",
    "status": "paper",
}


def build(config: ViTConfig) -> GroupedGem:
    """One group, whatever `pool_groups` says."""
    return GroupedGem(config.dim, 1)
