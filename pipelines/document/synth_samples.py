"""`vitapps doc synth`: rendered lines and pages as files, to look at and to train other programs with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, write_text
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.synth.journal_pages import make_journal_page
from vitapps.datasets.synth.page_photo import photographed
from vitapps.datasets.synth.pages import SyntheticPage, make_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.line import Difficulty, LineMaker
from vitapps.datasets.synth.text.words import TextSource
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path

SampleKind = Literal["line", "page", "journal", "photo"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSettings:
    """`strength` 0 to 1 of the defects of lines; a page is worn or, at 0, clean. `photo`: a page askew on a desk.
    `regions`: beside each page its blocks drawn, `NUMBER.png.preview.png`. `camera`: share of the lines that a camera
    sees. `word_list` for lines, None: those of the machine."""

    kind: SampleKind = "line"
    strength: float = 1.0
    word_list: Path | None = None
    regions: bool = False
    camera: float = 0.0


def write_samples(
    out: Path, number: int, settings: SampleSettings | None = None, *, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[Path]:  # fmt: skip
    """Write `NUMBER.png` with `NUMBER.gt.txt` to the folder `out`, from the seed of `options` on; returns the pictures.
    Raises UsageError for regions of lines and photographs, and for a camera over pages."""
    settings, options = settings or SampleSettings(), options or RunOptions()
    kind, strength = settings.kind, settings.strength
    if settings.regions and kind in ("line", "photo"):
        raise UsageError(f"a {kind} has no regions", hint="--kind page or --kind journal")
    if settings.camera and kind != "line":
        raise UsageError("--camera is for lines", hint="--kind photo")
    out.mkdir(parents=True, exist_ok=True)
    maker = None
    if kind == "line":
        difficulty = Difficulty(strength=strength, camera=settings.camera)
        maker = LineMaker(find_faces(), TextSource.open(settings.word_list), difficulty)
    written = []
    with progress.task("drawing", total=number) as task:
        for place in range(number):
            path, seed = out / f"{place:05d}.png", options.seed + place
            if maker is not None:
                sample = maker.sample(seed)
                picture, text = sample.picture, sample.text
            else:
                made = (make_journal_page if kind == "journal" else make_page)(seed, worn=strength > 0)
                picture, text = made.image, made.page.text
                if kind == "photo":
                    flat = np.repeat(picture[..., None], 3, axis=2)  # H W -> H W 3
                    picture, _ = photographed(flat, np.random.default_rng(seed), strength)
                if settings.regions:
                    _write_regions(preview_path(path), made, overwrite=options.overwrite)
            _write_png(path, picture, overwrite=options.overwrite)
            write_text(path.with_suffix(".gt.txt"), text + "\n", overwrite=options.overwrite)
            written.append(path)
            task.advance()
    return written


def _write_regions(path: Path, made: SyntheticPage, *, overwrite: bool) -> None:
    """The page with its blocks and lines drawn, as `doc layout --preview` draws what it finds."""
    from vitapps.pipelines.document.lay_out import draw_layout

    picture = Picture(pixels=np.repeat(made.image[..., None], 3, axis=2), name=path.name)
    with atomic_path(path, overwrite=overwrite) as temporary:
        draw_layout(picture, made.page).save(temporary, format="PNG")


def _write_png(path: Path, picture: NDArray[np.uint8], *, overwrite: bool) -> None:
    from PIL import Image

    with atomic_path(path, overwrite=overwrite) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
