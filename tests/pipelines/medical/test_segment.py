"""The whole pipeline around a network whose right answer is known: every voxel where it belongs, left never right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pytest

from fakes.scans import affine, dicom_series, orientations, stored_as, write_dicom
from fakes.volume_network import ROWS, SideNetwork, card, loader, model, phantom
from vitapps.datasets.formats.volume import read_volume
from vitapps.errors import MissingError, OutOfMemoryError, OutputError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.medical import volume_model
from vitapps.pipelines.medical.segment import label_volume, segment, segment_many
from vitapps.pipelines.medical.segment_types import SegmentChoices
from vitapps.pipelines.medical.structures import label_infos, mirror_order
from vitapps.pipelines.medical.volume_model import VolumeModel
from vitapps.provenance import RunRecord

SPACED = (2.0, 2.0, 2.0)


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VolumeModel, "load", loader())


def write_scan(path: Path, *, degrees: float = 0.0, kind: Any = np.float32, scale: float = 1.0) -> Path:
    image = (phantom()[0] * scale).astype(kind)
    nib.save(nib.Nifti1Image(image, affine(SPACED, degrees)), path)
    return path


def centers(labels: np.ndarray, matrix: np.ndarray) -> dict[int, np.ndarray]:
    """World coordinates of the centre of every label."""
    return {
        int(value): (matrix @ np.append(np.argwhere(labels == value).mean(0), 1))[:3]
        for value in np.unique(labels)
        if value
    }


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize(("axes", "signs"), orientations())
def test_all_48_orientations(axes: tuple[int, ...], signs: tuple[int, ...], degrees: float, tmp_path: Path) -> None:
    image, labels = phantom()
    stored, matrix = stored_as(image, affine(SPACED, degrees), axes, signs)
    nib.save(nib.Nifti1Image(stored, matrix), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    found, _ = label_volume(volume, model(), SegmentChoices(), RunRecord(command=""))
    np.testing.assert_array_equal(found, stored_as(labels, affine(), axes, signs)[0])
    places = centers(found, matrix)
    right = affine(SPACED, degrees)[:3, 0]  # the scan's axis that points to the patient's right
    assert (places[53] - places[17]) @ right > 0


@pytest.mark.parametrize(("kind", "scale"), [("int8", 100), ("uint16", 60000), ("float64", 1e-7), ("int16", 1000)])
def test_types_and_codes(tmp_path: Path, kind: str, scale: float) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz", degrees=12, kind=kind, scale=scale)
    result = segment(scan, tmp_path / "seg.nii.gz")
    made = nib.load(tmp_path / "seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(made.dataobj), phantom()[1])
    np.testing.assert_array_equal(made.affine, nib.load(scan).affine)
    assert made.get_data_dtype() == np.uint8
    assert result.total_ml == pytest.approx((phantom()[1] > 0).sum() * 0.008)


def test_another_spacing_comes_back_close(tmp_path: Path) -> None:
    fine = np.kron(phantom()[0], np.ones((2, 2, 1), np.float32))  # 1 x 1 x 2 mm
    nib.save(nib.Nifti1Image(fine, affine((1, 1, 2), 20)), tmp_path / "scan.nii")
    segment(tmp_path / "scan.nii", tmp_path / "seg.nii")
    expected = np.kron(phantom()[1], np.ones((2, 2, 1), np.int64))
    found = np.asarray(nib.load(tmp_path / "seg.nii").dataobj)
    assert found.shape == fine.shape
    for value in (17, 53):
        both = 2 * ((found == value) & (expected == value)).sum()
        assert both / ((found == value).sum() + (expected == value).sum()) > 0.93
    off = {v: np.linalg.norm(centers(found, np.eye(4))[v] - centers(expected, np.eye(4))[v]) for v in (17, 53)}
    assert max(off.values()) < 0.4


def test_a_scan_below_the_window_lies_in_the_middle_of_air(tmp_path: Path) -> None:
    seen = []

    def watch(x: np.ndarray) -> tuple[np.ndarray]:
        seen.append(x.copy())
        return (np.repeat(x, 4, axis=1),)

    watched = model(window=[32, 32, 30])
    watched.network = watch  # type: ignore[assignment]
    prepared = watched.prepare(read_volume(write_scan(tmp_path / "scan.nii")))
    scores = watched.scores(prepared)
    assert scores.shape == (4, 24, 28, 20)
    np.testing.assert_array_equal(seen[0][0, 0, 4:28, 2:30, 5:25], prepared.image)
    assert seen[0].sum() == pytest.approx(prepared.image.sum(), rel=1e-5)


def test_mirroring_does_not_change_sides(tmp_path: Path) -> None:
    volume = read_volume(write_scan(tmp_path / "scan.nii"))
    twice = model()
    found, _ = label_volume(volume, twice, SegmentChoices(tta=True), RunRecord(command=""))
    np.testing.assert_array_equal(found, phantom()[1])
    network = twice.network
    assert isinstance(network, SideNetwork)
    assert network.calls == 2
    assert mirror_order(ROWS) == [0, 2, 1, 3]
    assert mirror_order([{"value": r["value"], "name": r["name"]} for r in ROWS]) == [0, 2, 1, 3]


def test_nan_and_infinite_voxels_are_air(tmp_path: Path) -> None:
    image = phantom()[0].copy()
    image[20:, :3, :3], image[21, 21, 18] = np.nan, np.inf
    nib.save(nib.Nifti1Image(image, affine(SPACED)), tmp_path / "scan.nii")
    segment(tmp_path / "scan.nii", tmp_path / "seg.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "seg.nii").dataobj), phantom()[1])


def test_default_name_record_and_extras(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    choices = SegmentChoices(preview=True, volumes=tmp_path / "v.csv")
    result = segment(scan, choices=choices, command="vitapps medical segment scan.nii.gz")
    made = ["scan_seg.nii.gz.preview.png", "scan_seg.nii.gz.run.json", "v.csv"]
    names = ["scan.nii.gz", "scan_seg.labels.json", "scan_seg.nii.gz", *made]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    record = json.loads((tmp_path / "scan_seg.nii.gz.run.json").read_text())
    assert record["command"].startswith("vitapps medical segment")
    assert record["weights"] == {"fake": "0" * 64}
    assert list(record["inputs"]) == [str(scan)]
    assert set(record["timings"]) == {"prepare", "predict", "postprocess", "upsample", "write"}
    assert record["warnings"] == list(result.warnings)
    assert "mL" in result.warnings[0]
    assert record["results"]["labels"][0]["name"] == "left hippocampus"
    json.dumps(result.to_json())


def test_mask_and_some_structures(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii")
    segment(scan, tmp_path / "mask.nii", choices=SegmentChoices(mask=True))
    mask, block = np.asarray(nib.load(tmp_path / "mask.nii").dataobj), phantom()[1] > 0
    assert set(np.unique(mask)) == {0, 1} and not mask[~block].any()
    assert mask[block].mean() > 0.9  # all but its edges
    for words, kept in ((("hippocampus",), (17, 53)), (("16", "Left Hippocampus"), (16, 17))):
        segment(
            scan, tmp_path / "some.nii", choices=SegmentChoices(structures=words), options=RunOptions(overwrite=True)
        )
        expected = np.where(np.isin(phantom()[1], kept), phantom()[1], 0)
        np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "some.nii").dataobj), expected)
    with pytest.raises(UsageError, match="hippocampus") as caught:
        segment(scan, tmp_path / "x.nii", choices=SegmentChoices(structures=("hipocampus",)))
    assert "did you mean" in caught.value.hint
    with pytest.raises(UsageError):
        segment(scan, tmp_path / "x.nii", choices=SegmentChoices(structures=("16",), mask=True))


def test_islands_are_kept_on_request(tmp_path: Path) -> None:
    image = phantom()[0].copy()
    image[21:23, 24:26, 17:19] = 0.7
    nib.save(nib.Nifti1Image(image, affine(SPACED)), tmp_path / "scan.nii")
    volumes = {}
    for keep in (True, False):
        out = tmp_path / f"{keep}.nii"
        segment(tmp_path / "scan.nii", out, choices=SegmentChoices(keep_largest=keep))
        volumes[keep] = int((np.asarray(nib.load(out).dataobj) > 0).sum())
    assert volumes[False] - volumes[True] == 8


def only_background(self: SideNetwork, x: np.ndarray) -> tuple[np.ndarray]:
    logits = np.zeros((1, 4, *x.shape[2:]), np.float32)
    logits[:, 0] = 9
    return (logits,)


def test_nothing_found_is_a_warning_not_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SideNetwork, "__call__", only_background)
    write_scan(tmp_path / "scan.nii")
    result = segment(tmp_path / "scan.nii", choices=SegmentChoices(preview=True))
    assert result.total_ml == 0
    assert "nothing was found" in result.warnings[0]
    assert (tmp_path / "scan_seg.nii.gz.preview.png").exists()


def test_dicom_in_dicom_seg_out(tmp_path: Path) -> None:
    image, labels = phantom()
    stored = np.flip((image * 1000).astype(np.int16), (0, 1))  # RAS -> LPS, as DICOM stores
    slices = dicom_series(np.ascontiguousarray(stored), step=(0, 0, 2), spacing=(2, 2), modality="MR")
    folder = write_dicom(tmp_path / "series", slices)
    result = segment(folder, tmp_path / "seg.dcm")
    assert result.out == tmp_path / "seg.dcm"
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    found = seg.get_pixels_by_source_instance(
        [str(s.SOPInstanceUID) for s in slices], combine_segments=True, relabel=False, ignore_spatial_locations=True
    )  # fmt: skip
    expected = np.searchsorted([0, 17, 53, 99], np.flip(labels, (0, 1)))
    expected[np.flip(labels, (0, 1)) == 16] = 3
    np.testing.assert_array_equal(found, expected.transpose(2, 1, 0))
    with pytest.raises(UsageError, match="DICOM series"):
        segment(write_scan(tmp_path / "scan.nii"), tmp_path / "other.dcm")


def test_several_scans_share_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = loader()
    monkeypatch.setattr(VolumeModel, "load", load)
    scans = [write_scan(tmp_path / "a.nii"), tmp_path / "broken.nii", write_scan(tmp_path / "b.nii.gz")]
    scans[1].write_bytes(b"no scan")
    (tmp_path / "out").mkdir()
    batch = segment_many(scans, tmp_path / "out")
    assert [done.out.name for done in batch.results] == ["a_seg.nii.gz", "b_seg.nii.gz"]
    assert [(path.name, type(error)) for path, error in batch.failures] == [("broken.nii", UnreadableInputError)]
    assert len(load.made) == 1
    with pytest.raises(UsageError, match="folder"):
        segment_many(scans, tmp_path / "seg.nii")
    with pytest.raises(UsageError, match="two scans"):
        segment_many([tmp_path / "a.nii", tmp_path / "x" / "a.nii.gz"], tmp_path / "out")
    with pytest.raises(UsageError, match="several scans"):
        segment_many(scans, tmp_path / "out", choices=SegmentChoices(volumes=tmp_path / "v.csv"))


def test_outputs_are_safe(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    with pytest.raises(OutputError, match="never replaced"):
        segment(scan, scan, options=RunOptions(overwrite=True))
    (tmp_path / "seg.nii.gz").write_bytes(b"mine")
    with pytest.raises(OutputError):
        segment(scan, tmp_path / "seg.nii.gz")
    with pytest.raises(UsageError):
        segment(scan, tmp_path / "new.nii.gz", choices=SegmentChoices(volumes=tmp_path / "v.txt"))
    assert (tmp_path / "seg.nii.gz").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.nii.gz", "seg.nii.gz"]


def test_a_failing_network_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: SideNetwork, *inputs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SideNetwork, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment(write_scan(tmp_path / "scan.nii"), tmp_path / "seg.nii")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii"]


def test_too_large_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = write_scan(tmp_path / "scan.nii")
    monkeypatch.setattr(volume_model, "memory_limit", lambda: 1000)
    with pytest.raises(OutOfMemoryError, match="24 x 28 x 20"):
        segment(scan, tmp_path / "seg.nii")


def test_cards_of_other_tasks_and_other_recipes() -> None:
    with pytest.raises(MissingError, match="normalise"):
        VolumeModel(card(normalise={"kind": "zscore"}), SideNetwork())
    with pytest.raises(MissingError, match="three positive numbers"):
        VolumeModel(card(window=[24, 28]), SideNetwork())


def test_labels_of_a_card() -> None:
    infos = label_infos([*ROWS, {"value": 99, "name": "left thing", "snomed": "123", "color": [1, 2, 3]}])
    assert infos[1].snomed == ("5366008", "Hippocampus")
    assert infos[1].snomed == infos[2].snomed
    assert infos[1].color != infos[2].color
    assert (infos[4].snomed, infos[4].color, infos[4].side) == (("123", "thing"), (1, 2, 3), "left")
