"""Architectures by name; each is imported when it is built."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from typing import TYPE_CHECKING, Any

from vitapps.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

ARCHS = {
    "iml_vit": "vitapps.shared_backbones.models.iml_vit:ImlViT:ImlViTConfig",
    "lookup_vit": "vitapps.shared_backbones.models.lookup_vit:LookupViT:LookupViTConfig",
    "linear_probe": "vitapps.shared_backbones.models.linear_probe:LinearProbe:LinearProbeConfig",
    "vit": "vitapps.shared_backbones.models.vit:ViT:ViTConfig",
    "volume_segmenter": "vitapps.shared_backbones.models.volume_segmenter:VolumeSegmenter:VolumeSegmenterConfig",
    "hypersphere_vit": "vitapps.shared_backbones.models.hypersphere_vit:HypersphereViT:HypersphereViTConfig",
    "vit_embedder": "vitapps.shared_backbones.models.vit_embedder:ViTEmbedder:ViTEmbedderConfig",
    "clip_classifier": "vitapps.shared_backbones.models.clip_classifier:ClipClassifier:ClipClassifierConfig",
    "simvos": "vitapps.shared_backbones.models.simvos:SimVos:SimVosConfig",
    "dist": "vitapps.shared_backbones.models.dist:Dist:DistConfig",
    "plain_detector": "vitapps.shared_backbones.models.plain_detector:PlainDetector:PlainDetectorConfig",
    "predformer": "vitapps.shared_backbones.models.predformer:PredFormer:PredFormerConfig",
    "liveness_vit": "vitapps.shared_backbones.models.liveness_vit:LivenessViT:LivenessViTConfig",
    "tracker": "vitapps.shared_backbones.models.tracker:Tracker:TrackerConfig",
    "line_recogniser": "vitapps.shared_backbones.models.line_recogniser:LineRecogniser:LineRecogniserConfig",
    "word_heads": "vitapps.shared_backbones.models.word_heads:WordHeads:WordHeadsConfig",
    "mgp_str": "vitapps.shared_backbones.models.mgp_str:MgpStr:MgpStrConfig",
    "text_detector": "vitapps.shared_backbones.models.text_detector:TextDetector:TextDetectorConfig",
    "layout_head": "vitapps.shared_backbones.models.layout_head:LayoutHead:LayoutHeadConfig",
}


def build(arch: str, config: dict[str, Any]) -> nn.Module:
    """A model of architecture `arch` with fresh weights; `config` holds the fields of its configuration (lists stand
    for tuples, as in TOML), and may hold a `reduction`, as `--reduce` has it, for the ViTs inside. UsageError for a
    name or a field that does not exist, and for a reduction that does not fit."""
    _check_name("architecture", arch, list(ARCHS))
    module_name, class_name, config_name = ARCHS[arch].split(":")
    module = importlib.import_module(module_name)
    config_type = getattr(module, config_name)
    known = [field.name for field in dataclasses.fields(config_type)]
    fields = {key: tuples(value) for key, value in config.items() if key != "reduction"}
    for key in fields:
        _check_name(f"field of {config_name}", key, known)
    model: nn.Module = getattr(module, class_name)(config_type(**fields))
    if "reduction" not in config:
        return model
    from vitapps.shared_backbones.models.reduced import reduced_model

    return reduced_model(model, config["reduction"])


def _check_name(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UsageError(f"no {what} '{name}'", hint=hint)


def tuples(value: Any) -> Any:
    """`value` with tuples for lists, which TOML and JSON have in their place, at any depth."""
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value
