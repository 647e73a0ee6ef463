"""`vitapps doc train words`: the word heads (characters, BPE, WordPiece) over the tokens of a frozen line recogniser.

The recogniser reads rendered lines and stays as it is; its words, where their place in the text is known, teach the
heads. The vocabularies of BPE and WordPiece are learned from the same text. Confidences are calibrated on rendered
lines in faces that no step saw and, of each folder of real lines that is given, on one in three documents.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.sets.text_lines import LabelledLine, read_labelled_lines
from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.datasets.synth.text.fonts import Face, find_faces
from vitapps.datasets.synth.text.line import Difficulty
from vitapps.datasets.synth.text.words import TextSource
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.document.fit_words import fit_fusion
from vitapps.pipelines.document.learn_pieces import count_words, learn_bpe, learn_wordpiece
from vitapps.pipelines.document.line_batches import GROUP, LineGroups, Stage, batches_from
from vitapps.pipelines.document.recognise import DEFAULT_READER, DEFAULT_WEIGHTS, TASK, WORDS_TASK, Recogniser
from vitapps.pipelines.document.train_confidence import is_fitted, rendered_lines
from vitapps.pipelines.document.word_batches import IGNORED, PASSES, word_batches
from vitapps.pipelines.document.word_fusion import WordFusion, card_fields
from vitapps.pipelines.document.word_pieces import GRANULARITIES, Vocabulary
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.word_heads import WordHeads, WordHeadsConfig, word_example
from vitapps.shared_backbones.weights.cards import Card, load_card

log = logging.getLogger("vitapps.document.train")
_SEED = 1_000  # added to the seed of lines: the recogniser was taught by others
_SPARE = 64  # batches of lines beyond the steps: one without a word that is paired teaches nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class WordFit:
    """`batch` lines a step; `rate` the highest learning rate; `pieces` of BPE and of WordPiece; `threads` of a CPU;
    `generators`: processes that draw lines; `held_out` rendered lines that confidences are calibrated on."""

    steps: int = 3600
    batch: int = 32
    rate: float = 1.5e-3
    pieces: int = 1400
    seed: int = 0
    threads: int = 1
    generators: int = 0
    held_out: int = 200


def train_words(
    out: Path, *, data: Sequence[Path] = (), word_list: Path | None = None, weights: str | None = None,
    config: WordFit | None = None, resume: bool = False, progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train heads for the recogniser `weights` and write their card, weights and graph to `out`; returns the card's
    path. `data`: folders of real lines, for the calibration alone. Raises UsageError for fewer than one step or line,
    MissingError for a recogniser that gives no tokens."""
    config = config or WordFit()
    if min(config.steps, config.batch) < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    recogniser = load_card(weights or DEFAULT_WEIGHTS, TASK)
    options = RunOptions(engine="openvino", precision="exact", threads=config.threads)
    reader = Recogniser.load(weights, options)
    faces, source = find_faces(), TextSource.open(word_list)
    shown = [face for face in faces if not face.held_out] or list(faces)
    vocabularies = learn_vocabularies(source, config)
    module = fit_heads(reader, shown, source, vocabularies, out / "checkpoint.pt", config, resume, progress)
    fusion = WordFusion(network=_network(module), vocabularies=vocabularies)
    sets = [rendered_lines(config.held_out), *(_fitted(folder) for folder in data)]
    fusion = fit_fusion(reader, fusion, [lines for lines in sets if lines], progress)
    facts = {
        "data": f"words of lines rendered by datasets/synth/text in {len(shown)} faces; no picture of a real document",
        "command": f"vitapps doc train words --out DIR{' --words FILE' * (word_list is not None)}"
        f"{' --data DIR' * len(data)} --steps {config.steps} --seed {config.seed}",
        "hardware": training_hardware("cpu", config.threads, generators=config.generators),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"confidences calibrated on {len(sets[0])} rendered lines in held-out font families"
        + "".join(f", on one in three documents of {folder.name} (train_confidence.is_fitted)" for folder in data),
    }
    return export(module, fusion, recogniser, facts, out)


