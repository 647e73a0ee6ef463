"""`vitapps face localize`: where a photograph was edited, as a mask and a map, from classical evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.evidence.fuse import Calibration, Evidence, gather
from vitapps.pipelines.face.evidence.kinds import EvidenceName
from vitapps.pipelines.face.evidence.network import Localizer
from vitapps.pipelines.face.evidence.picture import Verdict
from vitapps.pipelines.face.heat_map import enlarged, overlay, save_png
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import preview_path, write_run_record

SMALLEST = 64  # pixels a side: below it no trace has room
LIMITS = (
    "the score of the whole picture ranks one of four pairs of an edited and an untouched one the wrong way",
    "pictures that were scaled down or passed a messenger have lost the traces of compression",
    "repeated things (windows, tiles, print) can pass for copies",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizeSettings:
    """`evidence` one kind or all; `threshold` 0..1 of the mask; `soft`: the map, 0..255, in place of the mask.
    `weights` a card of `face train localizer`, in the place of the evidence or of the sum of its local traces."""

    evidence: EvidenceName = "all"
    threshold: float = 0.5
    soft: bool = False
    preview: bool = False
    weights: str | None = None
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        if self.weights and self.evidence != "all":
            raise UsageError(f"--evidence {self.evidence} with --weights", hint="give one of the two")
        if not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g}: outside 0 to 1", hint="0.5 is the calibrated one")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizeResult:
    """`score` 0..1 of the picture, `verdict` by the calibration's two thresholds, "unsure" between them; it is always
    "unsure" for a single kind of evidence or a network of pixels, whose scores have none. `edited_share` of the pixels
    in the mask; `inconsistency` of the traces in deviations; `copied_points` keypoints that agree on one copy;
    `strongest` the trace that stands out most, by its deviation."""

    input: Path
    out: Path
    preview: Path | None
    score: float
    verdict: Verdict
    edited_share: float
    inconsistency: float
    copied_points: int
    strongest: dict[str, float]
    operating_point: dict[str, Any]
    exif_rotated: bool
    limits: tuple[str, ...] = LIMITS

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def localize(
    path: Path,
    out: Path,
    settings: LocalizeSettings | None = None,
    *,
    network: Localizer | None = None,
    options: RunOptions | None = None,
    sources: Sequence[Path] = (),
    progress: Progress = null_progress,
    command: str = "",
) -> LocalizeResult:
    """Write the mask of `path` (PNG, 255 = edited, of the upright picture's size) to `out`, with a run record.
    `network`: that of the settings' weights, loaded before.

    Raises UnreadableInputError, UsageError or OutputError; then nothing is written.
    """
    settings, options = settings or LocalizeSettings(), options or RunOptions()
    if network is None and settings.weights:
        network = Localizer.load(settings.weights, options)
    if out.suffix.lower() != ".png":
        raise UsageError(f"-o {out}: a mask is written as PNG", hint=f"-o {out.with_suffix('.png')}")
    drawn = preview_path(out) if settings.preview else None
    for target in (out, *([drawn] if drawn else [])):
        check_output(target, overwrite=options.overwrite, sources=(path, *sources))
    picture = read_picture(path)
    height, width = picture.pixels.shape[:2]
    if min(height, width) < SMALLEST:
        raise UnreadableInputError(f"{path}: {width} x {height} pixels", hint=f"traces need {SMALLEST} a side at least")
    facts = [network.facts] if network else []
    record = new_record(facts, options=options, settings=settings, command=command, inputs=[path])
    with record.timed("evidence"):
        if network:
            found = network.evidence(picture.pixels, settings.calibration, progress)
        else:
            found = gather(picture.pixels, settings.evidence, settings.calibration, progress)
    heat = enlarged(found.map, height, width)
    mask = heat >= settings.threshold
    result = _result(path, out, drawn, found, mask, settings, picture.exif_rotated)
    with record.timed("write"), atomic_path(out, overwrite=options.overwrite) as temporary:
        save_png(temporary, (heat * 255).round().astype(np.uint8) if settings.soft else mask.astype(np.uint8) * 255)
        if drawn:
            save_png(preview_path(temporary), overlay(picture.pixels, found.map))
    record.results = result.to_json()
    record.warnings = list(picture.warnings)
    write_run_record(out, record)
    return result


def _result(
    path: Path, out: Path, drawn: Path | None, found: Evidence, mask: Any, settings: LocalizeSettings, rotated: bool
) -> LocalizeResult:
    curve = settings.calibration
    judged = settings.evidence == "all" and "selfmatch" in found.parts
    strongest = {name: round(float(np.quantile(part, 0.98)), 3) for name, part in found.parts.items()}
    return LocalizeResult(
        input=path, out=out, preview=drawn, score=round(found.score, 4),
        verdict=curve.picture.verdict(found.score) if judged else "unsure",
        edited_share=round(float(mask.mean()), 5), inconsistency=round(found.inconsistency, 3),
        copied_points=found.inliers, strongest=strongest,
        operating_point={
            "edited_from": curve.picture.edited_from, "none_below": curve.picture.none_below,
            "mask_threshold": settings.threshold, "from": curve.source,
        },
        exif_rotated=rotated,
    )  # fmt: skip
