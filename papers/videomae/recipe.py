"""VideoMAE: parity with transformers at random weights, of 16 x 224 x 224 (quick: a small one)."""

from __future__ import annotations

from typing import Any

from vitapps.papers.recipes import Wish
from vitapps.require import require

_SMALL = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128, "image_size": 64,
    "num_frames": 4, "num_labels": 5,
}  # fmt: skip
_S = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}


def measure(wish: Wish) -> dict[str, float]:
    """Largest differences of features and logits on a random clip. Raises MissingError without transformers."""
    torch = require("torch")
    transformers = require("transformers", extra="test")
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(**(_SMALL if wish.quick else _S))
    clip = torch.randn(1, 3, config.num_frames, config.image_size, config.image_size)  # B 3 T H W
    found = {}
    for name, kind, classes in (
        ("features", "VideoMAEModel", 0), ("logits", "VideoMAEForVideoClassification", config.num_labels),
    ):  # fmt: skip
        peer = getattr(transformers, kind)(config).eval()
        with torch.inference_mode():
            theirs = peer(clip.transpose(1, 2))  # B T 3 H W
            ours = _ours(peer, classes)
            both = (theirs.logits, ours(clip)) if classes else (
                theirs.last_hidden_state, ours.forward_features(clip).tokens,
            )  # fmt: skip
        found[f"{name}: largest difference from transformers"] = float((both[0] - both[1]).abs().max())
    return found


def _ours(peer: Any, classes: int) -> Any:
    from vitapps.shared_backbones.convert.videomae import config_from_hf, convert_videomae
    from vitapps.shared_backbones.models.vit import ViT
    from vitapps.shared_backbones.weights.load import load_state

    config = config_from_hf(peer.config.to_dict(), classes)
    module = ViT(config).eval()
    load_state(module, convert_videomae(peer.state_dict(), config), "transformers")
    return module
