"""`vitapps doc synth`: rendered lines and pages as files, to look at and to train other programs with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, write_text
from vitapps.datasets.synth.pages import make_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import Difficulty, LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.options import RunOptions
from vitapps.progress import Progress, null_progress

SampleKind = Literal["line", "page"]


def write_samples(
    out: Path, number: int, *, kind: SampleKind = "line", strength: float = 1.0, word_list: Path | None = None,
    options: RunOptions | None = None, progress: Progress = null_progress,
) -> list[Path]:  # fmt: skip
    """Write `NUMBER.png` with `NUMBER.gt.txt` to the folder `out`, from the seed of `options` on; returns the pictures.

    `strength` 0 to 1 of the defects of lines; a page is worn or, at 0, clean.
    """
    options = options or RunOptions()
    out.mkdir(parents=True, exist_ok=True)
    maker = None
    if kind == "line":
        maker = LineMaker(find_faces(), TextSource.open(word_list), Difficulty(strength=strength))
    written = []
    with progress.task("drawing", total=number) as task:
        for place in range(number):
            if maker is not None:
                sample = maker.sample(options.seed + place)
                picture, text = sample.picture, sample.text
            else:
                page = make_page(options.seed + place, worn=strength > 0)
                picture, text = page.image, page.page.text
            path = out / f"{place:05d}.png"
            _write_png(path, picture, overwrite=options.overwrite)
            write_text(path.with_suffix(".gt.txt"), text + "\n", overwrite=options.overwrite)
            written.append(path)
            task.advance()
    return written


def _write_png(path: Path, picture: NDArray[np.uint8], *, overwrite: bool) -> None:
    from PIL import Image

    with atomic_path(path, overwrite=overwrite) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
