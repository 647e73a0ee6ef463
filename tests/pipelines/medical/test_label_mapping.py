"""Label mappings as they come with real ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitapps.errors import UnreadableInputError
from vitapps.pipelines.medical.label_mapping import read_label_mapping
from vitapps.pipelines.medical.segment_types import choose_structures
from vitapps.pipelines.medical.structures import label_infos


def test_neuromorphometrics_like(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"comment": "x", "map": {"4": 14, "71": -1}, "cortex_right_even": 42, "cortex_left_odd": 3}')
    truth = np.array([[0, 4, 71], [100, 207, 9]])
    np.testing.assert_array_equal(read_label_mapping(path).apply(truth), [[0, 14, -1], [42, 3, 0]])


def test_a_flat_object(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"1": 17, "2": 53}')
    np.testing.assert_array_equal(read_label_mapping(path).apply(np.array([0, 1, 2, 300])), [0, 17, 53, 0])


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"map": {"a": 1}}', '{"map": {}, "cortex": 3}', '{"map": 4}', '{"1": "x"}']
)
def test_faults(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(UnreadableInputError, match=r"map\.json"):
        read_label_mapping(tmp_path / "map.json")
    with pytest.raises(UnreadableInputError, match=r"none\.json"):
        read_label_mapping(tmp_path / "none.json")


def test_optional_labels_come_only_when_asked_for() -> None:
    infos = label_infos([{"value": 0, "name": "background"}, {"value": 2, "name": "left caudate"},
                         {"value": 24, "name": "CSF", "optional": True}])  # fmt: skip
    assert [info.value for info in choose_structures(infos, ())] == [0, 2]
    assert [info.value for info in choose_structures(infos, ("csf",))] == [24]
    assert [info.value for info in choose_structures(infos, ("caudate", "csf"))] == [2, 24]
    assert [info.value for info in choose_structures(infos, ("ALL",))] == [0, 2, 24]
