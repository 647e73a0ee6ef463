"""Published recognisers as engine: ArcFace graphs and ViTs, CLIP's image tower; and the points measured for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from backbones.test_insightface_vit import HEADS, OUT, _plain, _state
from safetensors.torch import save_file

from fakes import red_faces
from fakes.detector_graphs import write_constant_graph
from fakes.drawn_faces import draw
from vitapps.apps.main import main
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint, unit
from vitapps.pipelines.face.find_faces import FaceFinder
from vitapps.pipelines.face.operating_points import calibrated
from vitapps.pipelines.face.published_embedder import PublishedEmbedder
from vitapps.pipelines.face.verifier_calibrate import VerifierCalibration, calibration_text
from vitapps.pipelines.face.verify import decide
from vitapps.shared_backbones.convert import insightface_vit
from vitapps.shared_backbones.convert.timm_vit import config_from_timm_vit, convert_timm_vit
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.weights import published
from vitapps.shared_backbones.weights.load import load_state

CROPS = [draw(1)[0], draw(2)[0]]


@pytest.fixture
def four_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published variants have 8 heads of 64; the small one of the tests has fewer."""
    monkeypatch.setattr(insightface_vit.config_from_insightface_vit, "__kwdefaults__", {"heads": HEADS})


def both_ways(run, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        plain, turned = run(images).numpy(), run(images.flip(-1)).numpy()
    return unit(unit(plain) + unit(turned))


def images_of(embedder: PublishedEmbedder) -> torch.Tensor:
    return torch.from_numpy(np.stack([embedder._image(crop) for crop in CROPS]))


@pytest.mark.usefixtures("four_heads")
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_arcface_vit_from_its_published_state(suffix: str, tmp_path: Path) -> None:
    state, path = _state(), tmp_path / f"arcface.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        save_file({key: value.contiguous() for key, value in state.items()}, str(path))
    embedder = Embedder.load(str(path), 1)
    assert isinstance(embedder, PublishedEmbedder) and (embedder.crop_size, embedder.dim) == (27, OUT)
    images = images_of(embedder)
    assert -1 <= float(images.min()) < 0 < float(images.max()) <= 1
    assert np.allclose(embedder.embed(CROPS), both_ways(lambda x: _plain(state, x), images), atol=1e-5)
    assert embedder.contract == Embedder.load(str(path), 1).contract and embedder.embed([]).shape == (0, OUT)


def test_clip_tower_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    peer = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, pre_norm=True, num_classes=12
    ).eval()
    config = config_from_timm_vit(peer)
    module = ViT(config)
    load_state(module, convert_timm_vit(peer.state_dict()), "peer")
    words = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "size": [32, 32]}
    monkeypatch.setattr(published, "load_published", lambda spec: published.Published(module, config, words))
    embedder = Embedder.load("timm:vit_tiny_clip", 1)
    assert isinstance(embedder, PublishedEmbedder)
    images = images_of(embedder)
    resized = cv2.resize(CROPS[0], (32, 32), interpolation=cv2.INTER_AREA) / 255
    assert np.allclose(images[0].permute(1, 2, 0), (resized - words["mean"]) / words["std"], atol=1e-5)
    assert np.allclose(embedder.embed(CROPS), both_ways(peer, images), atol=1e-5)


def test_clip_tower_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    peer = transformers.CLIPVisionModelWithProjection(config).eval()
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in peer.state_dict().items()}, str(path))
    with pytest.raises(MissingError, match=r"config\.json"):
        Embedder.load(str(path), 1)
    (tmp_path / "config.json").write_text(config.to_json_string())
    embedder = Embedder.load(str(path), 1)
    assert isinstance(embedder, PublishedEmbedder) and (embedder.crop_size, embedder.dim) == (32, 12)
    found = embedder.embed(CROPS)
    assert np.allclose(found, both_ways(lambda x: peer(x).image_embeds, images_of(embedder)), atol=1e-5)


def test_arcface_graph(tmp_path: Path) -> None:
    vector = np.array([[3.0, 4.0]], np.float32)
    embedder = Embedder.load(str(write_constant_graph(tmp_path / "w600k.onnx", {"out": vector}, 112, 112)))
    assert np.allclose(embedder.embed(CROPS), [[0.6, 0.8]] * 2) and embedder.facts.name == "w600k.onnx"


