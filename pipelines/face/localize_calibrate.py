"""`vitapps face calibrate localize`: the curves of `face localize`, from untouched pictures.

The pictures are edited by `datasets/synth/tampering.py`. Of the map, the offset is the threshold of best mean F1 over
the edited ones less the share that it marks of the untouched, so that 0.5 is the operating point; the slope is that of
the logistic regression through it. Of the whole picture, a logistic regression tells the edited ones from the same
pictures without an edit, of the same first and another last compression; a verdict begins where few of the other kind
lie beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.datasets.synth.tampering import Kind, tamper
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.calibration_file import calibration_table, toml_text
from vitapps.pipelines.face.evidence.fuse import Calibration, Map, gather, guide_of, local_sum
from vitapps.pipelines.face.evidence.kinds import FALSE_ALARMS, MISSED
from vitapps.pipelines.face.evidence.picture import PictureCurve
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.scores import Bools, Floats, f1_of
from vitapps.pipelines.face.unsure_band import TradeOff, fit_band, trade_off
from vitapps.progress import Progress, null_progress

_EDITS: tuple[Kind, ...] = ("splice", "copy-move", "retouch")
_SHARES = (0.4, 0.4, 0.2)
_STEPS = np.linspace(-2, 10, 49)
_LONGEST = 800
_PENALTY = 5.0


class _Sample(NamedTuple):
    """The fused local sum h w of a picture, its mask on the same grid, the two measures of the whole picture, and the
    photograph that it was made from."""

    total: Map
    mask: NDArray[np.bool_]
    inconsistency: float
    inliers: int
    photograph: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizeFit:
    """The curves, and what other bands would cost: measured on photographs that neither curve nor band was fitted
    on."""

    calibration: Calibration
    trade_off: list[TradeOff]


def calibrate(
    pictures: Path, *, number: int = 120, false_alarms: float = FALSE_ALARMS, missed: float = MISSED, seed: int = 0,
    progress: Progress = null_progress,
) -> LocalizeFit:  # fmt: skip
    """Fit on `number` pictures made from those in the folder (two at least; UnreadableInputError), half of them edited,
    half the same ones without their edit. The verdict's band lets through the two error rates on them."""
    paths = pictures_of(pictures)
    if len(paths) < 2:
        raise UnreadableInputError(f"{pictures}: one picture", hint="give a folder of untouched photographs")
    samples: list[_Sample] = []
    rng = np.random.default_rng(seed)
    with progress.task("edited pictures", total=number) as task:
        for index in range(number // 2):
            places = rng.choice(len(paths), 2, replace=False)
            target, donor = (_small(paths[place]) for place in places)
            pair: tuple[Kind, Kind] = (_EDITS[int(rng.choice(len(_EDITS), p=_SHARES))], "untouched")
            for kind in pair:
                made = tamper(target, donor, seed * 100_003 + index, kind)
                samples.append(_measured(made.image, made.mask, paths[places[0]].name))
                task.advance()
    offset = float(_STEPS[int(np.argmax([_worth(samples, step) for step in _STEPS]))])
    calibration = Calibration(
        slope=round(_slope(samples, offset), 3), offset=round(offset, 3),
        picture=_with_band(_picture_curve(samples), samples, false_alarms, missed),
        source=f"{number // 2} pictures edited by datasets/synth from {len(paths)} untouched ones and the same without "
        f"the edit, seed {seed}",
    )  # fmt: skip
    return LocalizeFit(calibration=calibration, trade_off=_trade_off(samples))


def calibration_text(calibration: Calibration) -> str:
    """As TOML."""
    return toml_text(_flat(calibration))


def read_calibration(path: Path) -> Calibration:
    """A file of `face calibrate localize`; raises UnreadableInputError."""
    with calibration_table(path, "localize") as table:
        fields = {key: type(value)(table[key]) for key, value in _flat(Calibration()).items()}
    picture = PictureCurve(**{key: fields.pop(key) for key in asdict(PictureCurve())})
    return Calibration(**fields, picture=picture)


def _flat(calibration: Calibration) -> dict[str, Any]:
    """Those of the picture's curve beside the others."""
    fields = asdict(calibration)
    curve: dict[str, Any] = fields.pop("picture")
    return fields | curve


def _small(path: Path) -> NDArray[np.uint8]:
    pixels = read_picture(path).pixels
    scale = _LONGEST / max(pixels.shape[:2])
    return (
        np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)) if scale < 1 else pixels
    )


def _measured(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], photograph: str) -> _Sample:
    evidence = gather(pixels)
    height, width = evidence.map.shape
    truth = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 127
    total = local_sum(evidence.parts, guide_of(pixels, height, width))
    return _Sample(total, truth, evidence.inconsistency, evidence.inliers, photograph)


def _worth(samples: list[_Sample], step: float) -> float:
    """Mean F1 over the edited pictures less the share of the untouched that is marked, at one threshold of the sum."""
    found = [f1_of(each.total >= step, each.mask) for each in samples if each.mask.any()]
    wrong = [float((each.total >= step).mean()) for each in samples if not each.mask.any()]
    return float(np.mean(found or [0.0]) - np.mean(wrong or [0.0]))


def _slope(samples: list[_Sample], offset: float) -> float:
    """Maximum likelihood of the logistic curve through `offset`, every picture with the same weight, by search."""
    slopes = np.linspace(0.1, 2.0, 39)
    losses = []
    for slope in slopes:
        curves = ((slope * (each.total - offset), each.mask) for each in samples)
        losses.append(np.mean([np.logaddexp(0, np.where(mask, -curve, curve)).mean() for curve, mask in curves]))
    return float(slopes[int(np.argmin(losses))])


def _picture_curve(samples: list[_Sample]) -> PictureCurve:
    """Neither measure counts against an edit; the band is the default one."""
    measures = np.array([(each.inconsistency, np.log1p(each.inliers)) for each in samples])  # N 2
    edited = _edited(samples)
    spread = measures.std(axis=0) + 1e-6
    slopes, bias = fit_logistic(measures / spread, edited, penalty=_PENALTY)
    weights = (slopes / spread).clip(0)
    return PictureCurve(
        inconsistency_weight=round(float(weights[0]), 3), copy_weight=round(float(weights[1]), 3),
        bias=round(float(bias), 3),
    )  # fmt: skip


def _scores(curve: PictureCurve, samples: Sequence[_Sample]) -> Floats:
    return np.array([curve.score(each.inconsistency, each.inliers) for each in samples])


def _edited(samples: Sequence[_Sample]) -> Bools:
    return np.array([bool(each.mask.any()) for each in samples])


def _with_band(curve: PictureCurve, samples: list[_Sample], false_alarms: float, missed: float) -> PictureCurve:
    band = fit_band(_scores(curve, samples), _edited(samples), false_alarms=false_alarms, missed=missed)
    return replace(curve, edited_from=band.upper, none_below=band.lower)


def _trade_off(samples: list[_Sample]) -> list[TradeOff]:
    """The curve too is fitted without the photographs that it is measured on."""

    def score(shown: Bools) -> Floats:
        curve = _picture_curve([each for each, keep in zip(samples, shown, strict=True) if keep])
        return _scores(curve, samples)

    return trade_off(score, _edited(samples), [each.photograph for each in samples])
