"""An int8 graph for a card that has been published: made from its graph and typical inputs, without torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.engines.int8 import Layers, quantize_graph
from vitapps.shared_backbones.weights.cards import Card, card_files, graph_path, write_card

_CALIBRATION_BATCH = 4
_CALIBRATION_VALUES = 1 << 20  # of the inputs of a batch


def int8_card(card: Card, out: Path, inputs: Iterable[NDArray[np.float32]], *, layers: Layers = "all") -> Card:
    """Write `card` with all its files and an int8 graph, calibrated on batches of `inputs` B C *spatial, to the folder
    `out`; an older one there is replaced.

    Raises MissingError where the card has no graph or a package is missing, UsageError without inputs.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{card.name}.toml"
    with atomic_path(path, overwrite=True) as temporary:  # all files of one model, never of two
        folder = temporary.parent
        graph = folder / f"{card.name}.int8.onnx"
        quantize_graph(graph_path(card), graph, inputs, layers=layers)
        for name in card_files(dataclasses.replace(card, int8_file="")):
            if (card.folder / name).resolve() != (out / name).resolve():
                shutil.copyfile(card.folder / name, folder / name)
        made = dataclasses.replace(card, **int8_fields(graph), folder=out)
        write_card(made, temporary)
    return made


def int8_fields(path: Path) -> dict[str, Any]:
    """What a card says of its int8 graph."""
    return {"int8_file": path.name, "int8_sha256": sha256_file(path), "int8_size": path.stat().st_size}


def batches(inputs: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Inputs of one shape, B C *spatial, as batches for the calibration, which holds every activation of a batch at
    once (3 GB of a ViT-B/16 for one image of 512 pixels): large inputs go alone. The ranges are the same."""
    number = min(_CALIBRATION_BATCH, max(1, _CALIBRATION_VALUES // max(1, inputs[0].size))) if len(inputs) else 1
    for first in range(0, len(inputs), number):
        yield inputs[first : first + number]
