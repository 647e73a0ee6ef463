"""`vitapps doc train recognizer`: the line recogniser from rendered lines alone, reproducible from a seed.

No picture of a real document is trained on. Fonts and word lists are those of the machine, so another machine gives
other weights; the card names what was found. Every tenth family of fonts is kept for validation, and on it the
confidence of words is calibrated.
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

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.datasets.synth.text.fonts import Face, find_faces
from vitapps.datasets.synth.text.line import LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.errors import UsageError
from vitapps.pipelines.document.calibrate import fit_calibration, words_right
from vitapps.pipelines.document.confidence import Calibration
from vitapps.pipelines.document.line_batches import LineGroups, batches_from, stages
from vitapps.pipelines.document.line_input import prepare_line
from vitapps.pipelines.document.line_strips import LENGTH, Gap, laid_out, plan_strips
from vitapps.pipelines.document.recognise import DEFAULT_WEIGHTS, TASK, Recogniser
from vitapps.pipelines.document.text_scores import character_errors, folded_text
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.sequence import ctc_loss
from vitapps.shared_backbones.models.line_recogniser import (
    GAP,
    LineRecogniser,
    LineRecogniserConfig,
    gap_of,
    line_example,
)

log = logging.getLogger("vitapps.document.train")
STRETCH = 1.15  # of low pictures; chosen on receipts (SROIE) beside 1.0 and 1.2
HELD_OUT_SEED = 1 << 62  # no training line is drawn from here on
CALIBRATION_SEED = HELD_OUT_SEED + (1 << 40)
_TYPICAL = 160  # lines that the ranges of the int8 graph are taken from


@dataclass(frozen=True, kw_only=True, slots=True)
class LineFit:
    """`batch` lines a step; `rate` the highest learning rate; `threads` of a CPU; `generators`: processes that draw
    lines beside the training one; `held_out` lines of faces kept from training, for validation and calibration."""

    steps: int = 5200
    batch: int = 32
    rate: float = 1.5e-3
    seed: int = 0
    threads: int = 1
    generators: int = 1
    held_out: int = 1200


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """On rendered lines in held-out faces: folded CER in percent, and the calibration fitted there."""

    cer: float
    lines: int
    calibration: Calibration


def train(
    out: Path, *, word_list: Path | None = None, config: LineFit | None = None, start: Path | None = None,
    resume: bool = False, device: str = "cpu", progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on lines rendered in the machine's faces and write card, weights and graph to `out`; returns the card's
    path. `start`: the checkpoint of an earlier run to go on from. Raises UsageError for fewer than one step or line."""
    config = config or LineFit()
    if config.steps < 1 or config.batch < 1:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    faces, source = find_faces(), TextSource.open(word_list)
    shown = [face for face in faces if not face.held_out] or list(faces)
    held = [face for face in faces if face.held_out] or list(faces)
    log.info("%d faces, %d of them held out, %d words of prose", len(faces), len(held), len(source.prose))
    module = fit_recogniser(
        shown, source, out / "checkpoint.pt", config, start=start, resume=resume, device=device, progress=progress
    )
    found = validate(module.cpu(), held, source, config.held_out)
    log.info("held-out faces: CER %.2f %%", found.cer)
    facts = {
        "data": f"lines rendered by datasets/synth/text in {len(shown)} faces of {_families(shown)} families;"
        " no picture of a real document",
        "command": f"vitapps doc train recognizer --out DIR{' --words FILE' * (word_list is not None)}"
        f" --steps {config.steps} --batch {config.batch} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, generators=config.generators),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"confidence calibrated on {found.lines} lines in {_families(held)} font families that no step saw",
    }
    return export(module, found, facts, out, typical_strips(held, source, module.config))


def fit_recogniser(
    faces: Sequence[Face], source: TextSource, checkpoint: Path, config: LineFit, *, start: Path | None = None,
    resume: bool = False, device: str = "cpu", progress: Progress = null_progress,
) -> LineRecogniser:  # fmt: skip
    """The EMA weights after `config.steps` steps on rendered lines."""
    start_training(config.seed, device, config.threads)
    shape = LineRecogniserConfig(num_chars=len(CHARSET))
    module = LineRecogniser(shape).to(device)
    groups = LineGroups(faces, source, stages(config.steps), batch=config.batch, height=shape.height, seed=config.seed)

    def batches(first: int) -> Iterator[Batch]:
        return batches_from(groups, first, config.steps, config.generators)

    schedule = FitConfig(steps=config.steps, rate=config.rate, warmup=min(200, config.steps), checkpoint_every=120)
    average = fit(
        module, batches, _loss, schedule, checkpoint=checkpoint, start=start, resume=resume, progress=progress
    )  # fmt: skip
    assert isinstance(average, LineRecogniser)
    return average


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, LineRecogniser)
    images, targets, lengths = batch
    return ctc_loss(module.forward_logits(images), targets, lengths)


