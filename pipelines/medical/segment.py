"""`vitapps medical segment`: a scan in any orientation and spacing -> a label map on the scan's own grid.

Read, turn and resample to the grid of the model, window by window class shares, clean, interpolate the shares back to
the scan's grid, write. Voxels of the scan are never moved: the affine of the output is that of the input.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path
from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.datasets.formats.label_map import label_format, write_label_files
from vitapps.datasets.formats.volume import Volume, read_volume
from vitapps.errors import UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.medical.far_air import without_far_air
from vitapps.pipelines.medical.postprocess import drop_specks, keep_main_component, main_component, rounded_mask
from vitapps.pipelines.medical.preview import draw_preview
from vitapps.pipelines.medical.segment_outputs import check_outputs, output_name, output_names
from vitapps.pipelines.medical.segment_types import SegmentChoices, SegmentResult, choose_structures
from vitapps.pipelines.medical.structures import BRAIN
from vitapps.pipelines.medical.tissues import fit_tissues, sample_points
from vitapps.pipelines.medical.upsample import Evidence, upsample_argmax
from vitapps.pipelines.medical.volume_model import Prepared, VolumeModel
from vitapps.pipelines.medical.volumes import LabelVolume, measure, write_volumes
from vitapps.pipelines.runtime.stream import Batcher, stream
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

log = logging.getLogger("vitapps.medical.segment")
DEFAULT_OPTIONS = RunOptions()
EVERYTHING = SegmentChoices()


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Results and failures of several scans, each in the order of the inputs."""

    results: tuple[SegmentResult, ...]
    failures: tuple[tuple[Path, VitappsError], ...]


def segment(
    path: Path,
    out: Path | None = None,
    *,
    weights: str | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
    choices: SegmentChoices = EVERYTHING,
    progress: Progress = null_progress,
    command: str = "",
) -> SegmentResult:
    """Segment one scan and write the label map, its run record, and what `choices` asks for.

    `out` None writes `<scan>_seg.nii.gz` beside the scan. Raises VitappsError with the exit code of the fault.
    """
    target = output_name(path, out, choices.format)
    check_outputs([path], target, choices, options)
    volume = read_volume(path, series=choices.series, volume=choices.volume)  # a bad scan fails before the model loads
    model = VolumeModel.load(weights, options, once=True)
    return _segment(volume, target, model, options, choices, progress, command)


def segment_many(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    weights: str | None = None,
    options: RunOptions = DEFAULT_OPTIONS,
    choices: SegmentChoices = EVERYTHING,
    progress: Progress = null_progress,
    command: str = "",
) -> BatchResult:
    """Segment several scans with one loaded model, a few at a time; a scan that fails does not stop the others,
    missing weights do."""
    if choices.volumes is not None:
        raise UsageError("--volumes names one file, there are several scans", hint="--json prints the volumes of each")
    targets = output_names(paths, out, choices.format)
    model = VolumeModel.load(weights, options)

    def one(job: tuple[Path, Path], network: Batcher) -> SegmentResult:
        path, target = job
        check_outputs(paths, target, choices, options)
        volume = read_volume(path, series=choices.series, volume=choices.volume)
        return _segment(volume, target, model.shared(network), options, choices, null_progress, command)

    done = stream(list(zip(paths, targets, strict=True)), one, model.network, progress=progress)
    return BatchResult(done.results, tuple((path, error) for (path, _), error in done.failures))


def segment_with(
    model: VolumeModel, path: Path, out: Path, *, options: RunOptions, choices: SegmentChoices = EVERYTHING,
    command: str = "",
) -> SegmentResult:  # fmt: skip
    """`segment` with a model that is loaded already: for whoever keeps one over many scans."""
    check_outputs([path], out, choices, options)
    volume = read_volume(path, series=choices.series, volume=choices.volume)
    return _segment(volume, out, model, options, choices, null_progress, command)


