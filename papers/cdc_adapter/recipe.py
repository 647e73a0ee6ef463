"""The central-difference adapter on random pictures of features."""

from __future__ import annotations

from vitapps.papers.recipes import Wish
from vitapps.require import require


def measure(wish: Wish) -> dict[str, float]:
    """What the convolution answers at theta 0 and 1, and what a fresh adapter adds."""
    torch = require("torch")
    from torch.nn import functional

    from vitapps.shared_backbones.peft.cdc_adapter import CdcAdapter, CdcAdapterConfig

    torch.manual_seed(0)
    plain = CdcAdapter(32, CdcAdapterConfig(theta=0.0))
    blind = CdcAdapter(32, CdcAdapterConfig(theta=1.0))
    x = torch.randn(3, 8, 9, 9)  # B D h w
    with torch.inference_mode():
        gate = plain.gate(x.mean(dim=(2, 3))).sigmoid()
        gate = gate / gate.sum(dim=1, keepdim=True)  # B K
        kernels = torch.einsum("bk,kdij->bdij", gate, plain.kernels)  # B D 3 3
        answers = [
            functional.conv2d(item[None], kernel[:, None], padding=1, groups=8)
            for item, kernel in zip(x, kernels, strict=True)
        ]
        wanted = torch.cat(answers)  # B D h w
        constant = blind.central_difference(torch.full((1, 8, 9, 9), 3.0))[..., 1:-1, 1:-1]
        fresh = plain(torch.randn(2, 82, 32), (9, 9), 1)
        return {
            "theta 0 less a plain mixture of convolutions": float((plain.central_difference(x) - wanted).abs().max()),
            "theta 1: answer to a constant picture, inside": float(constant.abs().max()),
            "fresh adapter: change of the tokens": float(fresh.abs().max()),
        }
