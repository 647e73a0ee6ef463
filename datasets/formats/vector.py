"""Boxes found in a raster, written as GeoPackage, Shapefile, GeoJSON, COCO JSON or CSV: one table, one writer a format.

Each writer takes a path that does not exist yet; the caller makes the write atomic (`vitapps.atomic.atomic_path`).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.georef import corners, sides_in_metres, to_crs
from vitapps.datasets.formats.raster import RasterMeta
from vitapps.datasets.formats.vector_formats import VectorFormat
from vitapps.errors import OutputError, UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxTable:
    """`boxes` n 4 in pixels of the raster `meta` (corner origin), `scores` n, `labels` n as indexes into `names`,
    `pixel` the size of a pixel in metres (x, y) where the CRS does not give lengths."""

    meta: RasterMeta
    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    pixel: tuple[float, float] | None = None

    def sides(self) -> Floats:
        """Width and height `n 2` in metres along the rows and columns of the raster; NaN when lengths are unknown."""
        found = sides_in_metres(self.meta, self.boxes)
        if found is not None:
            return found
        return (self.boxes[:, 2:] - self.boxes[:, :2]) * (self.pixel or (np.nan, np.nan))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The attributes of each box; names are at most 10 letters, because a Shapefile cuts the rest."""
        sides = self.sides()
        pixels = {
            name: self.boxes[:, index].round(2) for index, name in enumerate(("x0_px", "y0_px", "x1_px", "y1_px"))
        }
        return {
            "id": np.arange(1, len(self.boxes) + 1, dtype=np.int64),
            "label": np.array([self.names[index] for index in self.labels], dtype=object),
            "score": self.scores.round(4),
            "width_m": sides[:, 0].round(3),
            "height_m": sides[:, 1].round(3),
            "area_m2": (sides[:, 0] * sides[:, 1]).round(3),
            **pixels,
        }

    def rings(self) -> Floats:
        """Closed outlines `n 5 2` in the raster's CRS, counter-clockwise where the raster is north-up.

        Without georeference y is minus the row, which is where QGIS draws such a raster.
        """
        points = corners(self.boxes)[:, [0, 3, 2, 1, 0]]  # n 4 2 -> n 5 2
        return to_crs(self.meta, points) if self.meta.georeferenced else points * (1, -1)


def check_table(meta: RasterMeta, form: VectorFormat) -> None:
    """Refuse early what `form` cannot hold: GeoJSON without a CRS."""
    if form == "geojson" and meta.crs is None:
        raise UsageError(
            f"{meta.path}: no CRS, GeoJSON needs longitude and latitude",
            hint="set it with gdal_edit.py -a_srs EPSG:..., or write .gpkg, .csv or COCO .json",
        )


def write_table(path: Path, table: BoxTable, form: VectorFormat) -> None:
    """Write all boxes; raises OutputError when the writer fails."""
    if form == "csv":
        write_csv(path, table)
    elif form == "coco":
        from vitapps.datasets.formats.coco import write_coco

        write_coco(path, table)
    elif form == "geojson":
        from vitapps.datasets.formats.geojson import write_geojson

        write_geojson(path, table)
    else:
        write_ogr(path, table, "GPKG" if form == "gpkg" else "ESRI Shapefile")


def write_csv(path: Path, table: BoxTable) -> None:
    """One line a box: the attributes, then the bounding rectangle in the raster's CRS (empty without georeference)."""
    columns = table.columns()
    rings = table.rings()
    bounds = np.concatenate([rings.min(axis=1), rings.max(axis=1)], axis=1)  # n 5 2 -> n 4
    for index, name in enumerate(("minx", "miny", "maxx", "maxy")):
        blank = np.full(len(bounds), "", object)
        columns[name] = bounds[:, index].round(9) if table.meta.georeferenced else blank
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(_plain(values) for values in columns.values()), strict=True))


def write_ogr(path: Path, table: BoxTable, driver: str) -> None:
    """A GeoPackage or a Shapefile with one layer named after the file, in the CRS of the raster."""
    import pyogrio
    import shapely

    columns = table.columns()
    outlines = shapely.to_wkb(shapely.polygons(table.rings())) if len(table.boxes) else np.zeros(0, object)
    options = {"SPATIAL_INDEX": "YES"} if driver == "GPKG" else {"ENCODING": "UTF-8"}
    try:
        pyogrio.raw.write(
            path, np.asarray(outlines, object), list(columns.values()), list(columns),
            driver=driver, layer=path.stem, crs=table.meta.crs, geometry_type="Polygon", layer_options=options,
        )  # fmt: skip
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FieldError, pyogrio.errors.CRSError) as error:
        raise OutputError(
            f"{path.name}: not written ({' '.join(str(error).split())[:160]})",
            hint="check free space, or write .geojson",
        ) from error


def _plain(values: NDArray[Any]) -> list[Any]:
    """Python values; NaN (length unknown) becomes empty."""
    return ["" if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]
