"""A tiny OWL-ViT with random weights as transformers saves it, with a vocabulary of CLIP's kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MERGES = ("d o", "do g</w>", "c a", "ca t</w>", "p e", "pe r", "per s", "o n</w>", "pers on</w>", "h o", "t do")
IMAGE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "image_size": 64, "patch_size": 16}  # fmt: skip
TEXT = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3,
        "max_position_embeddings": 8}  # fmt: skip


def random_owl(kind: str, pieces: int) -> Any:
    """transformers' network (`owlvit` or `owlv2`) in which every weight matters."""
    import torch
    import transformers

    torch.manual_seed(0)
    name = {"owlvit": "OwlViT", "owlv2": "Owlv2"}[kind]
    text = TEXT | {"vocab_size": pieces, "eos_token_id": pieces - 1, "bos_token_id": pieces - 2}
    settings = getattr(transformers, f"{name}Config")(vision_config=IMAGE, text_config=text, projection_dim=24)
    network = getattr(transformers, f"{name}ForObjectDetection")(settings).eval()
    for parameter in network.parameters():  # norms start where they do nothing, embeddings very small
        parameter.data = torch.randn_like(parameter) * (parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    network.class_head.logit_scale.bias.data.fill_(2.0)  # a scale near 0 would hide everything
    return network


def write_vocabulary(folder: Path) -> int:
    """`vocab.json` and `merges.txt` that know a handful of words; the number of pieces."""
    from vitapps.shared_backbones.weights.byte_pieces import stand_ins

    letters = sorted(stand_ins())
    joined = ["".join(pair.split()) for pair in MERGES]
    pieces = [*letters, *(char + "</w>" for char in letters), *joined, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]), "utf-8")
    return len(pieces)


def write_owl(folder: Path) -> Path:
    """A checkpoint folder with `random_owl`."""
    folder.mkdir(parents=True, exist_ok=True)
    random_owl("owlvit", write_vocabulary(folder)).save_pretrained(folder)
    return folder
