"""OWL-ViT and OWLv2 as published: `hf:google/owlvit-base-patch32` or a folder with `config.json`, weights, `vocab.json`
and `merges.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitapps.errors import MissingError, UsageError
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.convert.hf_clip_vision import MEAN, STD
from vitapps.shared_backbones.convert.owlvit import config_from_owlvit, convert_owlvit
from vitapps.shared_backbones.models.owlvit import OwlViT
from vitapps.shared_backbones.weights.checkpoint_files import CheckpointFiles
from vitapps.shared_backbones.weights.clip_pieces import ClipPieces, read_clip_pieces
from vitapps.shared_backbones.weights.load import load_state, parameters_on_meta, read_checkpoint

_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedOwl:
    """`module` in evaluation mode; `mean` and `std` of RGB in 0..1."""

    module: OwlViT
    pieces: ClipPieces
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    name: str

    def queries(self, words: Sequence[str]) -> Tensor:
        """Embeddings K D of sentences. UsageError for one that is empty or too long."""
        length = self.module.config.text.length
        numbers = [self.pieces.encode(sentence, length) for sentence in words]
        longest = max(map(len, numbers))
        table = torch.tensor([row + [0] * (longest - len(row)) for row in numbers])  # K L
        with torch.inference_mode():
            found: Tensor = self.module.text(table)
        return found


def load_published_owl(spec: str, *, cache_dir: Path | None = None) -> PublishedOwl:
    """Load `hf:REPO` or a folder. Raises UsageError for another architecture, MissingError for files that are neither
    there nor reachable nor readable, or that do not fit the configuration."""
    files = CheckpointFiles(spec, cache_dir)
    config = config_from_owlvit(files.json("config.json"))
    pieces = read_clip_pieces(files.path("vocab.json"), files.path("merges.txt"))
    if max(pieces.numbers.values()) >= config.text.vocabulary:
        raise UsageError(
            f"{spec}: {len(pieces.numbers)} pieces for a network of {config.text.vocabulary}", hint="its own vocab.json"
        )
    weights = files.first(_FILES)
    with parameters_on_meta():
        module = OwlViT(config)
    try:
        state = convert_owlvit(read_checkpoint(weights))
    except KeyError as error:
        raise MissingError(f"{weights}: lacks the tensor {error}", hint="restore the file") from None
    load_state(module, state, spec)
    seen = files.json("preprocessor_config.json", optional=True)
    return PublishedOwl(
        module=module.eval(), pieces=pieces, mean=tuple(seen.get("image_mean", MEAN)),
        std=tuple(seen.get("image_std", STD)), sha256=sha256_file(weights), name=spec,
    )  # fmt: skip