def learn_vocabularies(source: TextSource, config: WordFit) -> tuple[Vocabulary, ...]:
    """Characters, BPE and WordPiece."""
    words = count_words(source, config.seed)
    chars = Vocabulary(kind="chars", pieces=tuple(CHARSET))
    return chars, learn_bpe(words, config.pieces), learn_wordpiece(words, config.pieces)


def fit_heads(
    reader: Recogniser, faces: Sequence[Face], source: TextSource, vocabularies: Sequence[Vocabulary], checkpoint: Path,
    config: WordFit, resume: bool = False, progress: Progress = null_progress,
) -> WordHeads:  # fmt: skip
    """The EMA weights after `config.steps` steps on words of rendered lines."""
    start_training(config.seed, "cpu", config.threads)
    probe = reader.network(np.zeros((1, 1, reader.height, 64), np.float32))
    if len(probe) < 2:
        raise UsageError(f"{reader.facts.name}: its graph gives no tokens", hint="vitapps doc train recognizer")
    sizes = {part.kind: part.classes for part in vocabularies}
    shape = WordHeadsConfig(
        source=probe[1].shape[2], chars=sizes["chars"], bpe=sizes["bpe"], wordpiece=sizes["wordpiece"]
    )  # fmt: skip
    groups = LineGroups(
        faces, source, (Stage(first=0, difficulty=Difficulty(lengths=(1, 84))),),
        batch=config.batch, height=reader.height, seed=config.seed + _SEED,
    )  # fmt: skip

    def batches(first: int) -> Iterator[Batch]:
        lines = batches_from(groups, first // PASSES, config.steps // PASSES + _SPARE, config.generators)
        return word_batches(
            lines, reader.network, vocabularies, shape.places, group=GROUP, seed=config.seed + first
        )  # fmt: skip

    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(100, config.steps), ema=0.995, checkpoint_every=240
    )
    average = fit(WordHeads(shape), batches, heads_loss, schedule, checkpoint=checkpoint, resume=resume,
                  progress=progress)  # fmt: skip
    assert isinstance(average, WordHeads)
    return average


def heads_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Mean over the granularities of the cross-entropy of their places, the end included (Wang et al. 2022, section
    3.4); places behind the end and words that a vocabulary cannot write count nothing."""
    assert isinstance(module, WordHeads)
    rows, *targets = batch
    losses = [
        functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum")
        / (target != IGNORED).sum().clamp_min(1)
        for logits, target in zip(module.forward_logits(rows), targets, strict=True)  # B T K -> B*T K
    ]
    return torch.stack(losses).mean()


def _network(module: WordHeads) -> Any:
    def network(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return tuple(part.numpy() for part in module(torch.from_numpy(rows)))

    module.eval()
    return network


def _fitted(folder: Path) -> list[LabelledLine]:
    return [line for line in read_labelled_lines(folder) if is_fitted(line.source)]


def export(module: WordHeads, fusion: WordFusion, recogniser: Card, facts: dict[str, Any], out: Path) -> Path:
    """Write `line-latin-words.safetensors` (fp16), its graph, check and card to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": DEFAULT_READER,
        "task": WORDS_TASK,
        "arch": "word_heads",
        "config": {**asdict(module.config), "places": list(module.config.places)},
        "summary": f"reads doubtful words of {recogniser.name} again: characters, BPE, WordPiece",
        "licence": recogniser.licence,
        "status": "core",
        "preprocess": card_fields(fusion, recogniser, CHARSET),
        "training": facts,
        "tolerance": {"bf16": False, "int8": False},
        "limits": [
            f"reads tokens of {recogniser.name} (sha256 {recogniser.sha256[:12]}) and of no other recogniser",
            "words of 24 or more characters, or 12 or more pieces, stay as CTC has them; blanks too",
        ],
    }  # fmt: skip
    return publish(
        module, card, out, example=word_example(module.config),
        output_names=[*GRANULARITIES, "confidence"], free_axes=(1,),
    )  # fmt: skip
