"""Objects named by words: OWL-ViT (`models/owlvit.py`) as a detector of `vitapps video detect` and `video mot`.

Frames are taken as a whole, made to fit the network's square and filled up with grey on the right and below, as its
authors do. Small objects in large frames want windows instead (`two_pass.py`, `--smallest` or `--tiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.devices import torch_device
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.carried_queries import CarriedQueries
from vitapps.pipelines.video.two_pass import FrameFound, Pixels
from vitapps.pipelines.windows.boxes import nms

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
MIN_SCORE = 0.1  # of OWL-ViT's own demonstrations
_SAME = 0.5  # IoU of two boxes of one thing
_GREY = 128
_BATCH = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Of B windows with N candidates: `scores` B N K in 0..1, `boxes` B N 4 (x0 y0 x1 y1, pixels of the window),
    `embeddings` B N D of length 1."""

    scores: Floats
    boxes: Floats
    embeddings: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class WordNetwork:
    """`run` takes windows B 3 S S in 0..1, S = `side`; the candidates are the cells of `grid` h w, row after row."""

    run: Callable[[Floats], Answers]
    side: int
    grid: tuple[int, int]
    words: tuple[str, ...]
    facts: NetworkFacts

    def predict(self, windows: Floats) -> tuple[Floats, Floats]:
        """Score maps B K h w and box maps B 4 h w, as the detectors of a card give them. Each candidate is of the one
        class that it is likeliest to be."""
        found = self.run(windows)
        scores = np.where(found.scores < found.scores.max(axis=2, keepdims=True), 0, found.scores)
        return self._map(scores), self._map(found.boxes)

    def _map(self, values: Floats) -> Floats:
        return np.ascontiguousarray(values.transpose(0, 2, 1).reshape(len(values), values.shape[2], *self.grid))


class WholeFrames:
    """`steps(frames)` as `TwoPassDetector`, one window a frame. `carry` 0..1: see `CarriedQueries`; at 0 every frame is
    searched for itself and boxes have no number."""

    def __init__(self, network: WordNetwork, min_score: float, carry: float = 0.0) -> None:
        self._network, self._min_score = network, min_score
        self._carried = CarriedQueries(carry) if carry > 0 else None

    def steps(self, frames: Sequence[Pixels]) -> list[FrameFound]:
        """Search the next frames, H W 3 of one size; they share batches."""
        found: list[FrameFound] = []
        for first in range(0, len(frames), _BATCH):
            part = frames[first : first + _BATCH]
            fitted = [_fitted(pixels, self._network.side) for pixels in part]
            answers = self._network.run(np.stack([window for window, _ in fitted]))
            for place, (pixels, (_, ratio)) in enumerate(zip(part, fitted, strict=True)):
                boxes = answers.boxes[place].astype(np.float64) / ratio
                limit = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float64)
                embeddings = answers.embeddings[place].astype(np.float64)
                scores = answers.scores[place].astype(np.float64)
                found.append(self._chosen(scores, np.clip(boxes, 0, limit), embeddings))
        return found

    def _chosen(self, scores: Doubles, boxes: Doubles, embeddings: Doubles) -> FrameFound:
        if self._carried is not None:
            scores = self._carried.raised(scores, boxes, embeddings)
        best, labels = scores.max(axis=1), scores.argmax(axis=1)  # N K -> N
        sound = (best >= self._min_score) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
        places = np.flatnonzero(sound)
        kept = places[nms(boxes[places], best[places], _SAME, labels[places])]
        ids = None
        if self._carried is not None:
            ids = self._carried.numbered(boxes[kept], best[kept], labels[kept], embeddings[kept])
        return FrameFound(boxes=boxes[kept], scores=best[kept], labels=labels[kept], ids=ids, calls=1, tiles=1)


def is_word_weights(weights: str) -> bool:
    """Whether `weights` can only be a published network that is asked by words."""
    return weights.startswith("hf:") or Path(weights).is_dir()


def load_word_network(weights: str, words: Sequence[str], options: RunOptions) -> WordNetwork:
    """OWL-ViT or OWLv2, `hf:OWNER/REPO` or a folder, asked for `words`; needs torch. Raises UsageError for words that
    are missing, empty or too long and for another architecture, MissingError for files that are not there."""
    asked = tuple(word.strip() for word in words)
    if not asked or not all(asked):
        raise UsageError(f"{weights}: what is sought is not named", hint='--words "a person, a dog"')
    if len(set(asked)) < len(asked):
        raise UsageError(f"--words {', '.join(asked)}: one of them twice", hint="name each kind once")
    import torch

    from vitapps.shared_backbones.models.reduced import reduced_model
    from vitapps.shared_backbones.weights.published_owl import load_published_owl

    found = load_published_owl(weights)
    device = torch_device(options)
    queries = found.queries(asked).to(device)
    module = reduced_model(found.module, options.reduce).to(device)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (found.mean, found.std))
    side = module.config.image.image_size[0]

    def run(windows: Floats) -> Answers:
        with torch.inference_mode():
            pixels = (torch.from_numpy(windows).to(device) - mean) / std
            logits, boxes, embeddings = module(pixels, queries)
            centre, half = boxes[..., :2] * side, boxes[..., 2:] * side / 2
            corners = torch.cat([centre - half, centre + half], dim=-1)  # B N 4
        scores, places, looks = (part.float().cpu().numpy() for part in (logits.sigmoid(), corners, embeddings))
        return Answers(scores=scores, boxes=places, embeddings=looks)

    facts = NetworkFacts(
        name=found.name, sha256=found.sha256, engine="torch", precision="exact", device=device,
        threads=options.threads, reason="a published checkpoint has no saved graph",
    )  # fmt: skip
    rows, columns = module.config.image.grid
    return WordNetwork(run=run, side=side, grid=(rows, columns), words=asked, facts=facts)


def _fitted(pixels: Pixels, side: int) -> tuple[Floats, float]:
    """The frame as a square 3 S S in 0..1, grey where it does not reach, and window pixels a frame pixel."""
    ratio = side / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * ratio)), max(1, round(pixels.shape[0] * ratio))
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    way = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    canvas[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=way)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1), np.float32) / np.float32(255), ratio
