"""Rasters of any size, read window by window: GeoTIFF, COG, VRT, JPEG, PNG, JPEG 2000 and whatever else GDAL opens.

`open_raster` checks what can be checked without reading pixels and returns a `Raster`; `Raster.read` gives 8-bit RGB
and a validity mask of an integer pixel window. Pixel coordinates are `x` right, `y` down, origin at the outer corner of
the first pixel (GDAL's PixelIsArea; GDAL shifts PixelIsPoint files by half a pixel, so both agree).
"""

from __future__ import annotations

import logging
import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.raster_bands import Bands, choose_bands
from vitapps.errors import UnreadableInputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Window = tuple[int, int, int, int]  # x0 y0 x1 y1, whole pixels, x1 and y1 excluded

_LOGGER = logging.getLogger("vitapps.formats.raster")
_CACHE_MB = 256  # GDAL takes the size at its first read and keeps it for the life of the process
_BOMB_BYTES, _BOMB_RATIO = 1 << 32, 20_000  # a file that unpacks to more than both is damaged or hostile
_ROWS_AT_ONCE = 1 << 22  # pixels converted to 8 bit at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class RasterMeta:
    """What leads back into the raster's own space.

    `transform` is `(a, b, c, d, e, f)`: X = a x + b y + c, Y = d x + e y + f; `crs` is WKT or None; `georeferenced` is
    False when the file gives no transform (then it is the identity)."""

    path: Path
    width: int
    height: int
    count: int
    dtype: str
    driver: str
    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    georeferenced: bool