def test_nothing_is_decided_before_points_are_measured(tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "w.onnx", {"out": np.ones((1, 2), np.float32)}, 112, 112)
    embedder = Embedder.load(str(path))
    assert embedder.point(0.01) is None and embedder.probability(0.9) is None
    assert decide(0.99, None, None, reliable=True) == "unsure"
    point = OperatingPoint(fmr=0.1, fnmr=0.2, threshold=0.5, pairs="3")
    found = VerifierCalibration(
        model=embedder.contract, slope=2.0, offset=-1.0, operating_points=(point,), people=2, pictures=4, skipped=0
    )
    table = tmp_path / "points.toml"
    table.write_text(calibration_text(found))
    ready = calibrated(embedder, table)
    assert ready.point(0.1) == point and ready.probability(0.5) == 0.5 and calibrated(embedder, None) is embedder
    table.write_text(calibration_text(replace(found, model="another 0")))
    with pytest.raises(UsageError, match="measured on another"):
        calibrated(embedder, table)
    table.write_text("no = [")
    with pytest.raises(UnreadableInputError):
        calibrated(embedder, table)


def test_points_are_measured_on_people_of_yours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Red patches are faces; a graph that always says the same calls everybody the same person."""
    monkeypatch.setattr(FaceFinder, "load", classmethod(lambda cls, *_: red_faces.finder()))
    for name in ("anna", "bert"):
        (tmp_path / "people" / name).mkdir(parents=True)
        for shot in range(4):
            pixels = red_faces.picture(120, 120, [(30, 30, 90, 90)])[..., ::-1]
            cv2.imwrite(str(tmp_path / "people" / name / f"{shot}.png"), pixels)
    graph = write_constant_graph(tmp_path / "w.onnx", {"out": np.ones((1, 2), np.float32)}, 112, 112)
    out, words = tmp_path / "points.toml", ["--weights", str(graph)]
    assert main(["face", "calibrate", "verify", str(tmp_path / "people"), "-o", str(out), *words]) == 0
    pair = [str(tmp_path / "people" / name / "0.png") for name in ("anna", "bert")]
    assert "8 pictures of 2 people" in capsys.readouterr().out
    assert main(["face", "verify", *pair, *words]) == 0
    assert "no threshold was measured" in capsys.readouterr().out
    assert main(["face", "verify", *pair, *words, "--calibration", str(out)]) == 2  # 16 pairs give no rate of 0.01
    assert main(["face", "verify", *pair, *words, "--calibration", str(out), "--fmr", "0.1"]) == 0
    assert "at a false match rate of 0.1" in capsys.readouterr().out
    for path in (tmp_path / "people").glob("*/[123].png"):
        path.unlink()
    cv2.imwrite(str(tmp_path / "people" / "anna" / "1.png"), pixels)
    few = ["face", "calibrate", "verify", str(tmp_path / "people"), "-o", str(tmp_path / "few.toml"), *words]
    assert main(few) == 3 and "too few" in capsys.readouterr().err
    (tmp_path / "few" / "anna").mkdir(parents=True)
    assert main(["face", "calibrate", "verify", str(tmp_path / "few"), "-o", str(tmp_path / "x.toml")]) == 3


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("absent.onnx", "absent.pt"):
        with pytest.raises(MissingError, match="no such weights file"):
            Embedder.load(str(tmp_path / name))
    (tmp_path / "text.pt").write_bytes(b"no checkpoint")
    with pytest.raises(MissingError, match="not a readable checkpoint"):
        Embedder.load(str(tmp_path / "text.pt"))
    save_file({"a": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(MissingError, match="neither InsightFace's ViT nor CLIP"):
        Embedder.load(str(tmp_path / "other.safetensors"))
    wide = write_constant_graph(tmp_path / "wide.onnx", {"out": np.ones((1, 2), np.float32)}, 64, 96)
    with pytest.raises(MissingError, match="not aligned faces"):
        Embedder.load(str(wide))
