"""The generator is a function of its seed, its targets are shares, and two steps of training make a card that loads."""

import nibabel
import numpy as np
import pytest
import torch

from vitapps.datasets.synth.brain import LABELS, BrainSynth, SynthConfig, load_label_maps
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.medical.train_brain import Stage, label_table, parse_stages, train
from vitapps.pipelines.runtime.fit import FitConfig, rate_at
from vitapps.shared_backbones.weights.cards import load_card, verify


@pytest.fixture(scope="module")
def labelmaps(tmp_path_factory):
    """One head of boxes: left white matter at negative x, right at positive, skin around."""
    codes = np.zeros((60, 60, 60), np.int16)
    codes[5:55, 5:55, 5:55] = 507
    codes[10:30, 10:50, 10:50] = 2
    codes[30:50, 10:50, 10:50] = 41
    folder = tmp_path_factory.mktemp("maps")
    nibabel.save(nibabel.Nifti1Image(codes, np.eye(4)), folder / "one.nii.gz")
    return folder


def test_a_sample_is_a_function_of_its_seed(labelmaps):
    synth = BrainSynth(load_label_maps(labelmaps), SynthConfig(crop=(16, 16, 16)))
    image, target = synth.sample(3)  # 4 D H W
    again, same = synth.sample(3)
    assert torch.equal(image, again)
    assert torch.equal(target, same)
    assert not torch.equal(image, synth.sample(4)[0])
    assert image[0].min() >= 0
    assert image[0].max() <= 1
    assert torch.allclose(target.sum(0), torch.ones(16, 16, 16))


def test_left_stays_left_in_mirrored_samples(labelmaps):
    """Whether mirrored or not, the left label lies at the lower x of a RAS grid."""
    config = SynthConfig(crop=(24, 24, 24), rotation=0.0, shear=0.0, displacement=0.0, center_jitter=0.0)
    synth = BrainSynth(load_label_maps(labelmaps), config)
    for seed in range(8):
        target = synth.sample(seed)[1]
        left, right = target[LABELS.index(2)], target[LABELS.index(41)]
        place = torch.arange(24.0).view(24, 1, 1)
        assert (left * place).sum() / left.sum() < (right * place).sum() / right.sum()


def test_the_label_table_mirrors_itself():
    rows = {row["value"]: row for row in label_table()}
    assert list(rows) == list(LABELS)
    assert all(rows[row["mirror"]]["mirror"] == value for value, row in rows.items() if "mirror" in row)


def test_the_rate_rises_holds_and_falls():
    config = FitConfig(steps=1000, rate=1.0, warmup=10, cooldown=0.5)
    assert [rate_at(step, config) for step in (0, 9, 400, 750, 999)] == [0.1, 1.0, 1.0, 0.5, 0.002]


def test_two_steps_make_a_card_that_loads(labelmaps, tmp_path):
    card = load_card(train(labelmaps, tmp_path, stages=parse_stages("16:2,12:1")))
    verify(card)
    assert card.size < 8_000_000
    assert card.graph_size < 8_000_000
    assert "--stages 16:2,12:1 " in card.training["command"]
    assert card.preprocess["spacing"] == [12.0] * 3
    stamp = (tmp_path / "stage_1.pt").stat().st_mtime_ns
    train(labelmaps, tmp_path, stages=parse_stages("16:2,12:1"), resume=True)  # nothing is left to do
    assert load_card(card.folder / f"{card.name}.toml").sha256 == card.sha256
    assert (tmp_path / "stage_1.pt").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("text", ["", "3", "3:x", "0:5", "3:-1", "3:5,"])
def test_stages_that_make_no_sense_are_refused(text):
    with pytest.raises(UsageError, match="--stages"):
        parse_stages(text)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableInputError, match="no label map"):
        train(tmp_path, tmp_path / "out", stages=[Stage(3.0, 1)])