class Raster:
    """An open raster. Not thread-safe: one thread reads at a time, each inside `environment()`."""

    def __init__(self, dataset: DatasetReader, meta: RasterMeta, bands: Bands) -> None:
        self.dataset, self.meta, self.bands = dataset, meta, bands
        self.nodata = [dataset.nodatavals[index - 1] for index in bands.indexes]
        # 8-bit colours use every value, so there a pixel is empty only when all of its bands say so (255 marks both
        # nodata and white in many aerial photos); NaN and sentinels of wider types never are a colour
        self._every_band = dataset.dtypes[bands.indexes[0] - 1] in ("uint8", "uint16", "int8")
        self.value_range: tuple[float, float] = (0.0, 255.0)  # of the stored values, mapped to 0..255

    def read_raw(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Stored values C h w of the chosen bands and the mask h w of valid pixels."""
        from rasterio.errors import RasterioIOError

        x0, y0, x1, y1 = window
        place = ((y0, y1), (x0, x1))
        try:
            values = self.dataset.read(self.bands.indexes, window=place)  # -> C h w
            valid = self._valid(values, place)
        except (RasterioIOError, OSError) as error:
            raise UnreadableInputError(
                f"{self.meta.path}: rows {y0} to {y1} cannot be read ({_reason(error)})",
                hint="the file is truncated or damaged: fetch it again, or check it with gdalinfo -checksum",
            ) from error
        return values, valid

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """RGB 3 h w, `value_range` mapped linearly to 0..255, and the mask h w; invalid pixels hold anything."""
        values, valid = self.read_raw(window)
        if self.bands.palette is not None:
            table = self.bands.palette
            values = table[:, np.minimum(values[0], table.shape[1] - 1)]  # 1 h w -> 3 h w
        rgb = values if values.dtype == np.uint8 and self.value_range == (0.0, 255.0) else self._eight_bit(values)
        if rgb.shape[0] == 1:
            rgb = np.repeat(rgb, 3, axis=0)  # 1 h w -> 3 h w
        return rgb, valid

    def _eight_bit(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        low, high = self.value_range
        gain = 255.0 / max(high - low, 1e-30)
        result = np.empty(values.shape, np.uint8)
        step = max(1, _ROWS_AT_ONCE // max(1, values.shape[0] * values.shape[2]))
        for row in range(0, values.shape[1], step):
            part = values[:, row : row + step].astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
            scaled = np.nan_to_num((np.asarray(part) - low) * gain, nan=0.0, posinf=255.0, neginf=0.0)
            result[:, row : row + step] = np.rint(np.clip(scaled, 0, 255))
        return result

    def _valid(self, values: NDArray[Any], place: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[np.bool_]:
        """True where alpha or the mask band is above zero and the bands hold neither nodata nor NaN; -> h w."""
        valid = np.ones(values.shape[1:], bool)
        if self.bands.alpha is not None:
            valid &= self.dataset.read(self.bands.alpha, window=place) > 0
        elif self.bands.masked:
            valid &= self.dataset.read_masks(self.bands.indexes[0], window=place) > 0
        empty = [_equals(band, value) for band, value in zip(values, self.nodata, strict=True) if value is not None]
        if empty:
            every = self._every_band and len(empty) == len(values)
            valid &= ~(np.logical_and.reduce(empty) if every else np.logical_or.reduce(empty))
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return valid


def environment() -> Any:
    """The GDAL settings of every read, as a context manager; each thread that reads needs its own."""
    import rasterio

    logging.getLogger("rasterio").addHandler(logging.NullHandler())  # GDAL's own words arrive in the exception
    return rasterio.Env(
        GDAL_CACHEMAX=_CACHE_MB,
        GDAL_ERROR_ON_LIBJPEG_WARNING=True,  # else the missing half of a cut JPEG reads as grey
        GDAL_PNG_WHOLE_IMAGE_OPTIM=False,  # it takes what lies in memory for the missing part of a cut PNG
        GDAL_PAM_ENABLED=False,  # never write .aux.xml beside the user's file
        CPL_VSIL_CURL_ALLOWED_FILENAME="none",  # a VRT of web addresses must not make the library use the network
    )


@contextmanager
def open_raster(path: Path, bands: tuple[int, ...] = ()) -> Iterator[Raster]:
    """Open `path` for reading RGB; `bands` are 1-based indexes of red, green, blue (or one grey), none: by the file.

    Raises UnreadableInputError for what is no usable raster, UsageError for bands that are not there.
    """
    import rasterio
    from rasterio.errors import RasterioError

    _check_file(path)
    with environment():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NotGeoreferencedWarning: `RasterMeta.georeferenced` says it
            try:
                dataset = rasterio.open(path)
            except (RasterioError, OSError, ValueError) as error:
                raise UnreadableInputError(
                    f"{path}: not a raster that GDAL can read ({_reason(error)})",
                    hint="give a GeoTIFF, COG, VRT, JPEG 2000, PNG or JPEG; `gdalinfo FILE` says what is wrong",
                ) from error
        with dataset:
            meta = _meta(path, dataset)
            _check_content(dataset, meta)
            yield Raster(dataset, meta, choose_bands(dataset, path, bands))


def _equals(band: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Where `band` holds the nodata `value`; a value that the type cannot hold (-9999 in uint8) is nowhere."""
    if band.dtype.kind == "f":
        return np.isnan(band) if math.isnan(value) else np.asarray(band == band.dtype.type(value))
    whole = math.isfinite(value) and float(value).is_integer()
    return np.asarray(band == int(value)) if whole else np.zeros(band.shape, bool)


def _reason(error: BaseException) -> str:
    """GDAL's own explanation, on one line: it sits at the end of the chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "errmsg", "") or str(error)
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        empty_folder = stat.S_ISDIR(status.st_mode) and not any(path.iterdir())
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", "") or error
        raise UnreadableInputError(f"{path}: {reason}", hint="check the path and your rights") from error
    if empty_folder:
        raise UnreadableInputError(f"{path}: an empty folder", hint="give a raster file")
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):  # a pipe would be waited for without end
        raise UnreadableInputError(f"{path}: neither a file nor a folder", hint="give a raster file")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise UnreadableInputError(f"{path}: the file is empty", hint="fetch it again")


def _meta(path: Path, dataset: DatasetReader) -> RasterMeta:
    transform = dataset.transform
    return RasterMeta(
        path=path,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtype=str(dataset.dtypes[0]) if dataset.count else "",
        driver=dataset.driver,
        crs=dataset.crs.to_wkt() if dataset.crs else None,
        transform=(transform.a, transform.b, transform.c, transform.d, transform.e, transform.f),
        georeferenced=not transform.is_identity,
    )


def _check_content(dataset: DatasetReader, meta: RasterMeta) -> None:
    """Refuse what has no pixels to look at or no way back to the ground."""
    path = meta.path
    if meta.count == 0:
        parts = dataset.subdatasets
        hint = f"extract one with gdal_translate {parts[0]} out.tif" if parts else "give a raster with pixels"
        raise UnreadableInputError(f"{path}: no raster bands ({len(parts)} subdatasets)", hint=hint)
    if "complex" in meta.dtype:
        raise UnreadableInputError(
            f"{path}: complex pixels ({meta.dtype}) are no picture",
            hint="write the amplitude first, e.g. gdal_calc.py --calc 'abs(A)'",
        )
    if not meta.georeferenced and (dataset.gcps[0] or dataset.rpcs):
        kind = f"{len(dataset.gcps[0])} ground control points" if dataset.gcps[0] else "RPCs"
        raise UnreadableInputError(
            f"{path}: placed by {kind} only, not by a transform", hint=f"gdalwarp {path.name} warped.tif, then use that"
        )
    a, b, _, d, e, _ = meta.transform
    if not all(map(math.isfinite, meta.transform)) or a * e == b * d:
        raise UnreadableInputError(
            f"{path}: its geotransform {meta.transform} has no inverse", hint="set it with gdal_edit.py -a_ullr"
        )
    _check_size(meta)


def _check_size(meta: RasterMeta) -> None:
    """Refuse a header that promises far more pixels than any compression could have put into the file."""
    if meta.driver in ("VRT", "GTI", "STACTA") or not meta.path.is_file():
        return
    unpacked = meta.width * meta.height * meta.count * np.dtype(meta.dtype).itemsize
    stored = meta.path.stat().st_size
    if unpacked > _BOMB_BYTES and unpacked > _BOMB_RATIO * stored:
        raise UnreadableInputError(
            f"{meta.path}: the header says {meta.width} x {meta.height} px x {meta.count} bands "
            f"({unpacked / 1e9:.0f} GB), the file has {stored} bytes",
            hint="the header is damaged or the file is cut: fetch it again",
        )
