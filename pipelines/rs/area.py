"""The part of a raster that is asked for: a rectangle in CRS units, polygons of a vector file, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.georef import between, corners, to_pixels
from vitapps.datasets.formats.raster import RasterMeta, Window
from vitapps.datasets.formats.vector_read import read_polygons
from vitapps.errors import UsageError
from vitapps.pipelines.rs.gsd import Scale
from vitapps.pipelines.windows.boxes import Floats

if TYPE_CHECKING:
    from shapely import Geometry

Region = tuple[float, float, float, float]  # minx miny maxx maxy, units of the raster's CRS


@dataclass(frozen=True, slots=True)
class Area:
    """`shape` in raster pixels (None: everything) and its bounding `window` in whole raster pixels."""

    shape: Geometry | None
    window: Window

    def contains(self, points: Floats) -> NDArray[np.bool_]:
        """Which points `n 2` (raster pixels) lie inside."""
        if self.shape is None:
            return np.ones(len(points), bool)
        import shapely

        return np.asarray(shapely.contains_xy(self.shape, points[:, 0], points[:, 1]))

    def touches(self, boxes: Floats) -> NDArray[np.bool_]:
        """Which boxes `n 4` (raster pixels) have a point in common with the area."""
        if self.shape is None:
            return np.ones(len(boxes), bool)
        import shapely

        return np.asarray(shapely.intersects(self.shape, shapely.box(*boxes.T)))

    def mask(self, rect: Window, scale: Scale) -> NDArray[np.bool_]:
        """True inside, for the model pixels h w of `rect` (model pixels)."""
        size = rect[3] - rect[1], rect[2] - rect[0]
        if self.shape is None:
            return np.ones(size, bool)
        from affine import Affine
        from rasterio.features import geometry_mask

        place = Affine(1 / scale.x, 0, rect[0] / scale.x, 0, 1 / scale.y, rect[1] / scale.y)
        return np.asarray(geometry_mask([self.shape], size, place, invert=True))


def choose_area(meta: RasterMeta, region: Region | None = None, aoi: Path | None = None) -> Area:
    """The wanted part of `meta`; raises UsageError when it lies outside or makes no sense."""
    whole = (0, 0, meta.width, meta.height)
    if region is None and aoi is None:
        return Area(None, whole)
    import shapely

    shape = shapely.box(0, 0, meta.width, meta.height)
    if region is not None:
        shape = shape.intersection(_region(meta, region))
    if aoi is not None:
        shape = shape.intersection(_polygons(meta, aoi))
    if shape.is_empty or shape.area <= 0:
        what = "--region" if aoi is None else "--aoi" if region is None else "--region with --aoi"
        raise UsageError(
            f"{what}: no overlap with {meta.path}, which covers {_bounds(meta)}",
            hint="the region is minx,miny,maxx,maxy in the units of the raster's CRS; `gdalinfo` prints them",
        )
    x0, y0, x1, y1 = shape.bounds
    return Area(shape, (int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))))


def _region(meta: RasterMeta, region: Region) -> Any:
    import shapely

    if not (np.isfinite(region).all() and region[0] < region[2] and region[1] < region[3]):
        words = ",".join(f"{value:g}" for value in region)
        raise UsageError(f"--region {words}: an empty rectangle", hint="give minx,miny,maxx,maxy in CRS units")
    return shapely.Polygon(to_pixels(meta, corners([region])[0]))


def _polygons(meta: RasterMeta, aoi: Path) -> Any:
    """The union of the polygons of a vector file in raster pixels."""
    import shapely

    crs, shapes = read_polygons(aoi)
    joined = shapely.union_all(shapes)
    if crs is not None and meta.crs is not None:
        change = between(crs, meta.crs)
        joined = shapely.transform(joined, lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=1))
    joined = shapely.transform(joined, lambda xy: to_pixels(meta, xy))
    if not np.isfinite(shapely.get_coordinates(joined)).all():
        raise UsageError(f"--aoi {aoi}: does not fit into the raster's CRS", hint="reproject it with ogr2ogr -t_srs")
    return shapely.make_valid(joined)


def _bounds(meta: RasterMeta) -> str:
    from vitapps.datasets.formats.georef import to_crs

    points = to_crs(meta, corners([(0, 0, meta.width, meta.height)])[0])
    return ",".join(f"{value:.10g}" for value in (*points.min(axis=0), *points.max(axis=0)))
