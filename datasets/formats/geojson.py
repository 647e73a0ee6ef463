"""GeoJSON as RFC 7946 wants it: WGS 84 longitude before latitude, no `crs` member, exterior rings counter-clockwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.georef import to_lonlat

if TYPE_CHECKING:
    from vitapps.datasets.formats.vector import BoxTable

Floats = NDArray[np.float64]
_DECIMALS = 7  # a centimetre; RFC 7946 section 11.2 warns of more


def write_geojson(path: Path, table: BoxTable) -> None:
    """One Feature a box. Boxes on the 180th meridian are cut in two there (section 3.1.9) and their `bbox` runs from
    west to east across it (section 5.2)."""
    assert table.meta.crs is not None  # `check_table` has refused the others
    rings = np.zeros((0, 5, 2))
    if len(table.boxes):
        rings = counter_clockwise(unwrapped(to_lonlat(table.meta.crs, table.rings(), str(table.meta.path))))  # n 5 2
    columns = {name: values.tolist() for name, values in table.columns().items()}
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection",\n')
        if len(rings):
            stream.write(f'"bbox": {json.dumps(_bounds(rings.reshape(-1, 2)))},\n')
        stream.write('"features": [\n')
        stream.write(",\n".join(_features(rings, columns)))
        stream.write("\n]}\n")


def _features(rings: Floats, columns: dict[str, list[Any]]) -> Iterator[str]:
    for index, ring in enumerate(rings):
        properties = {name: _json_value(values[index]) for name, values in columns.items()}
        feature = {
            "type": "Feature", "id": properties["id"], "bbox": _bounds(ring), "properties": properties,
            "geometry": _geometry(ring),
        }  # fmt: skip
        yield json.dumps(feature, ensure_ascii=False, allow_nan=False)


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def unwrapped(rings: Floats) -> Floats:
    """Longitudes from -180 to 180, and beyond 180 only in rings that cross the meridian there; n 5 2."""
    longitude = rings[..., 0]
    longitude = np.where(np.abs(longitude) > 180, (longitude + 180) % 360 - 180, longitude)  # grids from 0 to 360 exist
    crossing = np.ptp(longitude, axis=1) > 180 if len(rings) else np.zeros(0, bool)
    longitude = np.where(crossing[:, None] & (longitude < 0), longitude + 360, longitude)
    return np.stack([longitude, rings[..., 1]], axis=-1)


def counter_clockwise(rings: Floats) -> Floats:
    """Turn the rings that run clockwise (shoelace formula); n 5 2."""
    x, y = rings[..., 0] - rings[:, :1, 0], rings[..., 1] - rings[:, :1, 1]  # near 0, or the products lose their digits
    doubled = (x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]).sum(axis=1)
    return np.where((doubled < 0)[:, None, None], rings[:, ::-1], rings)


def _geometry(ring: Floats) -> dict[str, Any]:
    if ring[:, 0].max() <= 180:
        return {"type": "Polygon", "coordinates": [_rounded(ring)]}
    import shapely

    whole = shapely.Polygon(ring)
    parts = []
    for west, shift in ((-180.0, 0.0), (180.0, 360.0)):
        part = shapely.intersection(whole, shapely.box(west, -90, west + 360, 90))
        if part.geom_type == "Polygon" and part.area > 0:
            outline = counter_clockwise(np.asarray(shapely.get_coordinates(part))[None])[0]
            parts.append([_rounded(outline - (shift, 0))])
    return {"type": "MultiPolygon", "coordinates": parts}


def _bounds(points: Floats) -> list[float]:
    """West, south, east, north; west exceeds east across the 180th meridian."""
    if np.ptp(points[:, 0]) > 180:  # on both sides of the meridian
        points = np.stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]], axis=1)
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    return [round(float(value), _DECIMALS) for value in (west, south, east - 360 if east > 180 else east, north)]


def _rounded(ring: Floats) -> list[list[float]]:
    found: list[list[float]] = ring.round(_DECIMALS).tolist()
    return found
