"""`vitapps doc train recognizer`: the line recogniser from rendered lines alone, reproducible from a seed.

No picture of a real document is trained on. Fonts and word lists are those of the machine, so another machine gives
other weights; the card names what was found.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.words import TextSource
from vitapps.pipelines.document.line_batches import LineGroups, batches_from, stages
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.sequence import ctc_loss
from vitapps.shared_backbones.models.line_recogniser import LineRecogniser, LineRecogniserConfig

log = logging.getLogger("vitapps.document.train")


@dataclass(frozen=True, kw_only=True, slots=True)
class LineFit:
    """`batch` lines a step; `threads` of a CPU; `generators`: processes that draw lines beside the training one."""

    steps: int = 9000
    batch: int = 32
    rate: float = 1.5e-3
    seed: int = 0
    threads: int = 1
    generators: int = 1


def train(
    out: Path, *, word_list: Path | None = None, config: LineFit | None = None, start: Path | None = None,
    resume: bool = False, device: str = "cpu", progress: Progress = null_progress,
) -> LineRecogniser:  # fmt: skip
    config = config or LineFit()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    faces = [face for face in find_faces() if not face.held_out]
    source = TextSource.open(word_list)
    log.info("%d faces, %d words of prose", len(faces), len(source.prose))
    shape = LineRecogniserConfig(num_chars=len(CHARSET))
    module = LineRecogniser(shape).to(device)
    groups = LineGroups(faces, source, stages(config.steps), batch=config.batch, height=shape.height, seed=config.seed)

    def batches(first: int) -> Iterator[Batch]:
        return batches_from(groups, first, config.steps, config.generators)

    schedule = FitConfig(
        steps=config.steps, rate=config.rate, warmup=min(200, config.steps), cooldown=0.35, ema=0.998,
        weight_decay=0.02, checkpoint_every=120, log_every=50,
    )  # fmt: skip
    average = fit(
        module,
        batches,
        _loss,
        schedule,
        checkpoint=out / "checkpoint.pt",
        start=start,
        resume=resume,
        progress=progress,
    )
    assert isinstance(average, LineRecogniser)
    return average


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, LineRecogniser)
    images, targets, lengths = batch
    return ctc_loss(module.forward_logits(images), targets, lengths)
