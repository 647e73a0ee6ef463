"""The plain ViT: shapes in every dimension, slots, intermediates, checkpointing, clear refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones import models
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState

TINY = ViTConfig(image_size=(8, 12), patch=(4, 4), dim=24, depth=3, heads=2, registers=2, num_classes=5)
CASES: dict[str, dict[str, Any]] = {
    "image": {},
    "bands": {"in_chans": 13},
    "volume": {"in_chans": 1, "image_size": (8, 8, 4), "patch": (4, 4, 2), "pos": "rope"},
    "clip": {"image_size": (4, 8, 8), "patch": (2, 4, 4), "pos": "sincos"},
    "signal": {"in_chans": 2, "image_size": (32,), "patch": (8,)},
    "stem": {"embed": "stem"},
    "tubelet stem": {"embed": "stem", "image_size": (4, 8, 8), "patch": (2, 8, 8)},
    "swiglu": {"mlp": "swiglu", "mlp_norm": True, "attn_norm": True, "mlp_ratio": 8 / 3},
    "everything": {
        "qk_norm": True, "layer_scale": 0.1, "pre_norm": True, "norm": "rmsnorm", "act": "quick_gelu", "fc_norm": True,
        "drop_path": 0.2, "pool": "attention", "pos": "learned+rope", "pos_prefix": False,
    },
    "no prefix": {"class_token": False, "registers": 0, "pool": "mean"},
    "prefix pool": {"pool": "prefix"},
    "gem": {"pool": "gem"},
    "ggem": {"pool": "ggem", "pool_groups": 6},
}  # fmt: skip


def make(**changes: Any) -> ViT:
    torch.manual_seed(0)
    return ViT(replace(TINY, **changes)).eval()


def image(model: ViT, *, factor: int = 1) -> Tensor:
    size = [side * factor for side in model.config.image_size]
    return torch.randn(2, model.config.in_chans, *size)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("factor", [1, 2])
def test_shapes_and_gradients(name: str, factor: int) -> None:
    model = make(**CASES[name]).train()
    x = image(model, factor=factor)
    features = model.forward_features(x)
    grid = tuple(side * factor // step for side, step in zip(model.config.image_size, model.config.patch, strict=True))
    assert features.grid == grid
    assert features.map().shape == (2, 24, *grid)
    out = model(x)
    assert out.shape == (2, 5)
    out.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_batch_entries_do_not_see_each_other() -> None:
    model = make(**CASES["everything"])
    x = image(model)
    torch.testing.assert_close(model(x)[1:], model(x[1:]), rtol=1e-5, atol=1e-6)


def test_map_is_in_row_major_order_without_the_prefix() -> None:
    model = make(depth=0, final_norm=False, pos="none", registers=3)
    x = image(model)
    patch = model.patch_embed.proj(x)  # B C 2 3
    assert torch.equal(model.forward_features(x).map(), patch)


@pytest.mark.parametrize("size", [(4, 4), (4, 20), (24, 4), (16, 20)])
def test_any_input_size(size: tuple[int, int]) -> None:
    model = make()
    assert model(torch.randn(1, 3, *size)).isfinite().all()


def test_a_size_between_patches_needs_dynamic_pad() -> None:
    x = torch.randn(1, 3, 9, 12)
    with pytest.raises(ValueError, match="not a multiple of the patch"):
        make()(x)
    padded = torch.zeros(1, 3, 12, 12)
    padded[:, :, :9] = x
    assert torch.equal(make(dynamic_pad=True)(x), make()(padded))


@pytest.mark.parametrize("shape", [(1, 4, 8, 12), (1, 3, 8), (1, 3, 8, 12, 4), (3, 8, 12)])
def test_a_wrong_input_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the model takes B 3 and 2 spatial axes"):
        make()(torch.zeros(shape))


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": (8, 8, 8)}, {"image_size": (9, 12)}, {"heads": 5}, {"class_token": False}, {"pool": "cis"},
        {"pos": "learnt"}, {"embed": "stem", "patch": (3, 3), "image_size": (9, 9)}, {"reduce": (2,)},
        {"reduce": (-1,), "reducer": "identity"}, {"reduce": (0,) * 9}, {"rope_reference": (4,)},
        {"pool": "prefix", "class_token": False, "registers": 0}, {"pool": "ggem", "pool_groups": 5},
        {"reducer": "tomee"}, {"image_size": (2,) * 4, "patch": (2,) * 4},
    ],
)  # fmt: skip
def test_a_configuration_without_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make(**changes)


def test_intermediates_are_what_the_blocks_return() -> None:
    model = make(final_norm=False)
    x = image(model)
    features = model.forward_features(x, return_layers=(0, -1))
    assert set(features.intermediates) == {0, -1}
    assert torch.equal(features.intermediates[-1], features.tokens)
    first = make(final_norm=False)
    first.blocks = first.blocks[:1]
    assert torch.equal(features.intermediates[0], first.forward_features(x).tokens)
    assert features.map(0).shape == (2, 24, 2, 3)
    assert model.forward_features(x, return_layers=(2, -1)).intermediates.keys() == {2, -1}
    with pytest.raises(UsageError):
        features.map(1)
    with pytest.raises(UsageError):
        model.forward_features(x, return_layers=(3,))


def test_features_know_their_class_token() -> None:
    features = make().forward_features(image(make()))
    assert torch.equal(features.class_token(), features.tokens[:, 0])
    bare = Features(tokens=features.tokens, grid=(3, 3), prefix=0)
    with pytest.raises(UsageError):
        bare.class_token()


def test_checkpointing_changes_memory_not_gradients() -> None:
    gradients = []
    for flag in (False, True):
        model = make(grad_checkpointing=flag, **CASES["swiglu"]).train()
        torch.manual_seed(1)
        model(image(model)).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, saved in zip(*gradients, strict=True):
        torch.testing.assert_close(saved, plain, rtol=1e-6, atol=1e-7)


def test_checkpointing_really_recomputes() -> None:
    model = make(grad_checkpointing=True).train()
    calls: list[int] = []
    blocks: Any = model.blocks
    blocks[0].attn.register_forward_hook(lambda *_: calls.append(1))
    model(image(model)).sum().backward()
    assert len(calls) == 2


def test_drop_path_drops_samples_in_training_alone() -> None:
    model = make(drop_path=0.9)
    x = image(model).expand(2, -1, -1, -1)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", ["image", "volume", "everything"])
def test_a_reducer_of_strength_zero_changes_no_bit(name: str) -> None:
    plain, slotted = make(**CASES[name]), make(reducer="identity", reduce=(0, 0), **CASES[name])
    slotted.load_state_dict(plain.state_dict())
    x = image(plain)
    assert torch.equal(plain(x), slotted(x))
    assert torch.equal(plain.forward_features(x, (1,)).map(1), slotted.forward_features(x, (1,)).map(1))


class DropLast(Reducer):
    """Merges the last `r` tokens into the one before them, without weighing: enough to see the slot work."""

    need: Need | None = "key_mean"
    proportional = True

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[Tensor | None] = []

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        self.metrics.append(metric)
        keep = x.shape[1] - r
        size = state.size[:, :keep].clone()
        size[:, -1] += state.size[:, keep:].sum(dim=1)
        source = state.source.clamp_max(keep - 1)
        return x[:, :keep], replace(state, size=size, source=source, position=state.position[:, :keep])


def test_the_reducer_slot_reduces_weighs_and_puts_back() -> None:
    model = make(reducer="identity", reduce=(0, 2))
    reducer = DropLast()
    model.reducer = reducer
    seen: list[Any] = []
    blocks: Any = model.blocks
    for block in blocks:
        block.attn.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["key_size"]), with_kwargs=True)
    x = image(model)
    features = model.forward_features(x, return_layers=(0, 1, 2))
    assert [None if metric is None else metric.shape[1] for metric in reducer.metrics] == [9]
    assert seen[:2] == [None, None]
    assert seen[2][0, :, 0].tolist() == [1] * 6 + [3]
    assert features.tokens.shape == (2, 9, 24)
    assert torch.equal(features.map()[:, :, 1, 0], features.map()[:, :, 1, 2])  # the merged patches are one
    assert not torch.equal(features.map(0)[:, :, 1, 0], features.map(0)[:, :, 1, 2])


def test_a_dropped_token_comes_back_as_zero() -> None:
    model = make(reducer="identity", reduce=(1,))

    class Drop(DropLast):
        def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> Any:
            source = state.source.clone()
            source[:, -1] = -1
            kept = replace(state, size=state.size[:, :-1], source=source, position=state.position[:, :-1])
            return x[:, :-1], kept

    model.reducer = Drop()
    last = model.forward_features(image(model)).map()[:, :, 1, 2]
    assert torch.equal(last, torch.zeros_like(last))


@pytest.mark.parametrize("name", ["image", "volume", "swiglu", "everything", "ggem"])
def test_exports_with_a_free_batch(name: str) -> None:
    model = make(**CASES[name])
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(model, (image(model),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(5, model.config.in_chans, *model.config.image_size)
    torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-6)
    kinds = {node.target for node in program.graph.nodes if node.op == "call_function"}
    assert not [kind for kind in kinds if "upsample" in str(kind) or "arange" in str(kind)]


def test_build_reads_what_toml_gives() -> None:
    model = models.build("vit", {"image_size": [8, 8], "patch": [4, 4], "dim": 8, "depth": 1, "heads": 1})
    assert isinstance(model, ViT)
    assert model.config.patch == (4, 4)
    with pytest.raises(UsageError, match="vitt") as caught:
        models.build("vitt", {})
    assert "did you mean vit?" in caught.value.hint
    with pytest.raises(UsageError, match="head_s"):
        models.build("vit", {"head_s": 3})
