"""A card's network gives the same answer by every engine; what is missing is said, never replaced."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.vit_card import CONFIG as VIT
from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines import openvino
from vitapps.shared_backbones.engines.check_input import read_check, relative_error, sampled
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.engines.model import BUCKETS, in_buckets
from vitapps.shared_backbones.engines.openvino import compile_graph, open_core
from vitapps.shared_backbones.engines.packed import PackedLinear, pack
from vitapps.shared_backbones.models.volume_segmenter import VolumeSegmenter, VolumeSegmenterConfig, window_example
from vitapps.shared_backbones.weights import publish as publishing
from vitapps.shared_backbones.weights.cards import graph_path, load_card
from vitapps.shared_backbones.weights.load import load_module
from vitapps.shared_backbones.weights.publish import publish

CONFIG = VolumeSegmenterConfig(
    num_classes=3, window=(16, 32, 16), stem=(8, 16), dim=24, depth=1, heads=2, decoder=(8, 16)
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    torch.manual_seed(0)
    fields = {
        "name": "tiny", "task": "medical.segment", "arch": "volume_segmenter", "config": asdict(CONFIG),
        "summary": "random weights", "licence": "CC0-1.0",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    example = window_example(CONFIG)
    return load_card(publish(VolumeSegmenter(CONFIG), fields, folder, example=example, output_names=["logits"]))


def run(card, image, **options):
    return load_model(card, RunOptions(device="cpu", threads=1, **options))(image)[0]


def error(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("kind", ["card", "vit"])
def test_engines_agree_at_any_batch(kind, request):
    card = request.getfixturevalue(kind)
    shape = CONFIG.window if kind == "card" else VIT.image_size
    image = np.random.default_rng(0).random((3, CONFIG.input_chans if kind == "card" else 3, *shape), np.float32)
    wanted = run(card, image, engine="torch", precision="exact")
    for engine in ("auto", "openvino", "onnxruntime", "torch-packed"):
        found = run(card, image, engine=engine, precision="exact")
        assert found.shape == wanted.shape
        assert error(found, wanted) < 1e-5


def test_lower_precisions_stay_close(vit):
    image = np.random.default_rng(0).random((3, 3, *VIT.image_size), np.float32)
    wanted = run(vit, image, engine="torch", precision="exact")
    for engine, precision, most in (
        ("openvino", "bf16", 2e-2), ("torch", "bf16", 2e-2), ("openvino", "int8", 0.1), ("onnxruntime", "int8", 0.1),
    ):  # fmt: skip
        model = load_model(vit, RunOptions(device="cpu", threads=1, engine=engine, precision=precision))
        assert (model.engine, model.precision) == (engine, precision)
        assert 1e-6 < error(model(image)[0], wanted) < most  # and it does compute in less than float32


def test_the_precision_hint_is_ours(card):
    """OpenVINO left alone computes in bf16 on processors that have it."""
    openvino = pytest.importorskip("openvino")
    for precision, hint in (("exact", "f32"), ("bf16", "bf16")):
        seen = []
        real = openvino.Core.compile_model
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                openvino.Core,
                "compile_model",
                lambda *given: seen.append(given[-1]) or real(*given),  # noqa: B023
            )
            compile_graph(card.folder / card.graph_file, card_name="x", precision=precision, threads=1)
        assert seen[0]["INFERENCE_PRECISION_HINT"] == hint


def test_weights_are_stored_as_halves(card):
    overhead = 230_000  # the graph itself, which does not grow with the width
    assert card.graph_size < 2.5 * sum(p.numel() for p in VolumeSegmenter(CONFIG).parameters()) + overhead


def test_int8_weights_are_bytes(vit):
    assert vit.int8_size < vit.graph_size


def test_what_is_not_there_is_an_error(card):
    with pytest.raises(MissingError):
        load_model(replace(card, graph_file=""), RunOptions(device="cpu"))
    with pytest.raises(UsageError):
        load_model(card, RunOptions(device="cuda:0", engine="openvino"))
    for engine in ("auto", "openvino", "onnxruntime"):
        with pytest.raises(MissingError, match="int8"):
            load_model(card, RunOptions(device="cpu", precision="int8", engine=engine))
    (card.folder / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(MissingError, match="sha256"):
        load_model(replace(card, graph_file="broken.onnx"), RunOptions(device="cpu"))


@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("torch-compile", "exact"), ("torch-packed", "bf16"), ("torch", "int8"), ("torch-packed", "int8"),
        ("onnxruntime", "bf16"),
    ],
)  # fmt: skip
def test_combinations_without_sense_are_refused(vit, engine, precision):
    with pytest.raises(UsageError, match=r"CUDA only|exact|int8|bf16"):
        load_model(vit, RunOptions(device="cpu", engine=engine, precision=precision))


def test_packing_replaces_every_linear_and_keeps_the_numbers(card, vit):
    for some, shape in ((card, (2, CONFIG.input_chans, *CONFIG.window)), (vit, (2, 3, *VIT.image_size))):
        plain, packed = load_module(some), pack(load_module(some))
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert error(packed(x).numpy(), plain(x).numpy()) < 1e-5
        kinds = [type(part) for part in packed.modules()]
        assert torch.nn.Linear not in kinds
        assert PackedLinear in kinds


def test_batches_are_split_into_few_shapes():
    seen = []

    def engine(x):
        seen.append(len(x))
        return (x * 2, x.sum(axis=1))

    for number in range(1, 71):
        x = np.random.default_rng(number).random((number, 3), np.float32)
        doubled, sums = in_buckets(engine)(x)
        assert np.array_equal(doubled, x * 2)
        assert np.array_equal(sums, x.sum(axis=1))
    assert set(seen) == set(BUCKETS)


def test_what_is_lent_is_the_answer_until_the_next_call(vit):
    first, second = np.random.default_rng(0).random((2, 1, 3, *VIT.image_size), np.float32)
    model = load_model(vit, RunOptions(device="cpu", threads=1, engine="openvino", precision="exact"))
    wanted = model(first)[0], model(second)[0]
    lent = model.lend(first)[0]
    assert np.array_equal(lent, wanted[0])
    lent -= lent.max()  # the caller may change it
    kept = model(second)[0]
    model.lend(first)
    assert np.array_equal(kept, wanted[1])  # a copy is not overwritten
    model.release()
    assert np.array_equal(model(first)[0], wanted[0])


def test_the_cpu_path_imports_no_torch(vit):
    code = (
        "import sys, numpy as np\n"
        "from vitapps.options import RunOptions\n"
        "from vitapps.shared_backbones.engines.load import load_model\n"
        "from vitapps.shared_backbones.weights.cards import load_card\n"
        "for precision in ('auto', 'exact', 'int8'):\n"
        f"    model = load_model(load_card({str(vit.folder / 'tiny-vit.toml')!r}),\n"
        "                       RunOptions(device='cpu', precision=precision))\n"
        "    model(np.zeros((1, 3, 32, 32), 'float32'))\n"
        "assert not {'torch', 'timm', 'monai', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_one_core_serves_the_process() -> None:
    """A core that goes away in another thread takes the signal stack of the first one with it: SIGSEGV at Ctrl-C."""
    assert open_core() is open_core()


def test_openvino_reports_nothing_to_anyone(tmp_path: Path) -> None:
    """Its converter sends a message to Google Analytics when it is imported, and leaves an identifier in the home."""
    code = """
