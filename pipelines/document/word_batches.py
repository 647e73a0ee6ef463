"""Batches for the word heads: rendered lines through the frozen recogniser, its words beside what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, pairwise

import numpy as np
import torch

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.pipelines.document.ctc_decode import best_path, word_spans
from vitapps.pipelines.document.look_alikes import settle
from vitapps.pipelines.document.word_fusion import Network
from vitapps.pipelines.document.word_pieces import END, Vocabulary
from vitapps.pipelines.document.word_tokens import Floats, padded, word_rows
from vitapps.pipelines.runtime.fit import Batch

PASSES = 2  # batches of words from one of lines: drawing and reading lines costs as much as a step of the heads
IGNORED = -100  # no class: behind the end, and where a vocabulary cannot write the word
SPACE = CHARSET.index(" ") + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaughtWord:
    """Rows N D+2 of a word, and what truly stands there."""

    rows: Floats
    text: str


def taught_words(batch: Batch, network: Network) -> list[TaughtWord]:
    """The words of a batch of lines (`line_batches.to_batch`) whose place in the text is known."""
    images, targets, lengths = batch
    log_probs, tokens = network(images.numpy())
    found: list[TaughtWord] = []
    for row, classes in enumerate(targets.tolist()):
        text = "".join(CHARSET[place - 1] for place in classes[: int(lengths[row])])
        found += _words_of(log_probs[row], tokens[row], text)
    return found


def _words_of(log_probs: Floats, tokens: Floats, text: str) -> Iterator[TaughtWord]:
    peaks = settle(best_path(log_probs, CHARSET))
    spans = word_spans(peaks)
    read = ["".join(peak.char for peak in peaks[first:last]) for first, last in spans]
    rows = word_rows(log_probs, tokens, peaks, spans, SPACE)
    for place, truth in paired(read, text.split()):
        if len(rows[place]):
            yield TaughtWord(rows=rows[place], text=truth)


def paired(read: Sequence[str], truth: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Numbers of the words read and what stands there: equal runs, and unequal ones between them of as many words.
    Where blanks were missed or made up, no word is paired."""
    for _, first, last, start, stop in SequenceMatcher(None, read, truth, autojunk=False).get_opcodes():
        if last - first == stop - start:
            yield from zip(range(first, last), truth[start:stop], strict=True)


def word_batches(
    lines: Iterator[Batch], network: Network, vocabularies: Sequence[Vocabulary], places: Sequence[int], *, group: int,
    seed: int,
) -> Iterator[Batch]:  # fmt: skip
    """Rows B N D+2 and classes B T of each granularity, `PASSES` batches for each of lines. The words of `group`
    batches of lines are sorted by length and dealt out again in every pass, words of one length to other batches, so
    that little is padding; of fewer words than batches there are fewer batches."""
    rng = np.random.default_rng(seed)
    while batches := list(islice(lines, group)):
        words = [word for batch in batches for word in taught_words(batch, network)]
        edges = np.linspace(0, len(words), len(batches) + 1).astype(int)
        for _ in range(PASSES):
            order = sorted(range(len(words)), key=lambda place: (len(words[place].rows), rng.random()))
            parts = [order[start:stop] for start, stop in pairwise(edges.tolist()) if stop > start]
            for number in rng.permutation(len(parts)):
                yield taught([words[place] for place in parts[number]], vocabularies, places)


def taught(words: Sequence[TaughtWord], vocabularies: Sequence[Vocabulary], places: Sequence[int]) -> Batch:
    """As tensors."""
    targets = [
        torch.tensor([_classes(word.text, vocabulary, room) for word in words])
        for vocabulary, room in zip(vocabularies, places, strict=True)
    ]
    return torch.from_numpy(padded([word.rows for word in words])), *targets


def _classes(text: str, vocabulary: Vocabulary, room: int) -> list[int]:
    classes = vocabulary.encode(text)
    if classes is None or len(classes) >= room:
        return [IGNORED] * room
    return [*classes, END] + [IGNORED] * (room - len(classes) - 1)