def _segment(
    volume: Volume, out: Path, model: VolumeModel, options: RunOptions, choices: SegmentChoices, progress: Progress,
    command: str,
) -> SegmentResult:  # fmt: skip
    if label_format(out, choices.format) == "dicom-seg":
        from vitapps.datasets.formats.dicom_seg import check_dicom_source

        check_dicom_source(volume.meta)
    record = _record(volume, model, options, choices, command)
    labels, infos = label_volume(volume, model, choices, record, progress)
    volumes = measure(labels, infos, volume.meta.voxel_ml)
    record.warnings += _implausible(volumes, model, choices)
    for warning in record.warnings:
        log.warning("%s: %s", volume.meta.source, warning)
    picture = preview_path(out) if choices.preview else None
    with record.timed("write"):
        with atomic_path(out, overwrite=options.overwrite) as temporary:  # all of it appears, or nothing
            source = f"vitapps {model.card.name}"
            write_label_files(temporary, labels, volume.meta, infos, wanted=choices.format, source=source)
            if picture is not None:
                draw_preview(volume, labels, infos, volumes).save(preview_path(temporary), "PNG")
        if choices.volumes is not None:
            write_volumes(choices.volumes, volumes, scan=volume.meta.source, overwrite=options.overwrite)
    result = SegmentResult(
        input=volume.meta.source, out=out, model=model.card.name, shape=volume.meta.shape,
        spacing_mm=volume.meta.spacing, labels=volumes, warnings=tuple(record.warnings), timings=record.timings,
        preview=picture, volumes=choices.volumes,
    )  # fmt: skip
    record.results = result.to_json()
    write_run_record(out, record)
    return result


def label_volume(
    volume: Volume, model: VolumeModel, choices: SegmentChoices, record: RunRecord, progress: Progress = null_progress
) -> tuple[NDArray[np.uint16], tuple[LabelInfo, ...]]:
    """Label numbers X Y Z on the grid of `volume`, and the labels that were asked for; no file is touched."""
    infos = (BRAIN,) if choices.mask else choose_structures(model.infos, choices.structures)
    if choices.mask and choices.structures:
        raise UsageError("--mask and --labels exclude each other", hint="leave one of them out")
    part, box = without_far_air(volume)
    labels = np.zeros(volume.meta.shape, np.uint16)
    labels[box] = _labels_of(part, model, infos, choices, record, progress)
    return labels, infos


def _labels_of(
    volume: Volume, model: VolumeModel, infos: Sequence[LabelInfo], choices: SegmentChoices, record: RunRecord,
    progress: Progress,
) -> NDArray[np.uint16]:  # fmt: skip
    with record.timed("prepare"):
        prepared = model.prepare(volume)
    with record.timed("predict"):
        scores = model.scores(prepared, tta=choices.tta, progress=progress)
    with record.timed("postprocess"):
        if choices.keep_largest:
            keep_main_component(scores)
            drop_specks(scores)
        evidence = _evidence(prepared, scores, model.tissues) if choices.refine else None
    with record.timed("upsample"):
        classes = upsample_argmax(scores, prepared.up, evidence)  # X Y Z
        if choices.keep_largest and evidence is not None:
            classes[~main_component(classes > 0)] = 0
        if choices.mask:
            inside = np.array([bool(info.value) and not info.optional for info in model.infos])
            spacing = [volume.meta.spacing[axis] for axis in prepared.turn.axes]
            return prepared.turn.undo(rounded_mask(inside[classes], spacing).astype(np.uint16))
        kept = {info.value for info in infos}
        turned = np.array([info.value if info.value in kept else 0 for info in model.infos], np.uint16)[classes]
    return prepared.turn.undo(turned)


def _evidence(prepared: Prepared, scores: NDArray[Any], tissue_of: NDArray[np.intp] | None) -> Evidence | None:
    """How bright each tissue is in this scan; None for a card without tissues, or where nothing was found."""
    points = None if tissue_of is None else sample_points(scores, prepared.up)
    if tissue_of is None or points is None:
        return None
    where, shares = points
    tissues = fit_tissues(prepared.brightness(where), shares, tissue_of)
    return Evidence(lambda box: tissues.likelihoods(prepared.brightness(box)), tissue_of)


def _record(
    volume: Volume, model: VolumeModel, options: RunOptions, choices: SegmentChoices, command: str
) -> RunRecord:
    network = model.network
    chosen = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(choices).items()}
    return RunRecord(
        command=command,
        options={**asdict(options), **chosen},
        weights={model.card.name: model.card.sha256},
        engine=network.engine,
        engine_reason=getattr(network, "reason", ""),
        precision=network.precision,
        device=network.device,
        threads=network.threads,
        seed=options.seed,
        inputs={str(volume.meta.source): sha256_file(volume.meta.source)},
        warnings=list(volume.meta.warnings),
    )


def _implausible(volumes: Sequence[LabelVolume], model: VolumeModel, choices: SegmentChoices) -> list[str]:
    """A foreground that no adult brain has is most often a wrong input, so it is said aloud."""
    total = sum(volume.ml for volume in volumes)
    if total == 0:
        return ["nothing was found: is this a scan of what the model knows?"]
    low, high = model.preprocess.plausible_ml
    if not choices.structures and not low <= total <= high:
        return [f"the labels fill {total:.0f} mL, outside {low:.0f} to {high:.0f} mL: look before using the result"]
    return []
