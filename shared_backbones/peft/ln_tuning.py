"""LN-tuning: of a frozen backbone only the scales and shifts of its normalisations are trained."""

from __future__ import annotations

from torch import nn

CARD = {
    "id": "S104",
    "name": "ln_tuning",
    "family": "peft",
    "paper": "CLIP for deepfake detection by LayerNorm tuning (S104)",
    "equation": "trained parameters: gamma and beta of every LayerNorm",
    "deviations": "",
    "slots": ["norm"],
    "cost": "4 C a block",
    "status": "paper",
}


def tune_norms(backbone: nn.Module) -> list[nn.Parameter]:
    """Freeze everything but the affine parameters of LayerNorms; returns those, in the order of the modules."""
    backbone.requires_grad_(False)
    trained = [
        parameter
        for module in backbone.modules() if isinstance(module, nn.LayerNorm)
        for parameter in module.parameters()
    ]  # fmt: skip
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained
