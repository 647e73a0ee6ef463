"""Which bands of a raster are red, green and blue: by the user's word, else by what the file says about its bands."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError, UsageError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_LOGGER = logging.getLogger("vitapps.formats.raster")
# centres in nm of what sensors call red, green and blue (Sentinel-2, Landsat 8, PlanetScope agree within 20 nm)
_WAVELENGTHS = (660.0, 560.0, 480.0)
_WAVELENGTH_REACH = 45.0
_NAMES = (
    re.compile(r"^(red|r|rot|rouge|rojo|rosso)([ _\-(:].*)?$", re.IGNORECASE),
    re.compile(r"^(green|g|gr(ü|ue)n|vert|verde)([ _\-(:].*)?$", re.IGNORECASE),
    re.compile(r"^(blue|b|blau|bleu|azul|blu)([ _\-(:].*)?$", re.IGNORECASE),
)
_SENTINEL2 = (
    re.compile(r"^B0?4\b", re.IGNORECASE),
    re.compile(r"^B0?3\b", re.IGNORECASE),
    re.compile(r"^B0?2\b", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Bands:
    """1-based `indexes` of one (grey, palette) or three (red, green, blue) bands, the `alpha` band if there is one,
    whether a mask band exists, the `palette` 3 n uint8 of a colour-mapped file, and how the choice was made."""

    indexes: tuple[int, ...]
    alpha: int | None
    masked: bool
    palette: NDArray[np.uint8] | None
    reason: str


def choose_bands(dataset: DatasetReader, path: Path, wanted: tuple[int, ...] = ()) -> Bands:
    """Bands by `wanted`, colour interpretation, wavelength, description, order: the first of these that decides.

    Warns when the choice is a guess. Raises UsageError when `wanted` does not fit, UnreadableInputError when there is
    nothing but alpha.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    kinds = dataset.colorinterp
    alpha = next((index for index, kind in enumerate(kinds, 1) if kind == ColorInterp.alpha), None)
    colours = [index for index in range(1, dataset.count + 1) if index != alpha]
    if not colours:
        raise UnreadableInputError(f"{path}: only an alpha band, no colours", hint="give a raster with image bands")
    if wanted:
        _check_wanted(wanted, dataset.count, path)
    indexes, reason = (wanted, "--bands") if wanted else _find(dataset, colours, path)
    flags = dataset.mask_flag_enums[indexes[0] - 1]
    return Bands(
        indexes=indexes,
        alpha=alpha,
        masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        palette=_palette(dataset, indexes),
        reason=reason,
    )


def _check_wanted(wanted: tuple[int, ...], count: int, path: Path) -> None:
    if len(wanted) not in (1, 3):
        raise UsageError(
            f"--bands {','.join(map(str, wanted))}: {len(wanted)} bands", hint="give red,green,blue or one band"
        )
    outside = [index for index in wanted if not 1 <= index <= count]
    if outside:
        raise UsageError(f"--bands: {path} has bands 1 to {count}, not {outside[0]}", hint=f"choose among 1..{count}")


def _find(dataset: DatasetReader, colours: list[int], path: Path) -> tuple[tuple[int, ...], str]:
    by_colour = _by_interpretation(dataset)
    if by_colour:
        return by_colour, "colour interpretation"
    if len(colours) < 3:
        if dataset.colorinterp[colours[0] - 1].name != "palette":
            _LOGGER.warning("%s: no colours, band %d is used as red, green and blue", path, colours[0])
        return (colours[0],), "single band"
    for find, reason in ((_by_wavelength, "wavelength"), (_by_description, "band description")):
        found = find(dataset, colours)
        if found:
            return found, reason
    if len(colours) > 3:
        _LOGGER.warning(
            "%s: its %d bands have no names; 1, 2, 3 are taken for red, green, blue (--bands)", path, len(colours)
        )
    return (colours[0], colours[1], colours[2]), "band order"


def _by_interpretation(dataset: DatasetReader) -> tuple[int, ...] | None:
    from rasterio.enums import ColorInterp

    kinds = list(dataset.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return tuple(kinds.index(kind) + 1 for kind in wanted) if all(kind in kinds for kind in wanted) else None


def _by_wavelength(dataset: DatasetReader, colours: list[int]) -> tuple[int, ...] | None:
    """The bands nearest to red, green and blue, when each is near enough and they differ."""
    centres = {index: wavelength(dataset, index) for index in colours}
    known = {index: value for index, value in centres.items() if value is not None}
    if len(known) < 3:
        return None
    nearest = tuple(min(known, key=lambda index, goal=goal: abs(known[index] - goal)) for goal in _WAVELENGTHS)  # type: ignore[misc]
    near = all(abs(known[index] - goal) <= _WAVELENGTH_REACH for index, goal in zip(nearest, _WAVELENGTHS, strict=True))
    return nearest if near and len(set(nearest)) == 3 else None


def wavelength(dataset: DatasetReader, index: int) -> float | None:
    """Centre wavelength of band `index` in nm by its tags (`wavelength`, GDAL's IMAGERY domain), None without them."""
    tags = {**dataset.tags(index), **dataset.tags(index, ns="IMAGERY")}
    lowered = {key.lower(): value for key, value in tags.items()}
    for key in ("central_wavelength_um", "wavelength", "wavelengths", "center_wavelength", "central_wavelength"):
        number = re.match(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)", str(lowered.get(key, "")), re.IGNORECASE)
        if number:
            value = float(number.group(1))
            unit = str(lowered.get("wavelength_units", "")).lower()
            micrometres = (
                key.endswith("_um") or unit.startswith("micro") or value < 30
            )  # no optical band lies below 30 nm
            return value * 1000 if micrometres else value
    return None


def _by_description(dataset: DatasetReader, colours: list[int]) -> tuple[int, ...] | None:
    texts = {index: (dataset.descriptions[index - 1] or "").strip() for index in colours}
    for patterns in (_NAMES, _SENTINEL2):
        found = [next((index for index, text in texts.items() if pattern.match(text)), None) for pattern in patterns]
        if None not in found and len(set(found)) == 3:
            return tuple(index for index in found if index is not None)
    return None


def _palette(dataset: DatasetReader, indexes: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if len(indexes) != 1 or dataset.colorinterp[indexes[0] - 1].name != "palette":
        return None
    try:
        table: dict[int, Any] = dataset.colormap(indexes[0])
    except ValueError:
        return None
    colours = np.zeros((3, max(table) + 1), np.uint8)
    for value, colour in table.items():
        colours[:, value] = colour[:3]
    return colours
