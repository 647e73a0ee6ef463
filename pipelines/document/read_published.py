"""Crops read by published recognisers other than MGP-STR: lines by a TrOCR, single words by a PARSeq.

Both run in torch. Neither tells where in the crop its words stand: a TrOCR gives no places, a PARSeq, whose crop is one
word, the crop's own width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vitapps.errors import UsageError
from vitapps.options import NO_REDUCTION, RunOptions
from vitapps.pipelines.document.read_words import WordReader
from vitapps.pipelines.document.recognise import Reading, ReadWord
from vitapps.pipelines.runtime.devices import torch_device
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.convert.trocr import KIND
from vitapps.shared_backbones.heads.a3 import reading_confidence
from vitapps.shared_backbones.models.parseq import END
from vitapps.shared_backbones.weights.checkpoint_files import CheckpointFiles
from vitapps.shared_backbones.weights.published_lines import (
    PublishedParseq,
    PublishedTrOcr,
    load_published_parseq,
    load_published_trocr,
)

_BATCH = 8  # crops; TrOCR's pictures are 384 x 384
_BICUBIC = 3  # Pillow's number
_HALF = (0.5,) * 3
Crop = NDArray[np.uint8]
Answer = Callable[[torch.Tensor], list[tuple[str, float]]]  # b 3 H W -> text of each, chance that it is right


@dataclass(frozen=True, kw_only=True)
class PublishedReader:
    """`answer` reads pictures of `size` (height, width), (x / 255 - `mean`) / `std`, resized by Pillow's filter
    `resample`; `one_word`: a crop is one word, as wide as the crop."""

    answer: Answer
    size: tuple[int, ...]
    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    one_word: bool
    facts: NetworkFacts

    @property
    def networks(self) -> tuple[NetworkFacts, ...]:
        return (self.facts,)

    def read(self, crops: Sequence[Crop]) -> tuple[Reading, ...]:
        """A text for each crop; empty crops (no pixel) read as nothing. The confidence is the product of the network's
        probabilities, as it comes."""
        found: list[Reading] = [Reading()] * len(crops)
        places = [place for place, crop in enumerate(crops) if crop.size]
        for first in range(0, len(places), _BATCH):
            part = places[first : first + _BATCH]
            pictures = np.stack([self._picture(crops[place]) for place in part])  # b H W 3
            with torch.inference_mode():
                answers = self.answer(torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.facts.device))
            for place, (text, chance) in zip(part, answers, strict=True):
                found[place] = self._reading(text, chance, crops[place].shape[1]) if text else Reading()
        return tuple(found)

    def _picture(self, crop: Crop) -> NDArray[np.float32]:
        """H W 3 or H W uint8 -> height width 3."""
        height, width = self.size
        image = Image.fromarray(crop).convert("RGB").resize((width, height), Image.Resampling(self.resample))
        mean: NDArray[np.float32] = np.array(self.mean, np.float32)
        std: NDArray[np.float32] = np.array(self.std, np.float32)
        pixels: NDArray[np.float32] = np.asarray(image, np.float32)
        return (pixels / np.float32(255) - mean) / std

    def _reading(self, text: str, chance: float, width: int) -> Reading:
        words = (ReadWord(text=text, x0=0.0, x1=float(width), confidence=chance),) if self.one_word else ()
        return Reading(text=text, confidence=chance, words=words)


def load_published_reader(spec: str, options: RunOptions) -> PublishedReader | WordReader:
    """MGP-STR or TrOCR (`hf:OWNER/REPO` or a folder), or PARSeq (a file). Raises UsageError for another model and for
    options that have no part in it, MissingError for what is not there, not readable or not whole."""
    if options.engine not in ("auto", "torch") or options.precision not in ("auto", "exact"):
        raise UsageError(
            f"{spec}: --engine {options.engine} --precision {options.precision}",
            hint="published recognisers run in torch, exactly: leave both out",
        )
    if options.reduce != NO_REDUCTION:
        raise UsageError(f"{spec}: --reduce {options.reduce}", hint="published recognisers keep all their tokens")
    if not spec.startswith("hf:") and not Path(spec).is_dir():
        return _parseq(load_published_parseq(Path(spec)), spec, options)
    if CheckpointFiles(spec, None).json("config.json").get("model_type") == KIND:
        return _trocr(load_published_trocr(spec), spec, options)
    return WordReader.load(spec, options)


def _trocr(network: PublishedTrOcr, spec: str, options: RunOptions) -> PublishedReader:
    facts = _placed(network.module, spec, network.sha256, options)

    def answer(x: torch.Tensor) -> list[tuple[str, float]]:
        pieces, chances = network.module.read(x, start=network.start, end=network.end, limit=network.limit)
        return [(network.spell(line), chance) for line, chance in zip(pieces.tolist(), chances.tolist(), strict=True)]

    return PublishedReader(
        answer=answer, size=network.module.config.encoder.image_size, resample=network.resample, mean=network.mean,
        std=network.std, one_word=False, facts=facts,
    )  # fmt: skip


def _parseq(network: PublishedParseq, spec: str, options: RunOptions) -> PublishedReader:
    facts = _placed(network.module, spec, network.sha256, options)

    def answer(x: torch.Tensor) -> list[tuple[str, float]]:
        logits = network.module(x)
        chances = reading_confidence(logits, END).tolist()
        return [(_spelt(line, network.characters), chance)
                for line, chance in zip(logits.argmax(dim=-1).tolist(), chances, strict=True)]  # fmt: skip

    return PublishedReader(
        answer=answer, size=network.module.config.encoder.image_size, resample=_BICUBIC, mean=_HALF, std=_HALF,
        one_word=True, facts=facts,
    )  # fmt: skip


def _spelt(classes: Sequence[int], characters: str) -> str:
    end = classes.index(END) if END in classes else len(classes)
    return "".join(characters[place - 1] for place in classes[:end])


def _placed(module: torch.nn.Module, spec: str, sha256: str, options: RunOptions) -> NetworkFacts:
    """Put the network on its device, and say how it runs."""
    device = torch_device(options, "cpu")
    module.to(device)
    return NetworkFacts(
        name=spec, sha256=sha256, engine="torch", precision="exact", device=device, threads=options.threads
    )
