"""`timm:NAME` and `hf:REPO` from a cache that the test lays out by hand; no network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vitapps.errors import MissingError, UsageError
from vitapps.shared_backbones.weights.published import load_published

timm = pytest.importorskip("timm")
hub = pytest.importorskip("huggingface_hub")
ARGS = {"depth": 1, "embed_dim": 48, "num_heads": 3, "img_size": 32}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)


def lay_out(cache: Path, repository: str, config: dict[str, Any] | None) -> Path:
    """The folder of a snapshot as huggingface_hub lays it out."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    if config is not None:
        (snapshot / "config.json").write_text(json.dumps(config))
    return snapshot


def timm_config(architecture: str, **changes: Any) -> dict[str, Any]:
    pretrained = {
        "input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.9, "num_classes": 4,
        "interpolation": "bicubic", "first_conv": "patch_embed.proj", "classifier": "head",
    }  # fmt: skip
    args = ARGS | changes
    return {"architecture": architecture, "num_classes": 4, "model_args": args, "pretrained_cfg": pretrained}


def peer_of(architecture: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    peer = timm.create_model(architecture, pretrained=False, num_classes=4, **(ARGS | changes)).eval()
    for parameter in peer.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    return peer


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_cached_repository(tmp_path: Path, architecture: str, file: str) -> None:
    changes = {"img_size": 28} if "14" in architecture else {}
    snapshot = lay_out(tmp_path, "someone/tiny", timm_config(architecture, **changes))
    peer = peer_of(architecture, **changes)
    if file.endswith("bin"):
        torch.save(peer.state_dict(), snapshot / file)
    else:
        save_file({key: value.contiguous() for key, value in peer.state_dict().items()}, snapshot / file)
    found = load_published("hf:someone/tiny", cache_dir=tmp_path)
    x = torch.randn(2, 3, *found.config.image_size)
    torch.testing.assert_close(found.module(x), peer(x), rtol=1e-5, atol=1e-5)
    assert not found.module.training
    assert found.preprocess == {
        "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "size": list(found.config.image_size),
        "interpolation": "bicubic", "crop": 0.9,
    }  # fmt: skip


def test_a_cached_timm_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    peer = timm.create_model("test_vit", pretrained=False).eval()
    name = timm.models.get_pretrained_cfg("test_vit").tag
    snapshot = lay_out(tmp_path, f"timm/test_vit.{name}", None)
    save_file({key: value.contiguous() for key, value in peer.state_dict().items()}, snapshot / "model.safetensors")
    for spec in ("timm:test_vit", f"timm:test_vit.{name}"):
        found = load_published(spec, cache_dir=tmp_path)
        x = torch.randn(1, 3, *found.config.image_size)
        torch.testing.assert_close(found.module(x), peer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", ["timm:test_vit", "hf:nobody/nothing", "hf:nobody/nothing@v2"])
def test_what_is_not_cached_is_missing(tmp_path: Path, spec: str) -> None:
    with pytest.raises(MissingError, match=spec) as caught:
        load_published(spec, cache_dir=tmp_path)
    assert "cache" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_names_are_checked_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        load_published("timm:vit_tiny_patch16_225", cache_dir=tmp_path)
    assert "vit_tiny_patch16_224" in caught.value.hint
    with pytest.raises(MissingError) as caught:
        load_published("timm:test_vit.nobody", cache_dir=tmp_path)
    assert "r160_in1k" in caught.value.hint
    with pytest.raises(UsageError):
        load_published("timm:resnet18", cache_dir=tmp_path)
    for spec in ("tim:test_vit", "timm:", "test_vit"):
        with pytest.raises(UsageError, match="no published checkpoint"):
            load_published(spec, cache_dir=tmp_path)


def test_a_repository_of_another_kind_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "someone/else", {"model_type": "dinov2"})
    with pytest.raises(UsageError, match="dinov2"):
        load_published("hf:someone/else", cache_dir=tmp_path)


class Trap:
    """A pickle that would make a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    snapshot = lay_out(tmp_path, "someone/evil", timm_config("vit_tiny_patch16_224"))
    torch.save({"head.weight": Trap(tmp_path / "ran")}, snapshot / "pytorch_model.bin")
    with pytest.raises(MissingError, match="evil"):
        load_published("hf:someone/evil", cache_dir=tmp_path)
    assert not (tmp_path / "ran").exists()
    torch.load(snapshot / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()  # the trap works where it is let


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    snapshot = lay_out(tmp_path, "someone/tiny", timm_config("vit_tiny_patch16_224"))
    state = peer_of("vit_tiny_patch16_224").state_dict()
    state["blocks.0.attn.proj.weight"] = torch.zeros(9, 9)
    save_file({key: value.contiguous() for key, value in state.items()}, snapshot / "model.safetensors")
    with pytest.raises(MissingError, match="someone/tiny"):
        load_published("hf:someone/tiny", cache_dir=tmp_path)
