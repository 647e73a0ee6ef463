"""Published recognisers that write a text piece by piece: TrOCR (`hf:microsoft/trocr-base-printed` or a folder with
`config.json`, weights and tokenizer) and PARSeq (a file of github.com/baudm/parseq)."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import MissingError, UsageError
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.convert.parseq import config_from_parseq, convert_parseq, parseq_state
from vitapps.shared_backbones.convert.trocr import config_from_trocr, convert_trocr
from vitapps.shared_backbones.models.parseq import Parseq
from vitapps.shared_backbones.models.trocr import TrOcr
from vitapps.shared_backbones.weights.checkpoint_files import CheckpointFiles
from vitapps.shared_backbones.weights.load import load_state, parameters_on_meta, read_checkpoint
from vitapps.shared_backbones.weights.published_words import read_vocabulary

# what PARSeq's published models tell apart: the first 36 or 62 of them, or all 94
CHARACTERS = string.digits + string.ascii_letters + string.punctuation
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_LONGEST = 128  # pieces of a line at most: no line of print has more, and one that never ends stops here
_SPECIAL = {"decoder_start_token_id": 2, "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}
_NO_TOKENIZER = "transformers.AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER) writes tokenizer.json"
Spell = Callable[[Sequence[int]], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedTrOcr:
    """`module` in evaluation mode reads pictures of its own size, (x / 255 - mean) / std of RGB, resized by Pillow's
    filter `resample`. `start`: piece before a line, `end`: behind it; at most `limit` pieces; `spell`: them to text."""

    module: TrOcr
    start: int
    end: int
    limit: int
    spell: Spell
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedParseq:
    """`module` in evaluation mode reads pictures of its own size, x / 127.5 - 1 of RGB; class N of its outputs is
    `characters[N - 1]`."""

    module: Parseq
    characters: str
    sha256: str


def load_published_trocr(spec: str, *, cache_dir: Path | None = None) -> PublishedTrOcr:
    """Load `hf:REPO` or a folder. Raises UsageError for another architecture, MissingError for files that are neither
    there nor reachable nor readable, or that do not fit the configuration."""
    files = CheckpointFiles(spec, cache_dir)
    settings = files.json("config.json")
    pictures = files.json("preprocessor_config.json", optional=True)
    try:
        with _named(spec):
            config = config_from_trocr(settings)
        pieces = _special_pieces(files.json("generation_config.json", optional=True), settings)
        mean, std, resample = _preparation(pictures)
    except UsageError:  # another architecture; it is a ValueError too
        raise
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise MissingError(f"{spec}: no settings of a TrOCR: {error}", hint="fetch its .json files again") from None
    if max(pieces.values()) >= config.vocabulary:
        raise MissingError(f"{spec}: {pieces} beyond {config.vocabulary} pieces", hint="fetch its .json files again")
    spell = _speller(files, spec, pieces)
    weights = files.first(_WEIGHTS)
    with parameters_on_meta():
        module = TrOcr(config)
    load_state(module, convert_trocr(read_checkpoint(weights)), spec)
    return PublishedTrOcr(
        module=module.eval(), start=pieces["decoder_start_token_id"], end=pieces["eos_token_id"],
        limit=min(_LONGEST, config.positions), spell=spell, mean=mean, std=std, resample=resample,
        sha256=sha256_file(weights),
    )  # fmt: skip


def load_published_parseq(path: Path) -> PublishedParseq:
    """Load a file of weights; raises UsageError for another model, MissingError for a file that is not there or not
    readable."""
    found = read_checkpoint(path)
    try:
        with _named(str(path)):
            state = parseq_state(found)
            config = config_from_parseq(state)
    except IndexError:  # a tensor with too few axes
        raise MissingError(f"{path}: no tensors of a PARSeq", hint="fetch the file again") from None
    if config.chars > len(CHARACTERS):
        raise UsageError(f"{path}: PARSeq of {config.chars} characters", hint="those with 36, 62 or 94 can be spelt")
    with parameters_on_meta():
        module = Parseq(config)
    load_state(module, convert_parseq(state), str(path))
    return PublishedParseq(module=module.eval(), characters=CHARACTERS[: config.chars], sha256=sha256_file(path))


@contextmanager
def _named(spec: str) -> Iterator[None]:
    """Say of which checkpoint it is that another architecture is refused."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{spec}: {error.message}", hint=error.hint) from None


def _preparation(pictures: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Mean, deviation and filter of `preprocessor_config.json`, by default those of transformers' ViT; ValueError for
    what is none."""
    plain = not pictures.get("do_normalize", True)
    mean = (0.0,) * 3 if plain else tuple(float(value) for value in pictures.get("image_mean", (0.5,) * 3))
    std = (1.0,) * 3 if plain else tuple(float(value) for value in pictures.get("image_std", (0.5,) * 3))
    resample = int(pictures.get("resample", 2))
    if len(mean) != 3 or len(std) != 3 or not all(std) or not 0 <= resample <= 5:
        raise ValueError(f"image_mean {mean}, image_std {std}, resample {resample}")
    return mean, std, resample


def _special_pieces(generation: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, int]:
    """The pieces that are no text, from the first file that names each."""
    found = {}
    for name, usual in _SPECIAL.items():
        named = [part[name] for part in (generation, settings, settings["decoder"]) if part.get(name) is not None]
        value = named[0] if named else usual
        found[name] = int(value[0] if isinstance(value, list) else value)
    return found


def _speller(files: CheckpointFiles, spec: str, pieces: Mapping[str, int]) -> Spell:
    """By `tokenizer.json`, else by the `vocab.json` of a byte-level BPE (RoBERTa)."""
    try:
        path = files.path("tokenizer.json")
    except MissingError:
        return _byte_speller(files, spec, pieces)
    tokenizers = require("tokenizers", extra="hub")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself
        raise MissingError(f"{path}: no readable tokenizer: {error}", hint=_NO_TOKENIZER) from None
    return lambda line: str(tokenizer.decode(list(line), skip_special_tokens=True)).strip()


def _byte_speller(files: CheckpointFiles, spec: str, pieces: Mapping[str, int]) -> Spell:
    try:
        vocabulary = read_vocabulary("bpe", files.path("vocab.json"), "</s>")
    except (MissingError, OSError, ValueError, KeyError, AttributeError) as error:
        raise MissingError(
            f"{spec}: no tokenizer.json and no readable vocab.json: {error}", hint=_NO_TOKENIZER
        ) from None
    silent = set(pieces.values())
    return lambda line: vocabulary.spell([piece for piece in line if piece not in silent]).strip()
