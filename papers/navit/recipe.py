"""NaViT: images of several sizes in one sequence."""

from __future__ import annotations

from vitapps.papers.recipes import Wish
from vitapps.require import require

_SIZES = ((224, 160), (96, 320), (48, 48), (128, 128), (240, 64))


def measure(wish: Wish) -> dict[str, float]:
    """Largest differences of answers of a ViT with factorised positions (quick: two blocks, else twelve)."""
    torch = require("torch")
    from vitapps.shared_backbones.models.packed_vit import PackedViT
    from vitapps.shared_backbones.models.vit import ViT, ViTConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    depth = 2 if wish.quick else 12
    vit = ViT(
        ViTConfig(image_size=(224, 224), dim=192, heads=3, depth=depth, num_classes=10, pos="rope", pos_prefix=False)
    ).eval()
    images = [torch.randn(3, *size) for size in _SIZES]
    other = [torch.randn_like(images[0]), *images[1:]]
    packed = PackedViT(vit)
    with torch.inference_mode():
        together, alone = packed(images), torch.cat([vit(image[None]) for image in images])
        changed = packed(other)
    return {
        "packed less one by one: largest difference": float((together - alone).abs().max()),
        "change of the others when one image changes": float((together[1:] - changed[1:]).abs().max()),
    }
