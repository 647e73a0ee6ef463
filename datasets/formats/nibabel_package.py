"""nibabel without its DICOM part, which nobody here uses: DICOM is read by `dicom.py`."""

from __future__ import annotations

from typing import Any

from vitapps.require import require, without


def nibabel_package() -> Any:
    """The package. It imports pydicom and, through that, an HTTP client where they are installed: 0.2 s and 19 MB."""
    with without("pydicom"):
        return require("nibabel")
