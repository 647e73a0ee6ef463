"""Published checkpoints as our ViT: `timm:NAME` and `hf:OWNER/REPO[@REVISION]`, from the Hugging Face cache or network.

timm builds its own model and loads it (safetensors where there is one, pickles with weights_only=True); the state then
goes through `convert/`. Nothing is replaced silently: what has no counterpart in the plain ViT is refused.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitapps.errors import MissingError, UsageError, VitappsError
from vitapps.require import require
from vitapps.shared_backbones.convert.timm_eva import config_from_timm_eva, convert_timm_eva
from vitapps.shared_backbones.convert.timm_vit import config_from_timm_vit, convert_timm_vit
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights.load import load_state

_CACHE_HINT = "it has to be in the Hugging Face cache (HF_HOME) or reachable over the network"


class Published(NamedTuple):
    """`module` in evaluation mode; `preprocess`: `mean` and `std` of RGB in 0..1, `size` H W, `interpolation`, `crop`
    (the share of the resized image that its centre crop keeps)."""

    module: ViT
    config: ViTConfig
    preprocess: dict[str, Any]


def load_published(spec: str, *, cache_dir: Path | None = None) -> Published:
    """Load `timm:NAME` or `hf:REPO`; `cache_dir` stands for the Hugging Face cache.

    Raises UsageError for another kind of `spec` or an architecture that the plain ViT is not, MissingError where timm
    is not installed, the name is unknown, or the files are neither cached nor reachable nor readable.
    """
    timm = require("timm", extra="hub")
    kind, _, name = spec.partition(":")
    if kind not in ("timm", "hf") or not name:
        raise UsageError(f"'{spec}' is no published checkpoint", hint="give timm:NAME or hf:OWNER/REPO")
    if kind == "timm":
        _check_timm_name(timm, spec, name)
    else:
        _check_repository(spec, name, cache_dir)
        name = f"hf-hub:{name}"
    with torch.device("meta"):  # what cannot be converted is refused before anything large is fetched
        _config(_create(timm, spec, name, cache_dir, pretrained=False))
    peer = _create(timm, spec, name, cache_dir, pretrained=True)
    config = _config(peer)
    module = ViT(config)
    convert = convert_timm_eva if type(peer).__name__ == "Eva" else convert_timm_vit
    load_state(module, convert(peer.state_dict()), spec)
    return Published(module.eval(), config, _preprocess(timm, peer, config))


def _config(peer: Any) -> ViTConfig:
    if not hasattr(peer, "blocks") or not hasattr(peer, "patch_embed"):
        raise UsageError(
            f"{type(peer).__name__} is not a plain ViT", hint="choose a ViT, DeiT, DINO, CLIP or EVA model"
        )
    return config_from_timm_eva(peer) if type(peer).__name__ == "Eva" else config_from_timm_vit(peer)


def _create(timm: Any, spec: str, name: str, cache_dir: Path | None, *, pretrained: bool) -> Any:
    try:
        return timm.create_model(name, pretrained=pretrained, cache_dir=cache_dir)
    except VitappsError:
        raise
    except Exception as error:  # timm, the hub client, pickle and safetensors share no base class
        raise MissingError(f"{spec}: {_first_line(error)}", hint=_CACHE_HINT) from error


def _check_timm_name(timm: Any, spec: str, name: str) -> None:
    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        close = difflib.get_close_matches(architecture, known, n=3)
        raise MissingError(f"{spec}: timm knows no '{architecture}'", hint=f"did you mean {' or '.join(close)}?")
    trained = [item.partition(".")[2] for item in timm.list_pretrained(f"{architecture}.*")]
    if not trained or (tag and tag not in trained):
        hint = f"tags: {', '.join(trained)}" if trained else "choose another model"
        raise MissingError(f"{spec}: timm has no such weights", hint=hint)


def _check_repository(spec: str, name: str, cache_dir: Path | None) -> None:
    """Refuse a repository that is not in timm's format before timm meets it."""
    hub = require("huggingface_hub", extra="hub")
    repository, _, revision = name.partition("@")
    try:
        path = hub.hf_hub_download(repository, "config.json", revision=revision or None, cache_dir=cache_dir)
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except Exception as error:  # the hub client's errors have no common base class either
        raise MissingError(f"{spec}: {_first_line(error)}", hint=_CACHE_HINT) from error
    if "architecture" not in found:
        kind = found.get("model_type", "unknown")
        raise UsageError(f"{spec}: a repository of kind '{kind}', not of timm", hint="choose its twin under hf:timm/…")


def _preprocess(timm: Any, peer: Any, config: ViTConfig) -> dict[str, Any]:
    found = timm.data.resolve_model_data_config(peer)
    return {
        "mean": list(found["mean"]),
        "std": list(found["std"]),
        "size": list(config.image_size),
        "interpolation": found["interpolation"],
        "crop": found["crop_pct"],
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
