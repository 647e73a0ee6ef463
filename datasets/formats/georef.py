"""From pixels to the ground: affine transforms, lengths in metres, longitude and latitude, polygons back to pixels.

Lengths are geodesic on the ellipsoid of the CRS: a pixel of Web Mercator or of a lon/lat grid is as long as it is on
the ground, and feet become metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitapps.datasets.formats.raster import RasterMeta
from vitapps.errors import UnreadableInputError

Floats = NDArray[np.float64]


def to_crs(meta: RasterMeta, points: ArrayLike) -> Floats:
    """Pixel points `... 2` (x right, y down, corner origin) -> coordinates `... 2` of the raster's CRS."""
    a, b, c, d, e, f = meta.transform
    xy = np.asarray(points, np.float64)
    return np.stack([a * xy[..., 0] + b * xy[..., 1] + c, d * xy[..., 0] + e * xy[..., 1] + f], axis=-1)


def to_pixels(meta: RasterMeta, points: ArrayLike) -> Floats:
    """Coordinates `... 2` of the raster's CRS -> pixel points `... 2`; the inverse of `to_crs`."""
    a, b, c, d, e, f = meta.transform
    xy = np.asarray(points, np.float64)
    u, v = xy[..., 0] - c, xy[..., 1] - f
    return np.stack([e * u - b * v, a * v - d * u], axis=-1) / (a * e - b * d)


def corners(boxes: ArrayLike) -> Floats:
    """Boxes `n 4` -> their corners `n 4 2` from the top left clockwise as seen in the image."""
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.stack([found[:, [0, 1]], found[:, [2, 1]], found[:, [2, 3]], found[:, [0, 3]]], axis=1)


def sides_in_metres(meta: RasterMeta, boxes: ArrayLike) -> Floats | None:
    """Width and height `n 2` in metres of pixel boxes, through their centres; None without a usable CRS."""
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(found):
        return np.zeros((0, 2))
    x0, y0, x1, y1 = found.T
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    starts = np.stack([np.stack([x0, middle_y], 1), np.stack([middle_x, y0], 1)], axis=1)  # n 2 2
    ends = np.stack([np.stack([x1, middle_y], 1), np.stack([middle_x, y1], 1)], axis=1)
    return _distances(meta, to_crs(meta, starts), to_crs(meta, ends))


def pixel_size(meta: RasterMeta) -> tuple[float, float] | None:
    """Width and height in metres of the pixel at the centre of the raster; None without a CRS that has lengths."""
    x, y = meta.width / 2, meta.height / 2
    sides = sides_in_metres(meta, [[x - 0.5, y - 0.5, x + 0.5, y + 0.5]])
    if sides is None or not np.isfinite(sides).all() or not (sides > 0).all():
        return None
    return float(sides[0, 0]), float(sides[0, 1])


def to_lonlat(crs: str, points: ArrayLike, name: str = "the raster") -> Floats:
    """Coordinates `... 2` of `crs` (WKT) -> WGS 84 longitude, latitude in degrees.

    Raises UnreadableInputError, which names `name`, where the CRS has none.
    """
    from pyproj.exceptions import ProjError

    try:
        change = _transformer(crs, "EPSG:4326")
        xy = np.asarray(points, np.float64)
        lon, lat = change.transform(xy[..., 0], xy[..., 1])
    except ProjError as error:
        raise UnreadableInputError(
            f"{name}: no way from its CRS to longitude and latitude ({' '.join(str(error).split())[:120]})",
            hint="write a GeoPackage (-o name.gpkg) instead of GeoJSON",
        ) from error
    result = np.stack([lon, lat], axis=-1)
    if not np.isfinite(result).all():
        raise UnreadableInputError(
            f"{name}: some boxes lie where its CRS has no longitude and latitude",
            hint="check the raster's CRS with gdalinfo, or write a GeoPackage (-o name.gpkg)",
        )
    return result


def between(source: str, target: str) -> Any:
    """A pyproj transformer between two CRS given as WKT or authority codes, x before y on both sides."""
    return _transformer(source, target)


def _transformer(source: str, target: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def _distances(meta: RasterMeta, starts: Floats, ends: Floats) -> Floats | None:
    """Ground distances in metres between points `... 2` of the raster's CRS."""
    if meta.crs is None:
        return None
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    crs = CRS.from_wkt(meta.crs)
    try:
        base = crs.geodetic_crs
        if base is None:
            raise ProjError("no geodetic base")
        degrees = _transformer(meta.crs, base.to_wkt())
        first, second = (degrees.transform(points[..., 0], points[..., 1]) for points in (starts, ends))
        geod = crs.get_geod()
        if geod is None or not np.isfinite([*first, *second]).all():
            raise ProjError("no ellipsoid, or points outside the projection")
        _, _, lengths = geod.inv(first[0], first[1], second[0], second[1])
        return np.asarray(lengths, np.float64)
    except ProjError:
        return _planar(crs, starts, ends)


def _planar(crs: Any, starts: Floats, ends: Floats) -> Floats | None:
    """Distances in the plane of a CRS without a place on the Earth (an engineering grid), by its unit."""
    if crs.is_geographic or not crs.axis_info:
        return None
    factor = float(crs.axis_info[0].unit_conversion_factor)
    return np.asarray(np.hypot(*np.moveaxis(ends - starts, -1, 0)) * factor)
