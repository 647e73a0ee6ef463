"""Crops of one word each, read by a published MGP-STR: characters, BPE and WordPieces fused by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.document.recognise import Reading, ReadWord
from vitapps.pipelines.runtime.devices import torch_device
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.heads.a3 import reading_confidence
from vitapps.shared_backbones.weights.published_words import PublishedWords, load_published_words

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class WordReader:
    """Reads crops H W 3 or H W uint8, each squeezed to the size that the checkpoint was trained on."""

    network: PublishedWords
    device: str = "cpu"
    facts: NetworkFacts

    @property
    def networks(self) -> tuple[NetworkFacts, ...]:
        return (self.facts,)

    @classmethod
    def load(cls, spec: str, options: RunOptions | None = None) -> WordReader:
        """`hf:OWNER/REPO` or a folder; raises MissingError and UsageError as `load_published_words` does."""
        options = options or RunOptions()
        network = load_published_words(spec)
        device = torch_device(options, "cpu")
        network.module.to(device)
        facts = NetworkFacts(
            name=spec, sha256=network.sha256, engine="torch", precision="exact", device=device,
            threads=options.threads or 0,
        )  # fmt: skip
        return cls(network=network, device=device, facts=facts)

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[Reading, ...]:
        """A word for each crop; empty crops (no pixel) read as nothing. The confidence is that of the reading chosen
        (MGP-STR, eq. 6), as it comes."""
        found: list[Reading] = [Reading()] * len(crops)
        places = [place for place, crop in enumerate(crops) if crop.size]
        for first in range(0, len(places), BATCH):
            part = places[first : first + BATCH]
            for place, reading in zip(part, self._words([crops[place] for place in part]), strict=True):
                found[place] = reading
        return tuple(found)

    def _words(self, crops: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        height, width = self.network.module.config.image_size
        images = np.stack([squeezed(crop, height, width) for crop in crops])  # b H W 3
        with torch.inference_mode():
            logits = self.network.module(torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device))
        known = [
            (vocabulary, part) for vocabulary, part in zip(self.network.vocabularies, logits, strict=True) if vocabulary
        ]
        chances = torch.stack([reading_confidence(part[:, 1:], vocabulary.end) for vocabulary, part in known])  # g b
        best = chances.argmax(dim=0)
        readings = []
        for number, crop in enumerate(crops):
            vocabulary, part = known[int(best[number])]
            text = vocabulary.spell(part[number, 1:].argmax(dim=-1).tolist())
            confidence = float(chances[best[number], number])
            word = ReadWord(text=text, x0=0.0, x1=float(crop.shape[1]), confidence=confidence)
            readings.append(Reading(text=text, confidence=confidence, words=(word,)) if text else Reading())
        return readings


def squeezed(crop: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """H W 3 or H W uint8 -> height width 3 in 0..1."""
    colours = np.repeat(crop[..., None], 3, axis=2) if crop.ndim == 2 else crop
    resized = np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    return resized / np.float32(255)