def validate(module: LineRecogniser, faces: Sequence[Face], source: TextSource, number: int) -> Validation:
    """Read `number` rendered lines in `faces` and fit the calibration of word confidences to what was right."""

    def network(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return tuple(part.numpy() for part in module(torch.from_numpy(images)))

    module.eval()
    maker = LineMaker(faces, source)
    samples = [maker.sample(HELD_OUT_SEED + place) for place in range(number)]
    reader = Recogniser(
        network=network, charset=CHARSET, height=module.config.height, stretch=STRETCH, gap=gap_between(module.config)
    )
    looks = reader.looks([sample.picture for sample in samples])
    marks = [
        right
        for look, sample in zip(looks, samples, strict=True)
        for _, right in words_right(look.reading, sample.text)
    ]
    scored = character_errors(
        [folded_text(look.reading.text) for look in looks], [folded_text(sample.text) for sample in samples]
    )
    seen = [word for look in looks for word in look.evidence]
    return Validation(cer=scored.rate, lines=number, calibration=fit_calibration(seen, marks))


def gap_between(config: LineRecogniserConfig) -> Gap:
    """What parts the lines of a strip for this network."""
    return Gap(pixels=gap_of(config), value=GAP)


def typical_strips(faces: Sequence[Face], source: TextSource, config: LineRecogniserConfig) -> NDArray[np.float32]:
    """Strips of rendered lines, n 1 height `LENGTH`: what the ranges of an int8 graph are taken from."""
    maker, gap = LineMaker(faces, source), gap_between(config)
    lines = [prepare_line(maker.sample(CALIBRATION_SEED + place).picture, config.height) for place in range(_TYPICAL)]
    lines = [line for line in lines if line.shape[1] <= LENGTH]
    strips = [laid_out(strip, lines, gap) for strip in plan_strips([line.shape[1] for line in lines], gap)]
    whole = np.full((len(strips), 1, config.height, LENGTH), gap.value, np.float32)
    for row, strip in zip(whole, strips, strict=True):
        row[..., : strip.shape[3]] = strip[0]
    return whole


def _families(faces: Sequence[Face]) -> int:
    return len({face.family for face in faces})


def export(
    module: LineRecogniser, found: Validation, facts: dict[str, Any], out: Path, typical: NDArray[np.float32]
) -> Path:
    """Write `line-latin.safetensors` (fp16), `line-latin.onnx` (any width), its int8 form with the ranges of the
    `typical` strips, and the card `line-latin.toml` to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": DEFAULT_WEIGHTS,
        "task": TASK,
        "arch": "line_recogniser",
        "config": asdict(module.config),
        "summary": "lines of printed Latin text: scans, receipts, screens",
        "licence": "Apache-2.0 (weights); trained on renders of open fonts (OFL, GPL with font exception, LPPL, Apache)"
        " and words of Debian's dictionaries and fortunes",
        "status": "core",
        "preprocess": {
            "height": module.config.height,
            "stretch": STRETCH,
            "charset": CHARSET,
            "gap": asdict(gap_between(module.config)),
            "calibration": asdict(found.calibration),
        },
        "training": facts,
        "scores": [
            {"metric": "CER %", "value": round(found.cer, 2), "data": "rendered lines in held-out font families",
             "n": found.lines, "command": str(facts["command"])}
        ],
        "tolerance": {"bf16": False, "int8": False},
        "limits": [
            "print only: hand-writing, blackletter and scripts other than Latin are not read",
            "one line a crop, within about 10 degrees of level; curved lines are read badly",
            "letters lower than about 8 pixels are guesses",
            "41 letters of Latin Extended-A are not written: those of Esperanto, Maltese and Sami among them",
            "words of scenes are hardly read: no letters in outline, on pictures, bent or seen at an angle were drawn",
        ],
    }  # fmt: skip
    return publish(
        module, card, out, example=line_example(module.config), output_names=["log_probs", "tokens"], free_axes=(3,),
        calibration=typical,
    )  # fmt: skip
