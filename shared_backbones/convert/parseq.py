"""PARSeq as its authors publish it (github.com/baudm/parseq: `parseq-*.pt`, `parseq_tiny-*.pt`, and checkpoints of
their training, whose keys begin with `model.`). The sizes are read off the state: there is no configuration beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.timm_vit import rename_key
from vitapps.shared_backbones.models.parseq import ParseqConfig
from vitapps.shared_backbones.models.vit import ViTConfig

MARK = "pos_queries"  # the parameter that tells a PARSeq
_IMAGE_SIZES = {(4, 8): (32, 128), (16, 16): (224, 224)}  # pixels, by the patch of the published models
_HEAD_WIDTHS = (64, 32)  # channels a head, encoder and decoder of all of them
_HINT = "a file of github.com/baudm/parseq/releases, such as parseq-bb5792a6.pt"
_NAMES = {
    "pos_queries": "queries", "text_embed.embedding.": "text.", "decoder.norm.": "norm.", "decoder.layers.0.": "layer.",
}  # fmt: skip
_PARTS = {".linear1.": ".mlp.fc1.", ".linear2.": ".mlp.fc2.", ".out_proj.": ".proj."}


def parseq_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state by its published names, without the prefix of the training's wrapper; UsageError for another model."""
    found = {key.removeprefix("model."): value for key, value in state.items()}
    if MARK not in found:
        raise UsageError(f"no PARSeq: '{MARK}' is missing", hint=_HINT)
    return found


def config_from_parseq(state: Mapping[str, Tensor]) -> ParseqConfig:
    """Of a state as `parseq_state` gives it; UsageError for sizes that none of the published models has."""
    needed = ("encoder.patch_embed.proj.weight", "encoder.pos_embed", "head.weight", "encoder.blocks.0.mlp.fc1.weight",
              "decoder.layers.0.linear1.weight")  # fmt: skip
    missing = [key for key in needed if key not in state]
    if missing:
        raise UsageError(f"PARSeq without {', '.join(missing)}", hint=_HINT)
    embed, hidden = (state[key] for key in (needed[0], needed[3]))
    dim, patch = embed.shape[0], (embed.shape[2], embed.shape[3])
    size = _IMAGE_SIZES.get(patch)
    if size is None or size[0] // patch[0] * (size[1] // patch[1]) != state["encoder.pos_embed"].shape[1]:
        raise UsageError(
            f"PARSeq with {state['encoder.pos_embed'].shape[1]} patches of {patch[0]} x {patch[1]} pixels", hint=_HINT
        )
    if dim % _HEAD_WIDTHS[0] or any(key.startswith("decoder.layers.1.") for key in state):
        raise UsageError(f"PARSeq of width {dim} or of several decoder layers", hint=_HINT)
    return ParseqConfig(
        encoder=ViTConfig(
            in_chans=embed.shape[1], image_size=size, patch=patch, dim=dim, depth=_depth(state),
            heads=dim // _HEAD_WIDTHS[0], mlp_ratio=hidden.shape[0] / dim, class_token=False, pool="none",
        ),
        heads=dim // _HEAD_WIDTHS[1],
        mlp_ratio=state[needed[4]].shape[0] / dim, chars=state["head.weight"].shape[0] - 1,
        length=state[MARK].shape[1] - 1,
    )  # fmt: skip


def convert_parseq(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State as `parseq_state` gives it -> ours: torch's joined projection is parted in queries, and keys and values."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _renamed(key)
        root, joined, kind = name.partition(".in_proj_")
        if not joined:
            found[name] = value
            continue
        dim = value.shape[0] // 3
        found[f"{root}.q.{kind}"], found[f"{root}.kv.{kind}"] = value[:dim], value[dim:]
    return found


def _renamed(key: str) -> str:
    if key.startswith("encoder."):
        return f"encoder.{rename_key(key.removeprefix('encoder.'))}"
    for theirs, ours in _NAMES.items():
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
    for theirs, ours in _PARTS.items():
        key = key.replace(theirs, ours)
    return key


def _depth(state: Mapping[str, Tensor]) -> int:
    prefix = "encoder.blocks."
    return 1 + max(int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix))
