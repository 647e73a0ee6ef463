"""Polygons of any vector file that OGR opens: GeoPackage, GeoJSON, Shapefile, KML, FlatGeobuf."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

_LOGGER = logging.getLogger("vitapps.formats.vector")


def read_polygons(path: Path) -> tuple[str | None, NDArray[Any]]:
    """CRS (WKT or authority code, None if the file has none) and the polygons, repaired, of the first layer.

    Lines and points are left out with a warning. Raises UnreadableInputError for a file without polygons.
    """
    import pyogrio
    import shapely

    if not path.exists():
        raise UnreadableInputError(f"{path}: no such file", hint="check the path")
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for without end; a FileGDB is a folder
        raise UnreadableInputError(f"{path}: neither a file nor a folder", hint="give a vector file")
    try:
        meta, _, geometry, _ = pyogrio.raw.read(path, columns=[], force_2d=True)
        if geometry is None:
            raise ValueError("a table without places")
        shapes = shapely.from_wkb(geometry)
    except (pyogrio.errors.DataSourceError, shapely.errors.ShapelyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UnreadableInputError(
            f"{path}: no vector file that GDAL can read ({reason})", hint="give a GeoPackage, GeoJSON or Shapefile"
        ) from error
    valid = shapely.make_valid(shapes[~shapely.is_missing(shapes)])
    polygons = valid[np.isin(shapely.get_type_id(valid), (3, 6, 7)) & (shapely.area(valid) > 0)]  # (multi)polygons
    if not len(polygons):
        raise UnreadableInputError(
            f"{path}: no polygons in it ({len(shapes)} features)", hint="draw at least one polygon"
        )
    if len(polygons) < len(shapes):
        _LOGGER.warning("%s: %d features without area are left out", path, len(shapes) - len(polygons))
    crs = meta.get("crs")
    return (str(crs) if crs else None), polygons
