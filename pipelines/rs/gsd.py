"""How much a raster is enlarged or reduced so that its pixels are as large on the ground as the model has learnt."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import hypot

from vitapps.datasets.formats.georef import pixel_size
from vitapps.datasets.formats.raster import RasterMeta
from vitapps.errors import UnreadableInputError, UsageError

_LOGGER = logging.getLogger("vitapps.rs")
_COARSE, _TOO_COARSE = 2.1, 5.0  # pixel size over model pixel size: details are missing, nothing is to be seen
_TOO_FINE = 0.03  # one window of the model would be hundreds of megabytes of the raster
_SAME = 0.02  # a difference that resampling would only blur


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """`x`, `y`: model pixels for each raster pixel; `width`, `height`: the raster in model pixels; `pixel`: the size of
    a raster pixel in metres (x, y), assumed or given where the raster does not say it."""

    x: float
    y: float
    width: int
    height: int
    pixel: tuple[float, float]

    def times(self, factor: float) -> Scale:
        """The same raster, `factor` times as many model pixels a side."""
        width, height = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        x, y = self.x * width / self.width, self.y * height / self.height
        return Scale(x=x, y=y, width=width, height=height, pixel=self.pixel)


def choose_scale(meta: RasterMeta, model_gsd: float, gsd: str | float = "auto") -> Scale:
    """Scale of `meta` for a model with pixels of `model_gsd` metres.

    `gsd` is `auto` (pixel size by the transform and CRS, taken as `model_gsd` with a warning when there is none),
    `native` (no resampling), or the raster's pixel size in metres. Raises UnreadableInputError when the pixels are
    far too coarse or fine.
    """
    pixel = _pixel(meta, model_gsd, gsd)
    x, y = pixel[0] / model_gsd, pixel[1] / model_gsd
    alike = abs(x - 1) <= _SAME and abs(y - 1) <= _SAME
    if gsd == "native" or alike:
        if max(x, y, 1 / x, 1 / y) > _COARSE:
            _LOGGER.warning(
                "%s: pixels of %.3g m taken as they are, the model has learnt %g m: little will be found",
                meta.path, max(pixel), model_gsd,
            )  # fmt: skip
        return Scale(x=1.0, y=1.0, width=meta.width, height=meta.height, pixel=pixel)
    _check(meta, max(pixel), model_gsd)
    width, height = max(1, round(meta.width * x)), max(1, round(meta.height * y))
    return Scale(x=width / meta.width, y=height / meta.height, width=width, height=height, pixel=pixel)


def _pixel(meta: RasterMeta, model_gsd: float, gsd: str | float) -> tuple[float, float]:
    if not isinstance(gsd, str):
        if not 0 < gsd < float("inf"):
            raise UsageError(f"--gsd {gsd:g}: no pixel size", hint="give metres, e.g. --gsd 0.1, or auto or native")
        return gsd, gsd
    found = pixel_size(meta)
    if found is None:
        step = hypot(meta.transform[0], meta.transform[3])
        told = f" (its pixels are {step:g} units wide: --gsd {step:g} if these are metres)" * meta.georeferenced
        _LOGGER.warning(
            "%s: its pixel size is unknown (no usable CRS); %g m is assumed, say it with --gsd%s",
            meta.path, model_gsd, told,
        )  # fmt: skip
        return model_gsd, model_gsd
    return found


def _check(meta: RasterMeta, pixel: float, model_gsd: float) -> None:
    ratio = pixel / model_gsd
    if ratio > _TOO_COARSE:
        raise UnreadableInputError(
            f"{meta.path}: pixels of {pixel:.3g} m are {ratio:.3g} times coarser than the {model_gsd:g} m of the model",
            hint="give sharper imagery; --gsd native runs the model anyway, without resampling",
        )
    if ratio < _TOO_FINE:
        raise UnreadableInputError(
            f"{meta.path}: pixels of {pixel:.3g} m, the model looks at {model_gsd:g} m",
            hint=f"reduce it first: gdalwarp -tr {model_gsd:g} {model_gsd:g} -r average; or check its CRS",
        )
    if ratio > _COARSE:
        _LOGGER.warning(
            "%s: pixels of %.3g m, the model has learnt %g m: small objects will be missed", meta.path, pixel, model_gsd
        )
