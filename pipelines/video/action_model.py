"""A clip network ready to run: an embedded card, a card's path, or a published VideoMAE checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.devices import torch_device
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.action_scores import shares_of
from vitapps.pipelines.video.clip_input import ClipInput
from vitapps.pipelines.video.clip_sampling import ClipRule

DEFAULT_WEIGHTS = "fight-motion"
TASK = "video.action"
_STRIDE = 4  # of VideoMAE on Kinetics (Tong et al. 2022, section 4)
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionModel:
    """`predict(B C *size) -> (logits B K, embedding B D)`; `labels` is empty for a network without classes."""

    input: ClipInput
    labels: tuple[str, ...]
    predict: Callable[[Floats], tuple[Floats, Floats]]
    facts: NetworkFacts
    temperature: float = 1.0

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities, B K -> B K."""
        return shares_of(logits / self.temperature)


def load_action_model(weights: str, options: RunOptions) -> ActionModel:
    """`weights`: a card's name or path, `hf:OWNER/REPO` or a folder of a VideoMAE checkpoint (these need torch).

    Raises MissingError for weights that are not there or of another task, UsageError for another architecture.
    """
    if weights.startswith("hf:") or Path(weights).is_dir():
        return _published(weights, options)
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, TASK)
    model = load_model(card, options)

    def predict(views: Floats) -> tuple[Floats, Floats]:
        logits, embedding = model(views)
        return logits, embedding

    return ActionModel(
        input=ClipInput.of(card.name, card.preprocess),
        labels=tuple(str(label["name"]) for label in card.labels),
        predict=predict,
        facts=NetworkFacts.of(card, model),
        temperature=float(card.preprocess.get("temperature", 1.0)),
    )


def _published(weights: str, options: RunOptions) -> ActionModel:
    import torch

    from vitapps.shared_backbones.models.reduced import reduced_model
    from vitapps.shared_backbones.weights.published_video import load_published_video

    found = load_published_video(weights)
    device = torch_device(options)
    module = reduced_model(found.module, options.reduce).to(device)
    frames, height, _ = found.config.image_size

    def predict(views: Floats) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            tokens = module.forward_features(torch.from_numpy(views).to(device)).tokens
            embedding = module.fc_norm(tokens.mean(dim=1))  # B N C -> B C
            logits = module.head(embedding) if found.labels else embedding[:, :0]
        return logits.float().cpu().numpy(), embedding.float().cpu().numpy()

    rule = ClipRule(frames=frames, stride=_STRIDE)
    facts = NetworkFacts(
        name=found.name, sha256=found.sha256, engine="torch", precision="exact", device=device,
        threads=options.threads, reason="a published checkpoint has no saved graph",
    )  # fmt: skip
    seen = ClipInput(kind="rgb", rule=rule, size=height, mean=found.mean, std=found.std)
    return ActionModel(input=seen, labels=found.labels, predict=predict, facts=facts)
