"""Logits and features of folders of live faces and attacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import Presentation
from vitapps.pipelines.face.face_views import cut_out
from vitapps.pipelines.face.texture import texture
from vitapps.progress import Progress, null_progress


def crop_of(item: Presentation) -> NDArray[np.uint8]:
    """The face of one picture, H W 3."""
    pixels = read_picture(item.path).pixels
    return pixels if item.box is None else cut_out(pixels, item.box)


def features_of(items: Sequence[Presentation], progress: Progress = null_progress) -> NDArray[np.float32]:
    """Texture features N D."""
    with progress.task("features", total=len(items)) as task:
        found = []
        for item in items:
            found.append(texture(crop_of(item)))
            task.advance()
    return np.stack(found)
