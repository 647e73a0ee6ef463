"""An int8 graph calibrated on what the pipeline gives the network."""

import numpy as np
import pytest

from vitapps.datasets.samples import write_tree_tile
from vitapps.errors import OutputError, UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.int8_model import make_int8
from vitapps.pipelines.batch.record_inputs import _Reservoir, record_inputs
from vitapps.shared_backbones.engines import load
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.weights.cards import load_card, verify

OPTIONS = RunOptions(device="cpu", threads=1, engine="openvino", precision="exact")
INT8 = RunOptions(device="cpu", threads=1, engine="openvino", precision="int8")


def test_a_detector_gets_an_int8_graph_from_a_raster(tmp_path):
    write_tree_tile(tmp_path / "tile.tif")
    done = make_int8("trees-neon", tmp_path, tmp_path / "out", limit=2, options=OPTIONS)
    card = load_card(done.card)
    verify(card)
    assert done.inputs == 2 and 1e-6 < done.error < 0.3 and done.int8_size < done.exact_size
    assert not load._elsewhere  # nobody looks at what later networks are given
    scores, _ = load_model(card, INT8)(np.zeros((1, 3, 256, 256), np.float32))
    assert scores.shape == (1, 1, 64, 64)
    with pytest.raises(OutputError, match="exists"):
        make_int8("trees-neon", tmp_path, tmp_path / "out", options=OPTIONS)


def test_refusals(tmp_path):
    with pytest.raises(UnreadableInputError, match="no file of"):
        record_inputs(load_card("trees-neon"), tmp_path, limit=2, options=OPTIONS)
    with pytest.raises(UsageError, match="no task reads files"):
        record_inputs(load_card("face-embed"), tmp_path, limit=2, options=OPTIONS)
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(UnreadableInputError, match="not arrays"):
        make_int8("trees-neon", tmp_path, tmp_path / "out", options=OPTIONS)


def test_every_window_has_the_same_chance():
    kept = np.zeros(20)
    for seed in range(400):
        sample = _Reservoir(load_card("trees-neon"), 5, seed)
        for start in range(0, 20, 4):
            sample._take([np.arange(start, start + 4, dtype=np.float32).reshape(4, 1)])
        assert len(sample.inputs) == 5
        kept[[int(item[0, 0]) for item in sample.inputs]] += 1
    assert kept.sum() == 2000 and abs(kept - 100).max() < 40  # four standard deviations of 9
