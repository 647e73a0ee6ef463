"""Which DICOM files belong together: headers of a folder, grouped by series, and the choice of one series."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.datasets.formats.volume_checks import check_file
from vitapps.errors import UnreadableInputError

PREAMBLE = 132
MOST_LISTED = 12
NOT_IMAGES = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC")


@dataclass(frozen=True, slots=True)
class Series:
    """One SeriesInstanceUID: its data sets without pixels; `dataset.filename` says where each lies."""

    uid: str
    datasets: tuple[Any, ...]

    def line(self) -> str:
        """One line for a listing: UID, modality, description, number of files."""
        first = self.datasets[0]
        description = str(first.get("SeriesDescription", "")).strip() or "no description"
        return f"{self.uid} ({first.get('Modality', '?')}, {description}, {len(self.datasets)} files)"


def is_dicom(path: Path) -> bool:
    """Whether the file has the DICM magic of a Part 10 file, or begins as a data set that was stored without one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(PREAMBLE)
    return start[128:] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """The first element of a data set without preamble, as old archives store them, little endian: a short element of
    group 8, with (PS3.5 7.1.2) or without (7.1.3) its type."""
    group, length = start[:4], start[4:8]
    if group[:2] != b"\x08\x00" or len(start) < PREAMBLE:
        return False
    typed = length[:2] in (b"UL", b"CS", b"UI", b"DA", b"TM", b"SH", b"LO")
    return group[2:] in (b"\x00\x00", b"\x05\x00", b"\x08\x00", b"\x16\x00") and (
        typed or int.from_bytes(length, "little") < PREAMBLE
    )


def read_dataset(path: Path | str, *, stop_before_pixels: bool = False) -> Any:
    """What pydicom reads; where the file has no meta group the transfer syntax is what its first element looks like.

    Raises what pydicom raises."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=is_dicom(Path(path)))
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset


def find_series(folder: Path) -> list[Series]:
    """Every image series below `folder`, by UID. Raises UnreadableInputError when there is none."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise UnreadableInputError(f"{folder}: an empty folder", hint="give a folder with a DICOM series")
    groups: dict[str, list[Any]] = defaultdict(list)
    unreadable = 0
    for file in files:
        dataset = _header(file) if is_dicom(file) else None
        if dataset is None:
            unreadable += 1
        elif _is_image(dataset):
            groups[str(dataset.get("SeriesInstanceUID", ""))].append(dataset)
    if not groups:
        raise UnreadableInputError(
            f"{folder}: no DICOM image among {len(files)} files ({unreadable} are not DICOM)",
            hint="give the folder of one series, or a NIfTI file",
        )
    return [Series(uid, _without_copies(groups[uid])) for uid in sorted(groups)]


def choose_series(folder: Path, found: list[Series], wanted: str | None) -> Series:
    """The only series, or the one whose UID is or ends with `wanted`; an error lists all of them."""
    if wanted is None and len(found) == 1:
        return found[0]
    listing = "; ".join(series.line() for series in found[:MOST_LISTED])
    listing += f"; and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    if wanted is None:
        raise UnreadableInputError(f"{folder}: {len(found)} series: {listing}", hint="choose one with --series UID")
    match = [series for series in found if series.uid == wanted] or [
        series for series in found if series.uid.endswith(wanted)
    ]
    if len(match) != 1:
        raise UnreadableInputError(
            f"{folder}: {len(match)} series match --series {wanted}; there are: {listing}", hint="give the whole UID"
        )
    return match[0]


def series_of_file(path: Path) -> Series:
    """The series that a single file belongs to: the file alone when multi-frame, else its neighbours too."""
    check_file(path)
    dataset = _header(path)
    if dataset is None:
        raise UnreadableInputError(f"{path}: not readable as DICOM", hint="copy or export it again")
    if not _is_image(dataset):
        kind = dataset.get("Modality", "?")
        raise UnreadableInputError(f"{path}: a DICOM object without an image ({kind})", hint="give the image series")
    uid = str(dataset.get("SeriesInstanceUID", ""))
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        return Series(uid, (dataset,))
    found = [_header(file) for file in sorted(path.parent.iterdir()) if is_dicom(file)]
    same = [item for item in found if item is not None and item.get("SeriesInstanceUID") == uid and _is_image(item)]
    return Series(uid, _without_copies(same))


def _without_copies(datasets: list[Any]) -> tuple[Any, ...]:
    """Each object once: exports and backups leave the same file in a folder under two names. The UID alone is not
    enough, some anonymisers give all slices the same."""
    known: dict[tuple[str, ...], Any] = {}
    for item in datasets:
        uid = str(item.get("SOPInstanceUID") or id(item))
        known.setdefault((uid, str(item.get("InstanceNumber")), str(item.get("ImagePositionPatient"))), item)
    return tuple(known.values())


def _is_image(dataset: Any) -> bool:
    return "Rows" in dataset and "Columns" in dataset and dataset.get("Modality") not in NOT_IMAGES


def _header(path: Path) -> Any:
    """The data set without pixels; None where pydicom cannot read it."""
    import pydicom

    try:
        return read_dataset(path, stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError):
        return None