import sys
from vitapps.shared_backbones.engines.openvino import load_openvino
assert load_openvino().Core().available_devices
sent = sorted(name for name in sys.modules if "telemetry" in name or name == "openvino.tools.ovc")
assert not sent, sent
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()


def test_large_inputs_are_computed_one_at_a_time(card, monkeypatch):
    image = np.random.default_rng(0).random((3, CONFIG.input_chans, *CONFIG.window), np.float32)
    wanted = run(card, image)
    monkeypatch.setattr(openvino, "LARGE", 1000)
    compiled = openvino._compile(openvino.open_core(), graph_path(card), {})
    assert compiled.inputs[0].shape == [1, *image.shape[1:]]
    model = openvino.compile_graph(graph_path(card), card_name="", precision="exact", threads=1, keep=False)
    assert error(model(image)[0], wanted) < 1e-4


def test_calls_of_several_threads_run_at_once(card):
    images = np.random.default_rng(0).random((12, 1, CONFIG.input_chans, *CONFIG.window), np.float32)
    options = RunOptions(engine="openvino", precision="exact", device="cpu", threads=2)
    assert load_model(card, options).together == 1
    assert load_model(card, replace(options, threads=1), together=2).together == 1
    model = load_model(card, options, together=2)
    assert model.together == 2 and model.lend is None
    with ThreadPoolExecutor(4) as pool:  # more than there are requests
        found = list(pool.map(lambda image: model(image)[0], images))
    assert max(error(one, run(card, image)) for one, image in zip(found, images, strict=True)) < 1e-4


def test_a_large_check_is_stored_coarse(tmp_path, monkeypatch):
    assert [side * publishing._made_up((1, 4, 80, 96, 80))[1] for side in (20, 24, 20)] == [80, 96, 80]
    monkeypatch.setattr(publishing, "NOISE", 5000)
    fields = {"name": "coarse", "task": "t", "arch": "volume_segmenter", "config": asdict(CONFIG), "summary": "",
              "licence": "CC0-1.0"}  # fmt: skip
    module = VolumeSegmenter(CONFIG)
    made = load_card(publish(module, fields, tmp_path, example=window_example(CONFIG), output_names=["logits"]))
    image, wanted = read_check(made)
    assert image.shape == (1, CONFIG.input_chans, *CONFIG.window) and len(np.unique(image)) <= 5000
    assert relative_error([sampled(run(made, image))], wanted) < 1e-3
