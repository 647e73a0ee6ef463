"""Label maps as DICOM Segmentation objects (highdicom), referring to the slices that were segmented."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps import __version__
from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.datasets.formats.volume_types import VolumeMeta
from vitapps.errors import UnreadableInputError, UsageError

ANATOMY = ("123037004", "SCT", "Anatomical Structure")
SIDES = {"left": ("7771000", "SCT", "Left"), "right": ("24028007", "SCT", "Right")}
PRIVATE_SCHEME = "99VITAPPS"  # PS3.3 8.2: designators of private schemes begin with 99
SERIES_NUMBER = 900


def write_dicom_seg(
    path: Path, labels: NDArray[Any], meta: VolumeMeta, infos: Sequence[LabelInfo], source: str
) -> None:
    """Write one binary segment per label that occurs in `labels` (X Y Z on the grid of a DICOM series).

    Raises UsageError where the scan is not DICOM, or where nothing was found (a SEG needs a segment).
    """
    check_dicom_source(meta)
    present = [info for info in infos if info.value and (labels == info.value).any()]
    if not present:
        raise UsageError("no label was found, a DICOM SEG cannot be empty", hint="write NIfTI with --format nifti")
    segments = np.zeros(labels.shape, np.uint8)
    for number, info in enumerate(present, start=1):
        segments[labels == info.value] = number
    frames = np.ascontiguousarray(segments.transpose(2, 1, 0))  # X Y Z -> slices rows columns
    _segmentation(meta, frames, present, source).save_as(path)


def check_dicom_source(meta: VolumeMeta) -> None:
    """A SEG refers to DICOM slices: raises UsageError for a scan of another format."""
    if meta.format != "dicom":
        raise UsageError(
            f"{meta.source}: DICOM SEG output needs a DICOM series as input", hint="--format nifti or --format nrrd"
        )
    if len({id(dataset) for dataset in meta.header}) == 1 and len(meta.header) > 1:
        frames = int(meta.header[0].NumberOfFrames)
        if frames != len(meta.header):
            raise UsageError(
                f"{meta.source}: one volume of an enhanced file of {frames} frames cannot be referred to by a SEG",
                hint="--format nifti",
            )


def _segmentation(meta: VolumeMeta, frames: NDArray[np.uint8], present: Sequence[LabelInfo], source: str) -> Any:
    import highdicom
    from highdicom.seg import Segmentation, SegmentationTypeValues

    slices = list(meta.header)
    if len({id(dataset) for dataset in slices}) == 1:
        slices = slices[:1]  # enhanced: one data set holds every frame
        frames = _stored_order(meta, frames)
    slices = [_with_uids(dataset) for dataset in slices]
    try:
        return Segmentation(
            source_images=slices,
            pixel_array=frames,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(number, info, source) for number, info in enumerate(present, start=1)],
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="vitapps",
            manufacturer_model_name=source[:64],
            software_versions=__version__,
            device_serial_number="0",
            series_description=f"Segmentation by {source}"[:64],
            content_label="SEGMENTATION",
        )
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        line = str(error).splitlines()[0]
        raise UnreadableInputError(
            f"{meta.source}: its headers do not suffice for a DICOM SEG: {line}", hint="--format nifti"
        ) from error


def _with_uids(dataset: Any) -> Any:
    """The data set with the UIDs that a SEG must refer to; anonymisers blank them, the file meta keeps some.

    A blank study or series UID is replaced by one derived from the frame of reference, the same for every slice.
    """
    from pydicom.uid import generate_uid

    if all(dataset.get(name) for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")):
        return dataset
    named = copy.copy(dataset)
    named.SOPClassUID = dataset.get("SOPClassUID") or dataset.file_meta.MediaStorageSOPClassUID
    named.SOPInstanceUID = dataset.get("SOPInstanceUID") or dataset.file_meta.MediaStorageSOPInstanceUID
    place = str(dataset.get("FrameOfReferenceUID", ""))
    named.StudyInstanceUID = dataset.get("StudyInstanceUID") or generate_uid(entropy_srcs=["study", place])
    named.SeriesInstanceUID = dataset.get("SeriesInstanceUID") or generate_uid(entropy_srcs=["series", place])
    return named


def _stored_order(meta: VolumeMeta, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames sorted by position -> in the order of the enhanced file."""
    groups = meta.header[0].PerFrameFunctionalGroupsSequence
    position = [[float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient] for group in groups]
    step = np.diag([-1.0, -1.0, 1.0]) @ meta.affine[:3, 2]
    rank = np.argsort(np.argsort(np.array(position) @ step))  # rank of every stored frame along the normal
    ordered: NDArray[np.uint8] = frames[rank]
    return ordered


def _description(number: int, info: LabelInfo, source: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    code, meaning = info.snomed or (str(info.value), info.name)
    kind = CodedConcept(code, "SCT" if info.snomed else PRIVATE_SCHEME, meaning[:64])
    item = SegmentDescription(
        segment_number=number,
        segment_label=info.name[:64],
        segmented_property_category=CodedConcept(*ANATOMY),
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=source[:64], version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        display_color=CIELabColor.from_rgb(*info.color) if hasattr(CIELabColor, "from_rgb") else None,
    )
    if info.side in SIDES:
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = SIDES[info.side]
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return item
