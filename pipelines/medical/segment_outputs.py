"""Names of the outputs of a segmentation, checked before any work is done, and the writing of all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vitapps.atomic import check_output
from vitapps.datasets.formats.label_map import SUFFIX, LabelFormat, label_format, labels_path
from vitapps.datasets.formats.volume import volume_stem
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.medical.segment_types import SegmentChoices
from vitapps.pipelines.medical.volumes import check_table_name
from vitapps.provenance import preview_path


def output_name(scan: Path, out: Path | None, wanted: str | None) -> Path:
    """`out` itself when it names a file; a default name in `out` when it is a folder, else beside the scan."""
    if out is not None and not out.is_dir():
        return out
    folder = out if out is not None else Path(os.path.realpath(scan)).parent
    kinds: dict[str, LabelFormat] = {kind: kind for kind in SUFFIX}
    suffix = SUFFIX[kinds.get(wanted or "nifti", "nifti")]
    return folder / f"{volume_stem(scan)}_seg{suffix}"


def output_names(scans: Sequence[Path], out: Path | None, wanted: str | None) -> list[Path]:
    """One output for each scan. Raises UsageError when several scans would share one."""
    if len(scans) > 1 and out is not None and not out.is_dir():
        raise UsageError(f"{out}: {len(scans)} scans need a folder for their outputs", hint=f"mkdir -p {out}")
    names = [output_name(scan, out, wanted) for scan in scans]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise UsageError(f"{double}: two scans would write this file", hint="rename one, or segment them one by one")
    return names


def check_outputs(scans: Sequence[Path], out: Path, choices: SegmentChoices, options: RunOptions) -> None:
    """Refuse before minutes of work what could not be written at the end, or would replace one of the `scans`.

    Raises UsageError or OutputError.
    """
    label_format(out, choices.format)
    made = [out, labels_path(out)]
    if choices.preview:
        made.append(preview_path(out))
    if choices.volumes is not None:
        check_table_name(choices.volumes)
        made.append(choices.volumes)
    for name in made:
        check_output(name, overwrite=options.overwrite, sources=scans)
