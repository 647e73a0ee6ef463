"""Token merging: time beside the dense network through OpenVINO on one thread, and strength zero."""

from __future__ import annotations

from vitapps.papers.recipes import Wish
from vitapps.pipelines.runtime.bench_reduce import QUICK, Case, bench_reduce

_FULL = (Case(model="base", size=224, specs=("tome:r=16",)), Case(model="base", size=512, specs=("tome:r=65",)))
_NAMES = {"tiny": "Ti", "base": "B"}


def measure(wish: Wish) -> dict[str, float]:
    """Ratios of CPU time and the largest difference at r = 0."""
    rows = bench_reduce(
        QUICK if wish.quick else _FULL, engines=("openvino",), rounds=3, threads=1, progress=wish.progress
    )  # fmt: skip
    found = {
        f"ViT-{_NAMES[row.model]}/16 at {row.size} px, r = {row.spec.partition('=')[2]}: dense / merged time": row.ratio
        for row in rows
    }
    return {"difference at r = 0": _difference(), **found}


def _difference() -> float:
    import torch

    from vitapps.shared_backbones.models.vit import ViT, ViTConfig
    from vitapps.shared_backbones.token_reduction.spec import reduced_config

    torch.manual_seed(0)
    config = ViTConfig(image_size=(64, 64), dim=64, heads=2, depth=4, num_classes=10)
    plain, merged = ViT(config).eval(), ViT(reduced_config(config, "tome:r=0")).eval()
    merged.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        return float((plain(image) - merged(image)).abs().max())
