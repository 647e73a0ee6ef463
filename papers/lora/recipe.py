"""LoRA on a ViT: adapted, merged, removed."""

from __future__ import annotations

import statistics
from copy import deepcopy

from vitapps.papers.recipes import Wish
from vitapps.pipelines.runtime.measure import cpu_seconds
from vitapps.require import require


def measure(wish: Wish) -> dict[str, float]:
    """Differences of answers on a random image, and a ratio of CPU times (rounds interleaved)."""
    torch = require("torch")
    from vitapps.shared_backbones.models.vit import ViT, ViTConfig
    from vitapps.shared_backbones.peft import lora

    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = ViT(ViTConfig(image_size=(224, 224), dim=192, heads=3, depth=12, num_classes=10)).eval()
    adapted = deepcopy(plain)
    lora.attach(adapted, rank=8)
    for layer in adapted.modules():
        if isinstance(layer, lora.LoraLinear):
            torch.nn.init.normal_(layer.up, std=0.02)
    merged, removed = deepcopy(adapted), deepcopy(adapted)
    lora.merge(merged)
    lora.remove(removed)
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        answers = [net(image) for net in (adapted, merged, plain, removed)]
        times = [
            (cpu_seconds(lambda: plain(image)), cpu_seconds(lambda: merged(image)))
            for _ in range(5 if wish.quick else 30)
        ]
    return {
        "merged less adapted: largest difference of an answer": float((answers[0] - answers[1]).abs().max()),
        "removed less plain": float((answers[2] - answers[3]).abs().max()),
        "time of merged over plain": statistics.median(two / one for one, two in times),
    }
