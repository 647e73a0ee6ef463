"""Small real inputs for `vitapps demo`, with their sources; they lie inside the package.

`head_flair.nii.gz`: FLAIR of patient 03, study 2, of the longitudinal multiple-sclerosis MR database of Lesjak et al.
2016 (Neuroinformatics 14, 403), CC BY 4.0, defaced by its authors; averaged 2 x 2 in the plane (1.44 x 1.44 x 3 mm).
`tree_tile.tif`: NEON AOP camera, tile TEAK_044 as published with DeepForest (Weinstein et al. 2019, Remote Sensing 11,
1309), 0.1 m a pixel; NEON data policy: free use with citation; stored as JPEG.
"""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path


def write_head_scan(path: Path) -> None:
    """Copy the FLAIR scan (NIfTI, oblique) to `path`."""
    _copy("head_flair.nii.gz", path)


def write_tree_tile(path: Path) -> None:
    """Copy the NEON tile (GeoTIFF, UTM 11N) to `path`."""
    _copy("tree_tile.tif", path)


def _copy(name: str, path: Path) -> None:
    with as_file(files(__name__) / name) as source:
        shutil.copyfile(source, path)
