"""MGP-STR as published: `hf:alibaba-damo/mgp-str-base` or a folder with `config.json`, `vocab.json` and weights.

Characters are spelt by the checkpoint's own vocabulary. BPE pieces are those of GPT-2 and WordPieces those of BERT:
their vocabularies are looked for in the folder (`bpe/vocab.json`, `wordpiece/vocab.txt`), for `hf:` in the repositories
that the authors name. A granularity whose vocabulary is missing is left out, which is logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from vitapps.errors import MissingError, UsageError
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.convert.mgp_str import config_from_mgp_str, convert_mgp_str
from vitapps.shared_backbones.models.mgp_str import MgpStr
from vitapps.shared_backbones.weights.byte_pieces import stand_ins
from vitapps.shared_backbones.weights.checkpoint_files import CheckpointFiles
from vitapps.shared_backbones.weights.load import load_state, read_checkpoint

log = logging.getLogger("vitapps.weights")
KIND = "mgp-str"
_FILES = ("model.safetensors", "pytorch_model.bin")
_HOMES = {
    "bpe": ("hf:openai-community/gpt2", "vocab.json"),
    "wordpiece": ("hf:google-bert/bert-base-uncased", "vocab.txt"),
}
_DEFAULTS = {  # of `transformers.MgpstrConfig`: what a published config.json may leave out
    "image_size": [32, 128], "patch_size": 4, "num_channels": 3, "max_token_length": 27, "num_character_labels": 38,
    "num_bpe_labels": 50257, "num_wordpiece_labels": 30522, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "mlp_ratio": 4.0, "qkv_bias": True, "distilled": False, "layer_norm_eps": 1e-5,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Pieces by class of the granularity `name` (`chars`, `bpe`, `wordpiece`); class `end` closes a word."""

    name: str
    pieces: tuple[str, ...]
    end: int

    def spell(self, classes: Sequence[int]) -> str:
        """The word of the classes from place 1 on, up to its end."""
        kept = list(classes[: classes.index(self.end)] if self.end in classes else classes)
        text = "".join(self.pieces[place] for place in kept if place < len(self.pieces))
        if self.name == "bpe":
            known = (stand_ins().get(char) for char in text)
            return bytes(byte for byte in known if byte is not None).decode("utf-8", "replace")
        return text.replace("##", "").replace(" ", "") if self.name == "wordpiece" else text


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedWords:
    """`module` in evaluation mode; vocabularies of its outputs in their order, None for one that cannot be spelt."""

    module: MgpStr
    vocabularies: tuple[Vocabulary | None, ...]
    sha256: str
    name: str


def load_published_words(spec: str, *, cache_dir: Path | None = None) -> PublishedWords:
    """Load `hf:REPO` or a folder. Raises UsageError for another architecture, MissingError for files that are neither
    there nor reachable nor readable, or that do not fit the configuration."""
    files = CheckpointFiles(spec, cache_dir)
    settings = files.json("config.json")
    if settings.get("model_type") != KIND:
        raise UsageError(
            f"{spec}: of kind '{settings.get('model_type')}', not {KIND}", hint="hf:alibaba-damo/mgp-str-base"
        )
    weights = files.first(_FILES)
    module = MgpStr(config_from_mgp_str(SimpleNamespace(**{**_DEFAULTS, **settings})))
    load_state(module, convert_mgp_str(read_checkpoint(weights)), spec)
    found = tuple(_vocabulary(name, spec, files, cache_dir) for name in module.heads)
    if not any(found):
        raise MissingError(f"{spec}: no vocabulary for any of its readings", hint="vocab.json beside the weights")
    return PublishedWords(module=module.eval(), vocabularies=found, sha256=sha256_file(weights), name=spec)


def _vocabulary(name: str, spec: str, files: CheckpointFiles, cache_dir: Path | None) -> Vocabulary | None:
    try:
        if name == "chars":
            return read_vocabulary(name, files.path("vocab.json"), "[s]")
        home, file = _HOMES[name]
        path = CheckpointFiles(home, cache_dir).path(file) if spec.startswith("hf:") else files.path(f"{name}/{file}")
        if name == "bpe":
            return read_vocabulary(name, path, "#")
        pieces = tuple(path.read_text(encoding="utf-8").splitlines())
        return Vocabulary(name=name, pieces=pieces, end=pieces.index("[SEP]"))
    except (MissingError, OSError, ValueError, KeyError) as error:
        log.warning("%s: its %s are left out, their vocabulary is missing: %s", spec, name, error)
        return None


def read_vocabulary(name: str, path: Path, end: str) -> Vocabulary:
    """Of the JSON file `path`: an object of pieces and their classes; `end` closes a word."""
    table: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    pieces = [""] * (max(table.values()) + 1)
    for piece, place in table.items():
        pieces[place] = piece
    return Vocabulary(name=name, pieces=tuple(pieces), end=table[end])
