"""The contract of every token reducer; members are found by their CARD."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, restore, start

MEMBERS = [name for name in slots.members("token_reduction") if hasattr(slots.load("token_reduction", name), "CARD")]
BASE = ViTConfig(
    image_size=(32, 24), patch=(4, 4), dim=24, depth=4, heads=2, num_classes=5, layer_scale=0.5, qk_norm=True
)
PREFIXES = {"class": (True, 0), "registers": (True, 3)}
WIDTH, HEADS = 24, 2


def test_members_were_found() -> None:
    assert {"tome", "evit", "sit", "history"} <= set(MEMBERS)


def config_of(name: str, **changes: Any) -> ViTConfig:
    return replace(BASE, reducer=name, reduce_span=2 if name in ("skipvit", "history") else 0, **changes)


def make(name: str) -> Reducer:
    torch.manual_seed(3)  # some have weights of their own
    reducer = slots.load("token_reduction", name).build(config_of(name))
    assert isinstance(reducer, Reducer)
    return with_history(reducer).train()


def with_history(reducer: Any) -> Any:
    """A reducer that looks back gets two objects to look back to."""
    if hasattr(reducer, "remember"):
        reducer.remember(torch.randn(1, 2, WIDTH, generator=torch.Generator().manual_seed(5)))
    return reducer


def load(model: ViT, plain: ViT) -> ViT:
    """The weights of `plain`; a reducer may have more of its own."""
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(key.startswith("reducer.") for key in missing)
    with_history(model.reducer)
    return model


def draw(n: int, prefix: int, seed: int = 0, batch: int = 3) -> tuple[Tensor, dict[Any, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, prefix + n, WIDTH, generator=generator)
    scores = torch.randn(batch, HEADS, prefix + n, generator=generator)
    keys = torch.randn(batch, prefix + n, 12, generator=generator)
    means = torch.randn(batch, prefix + n, prefix + n, generator=generator).softmax(-1)
    return x, {"key_mean": keys, "class_row": scores.softmax(-1), "head_mean": means}


def call(name: str, x: Tensor, metrics: dict[Any, Tensor], r: int, prefix: int) -> tuple[Tensor, TokenState]:
    reducer = make(name)
    torch.manual_seed(7)
    found: tuple[Tensor, TokenState] = reducer(x, start(x, prefix), r, metrics.get(reducer.need))
    return found


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("prefix", [1, 4])
@pytest.mark.parametrize("n", [16, 17, 49])
def test_contract(name: str, prefix: int, n: int) -> None:
    x, metrics = draw(n, prefix)
    reducer = make(name)
    state = start(x, prefix)
    y, same = reducer(x, state, 0, metrics.get(reducer.need))
    assert y is x and same is state  # strength zero is the identity
    for r in (1, 5, reducer.limit(n)):
        y, state = call(name, x, metrics, r, prefix)
        assert y.shape == (3, prefix + n - r, WIDTH)
        assert y.isfinite().all()
        assert torch.equal(y[:, :prefix], x[:, :prefix])
        gone = (state.source < 0).sum(1)
        torch.testing.assert_close(state.size.sum((1, 2)) + gone, torch.full((3,), float(prefix + n)))
        assert state.size.shape == (*y.shape[:2], 1) and state.position.shape == y.shape[:2]
        assert state.source.max() < y.shape[1]
        assert torch.equal(state.source[:, :prefix], torch.arange(prefix).expand(3, -1))
        assert torch.equal(state.position[:, :prefix], torch.arange(prefix).expand(3, -1))
        assert restore(y, state).shape == x.shape
    with pytest.raises(UsageError, match="cannot remove"):
        call(name, x, metrics, reducer.limit(n) + 1, prefix)


@pytest.mark.parametrize("name", MEMBERS)
def test_places_agree(name: str) -> None:
    """A token that stands for itself alone is found by its source, has its own place, and comes back unchanged."""
    if name == "sit":
        pytest.skip("every token is a mean of all")
    x, metrics = draw(21, 2)
    y, state = call(name, x, metrics, 6, 2)
    back = restore(y, state)
    for sample in range(3):
        held = state.source[sample]
        for token in range(23):
            alone = held[token] >= 0 and (held == held[token]).sum() == 1 and state.size[sample, held[token]] == 1
            if alone:
                assert state.position[sample, held[token]] == token
                assert torch.equal(back[sample, token], x[sample, token])
        for place, origin in enumerate(state.position[sample].tolist()):
            assert held[origin] == place  # the token at a place came from its position


@pytest.mark.parametrize("name", MEMBERS)
def test_two_steps_compose(name: str) -> None:
    reducer = make(name)
    if reducer.span:
        pytest.skip("its tokens come back before another step")
    x, metrics = draw(20, 2)
    y, state = call(name, x, metrics, 5, 2)
    _, again = draw(15, 2, seed=1)
    z, final = reducer(y, state, 4, again.get(reducer.need))
    assert z.shape == (3, 13, WIDTH)
    gone = (final.source < 0).sum(1)
    if reducer.proportional or not gone.any():
        torch.testing.assert_close(final.size.sum((1, 2)) + gone, torch.full((3,), 22.0))
    for sample in range(3):  # every input token is where its holder of the first step went
        for token in range(22):
            first = int(state.source[sample, token])
            mates = [other for other in range(22) if state.source[sample, other] == first]
            if first >= 0:
                assert len({int(final.source[sample, mate]) for mate in mates}) == 1
            else:
                assert final.source[sample, token] == -1


@pytest.mark.parametrize("name", MEMBERS)
def test_samples_do_not_see_each_other(name: str) -> None:
    if name == "random_ltd":
        pytest.skip("draws a subset for every sample")
    x, metrics = draw(19, 1)
    whole, _ = call(name, x, metrics, 6, 1)
    alone, _ = call(name, x[1:2], {key: value[1:2] for key, value in metrics.items()}, 6, 1)
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MEMBERS)
def test_gradient_is_finite_and_reaches_what_stays(name: str) -> None:
    x, metrics = draw(18, 1)
    x.requires_grad_()
    y, state = call(name, x, metrics, 5, 1)
    restore(y, state).square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    held = (state.source >= 0) if state.parked is None else torch.ones_like(state.source, dtype=torch.bool)
    assert (x.grad.abs().sum(-1) > 0)[held].all()


@pytest.mark.parametrize("name", MEMBERS)
def test_bfloat16(name: str) -> None:
    x, metrics = draw(18, 1)
    half = {key: value.bfloat16() for key, value in metrics.items()}
    y, state = call(name, x.bfloat16(), half, 5, 1)
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    full, _ = call(name, x.bfloat16().float(), {key: value.float() for key, value in half.items()}, 5, 1)
    torch.testing.assert_close(y.float(), full, rtol=2e-2, atol=2e-2)
    assert restore(y, state).dtype == torch.bfloat16


def strengths(name: str) -> tuple[int, ...]:
    return (0, 9, 0, 0) if name in ("skipvit", "random_ltd", "history") else (0, 7, 7)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("kind", PREFIXES)
@pytest.mark.parametrize("pos", ["learned", "rope"])
def test_in_a_model(name: str, kind: str, pos: str) -> None:
    """Class and register tokens, LayerScale, qk-norm and rotary positions; dense maps have the full grid."""
    class_token, registers = PREFIXES[kind]
    common = {"class_token": class_token, "registers": registers, "pos": pos}
    torch.manual_seed(0)
    plain = ViT(replace(BASE, **common)).eval()
    x = torch.randn(2, 3, 32, 24)
    for reduce in ((), (0, 0, 0)):
        still = ViT(config_of(name, reduce=reduce, **common)).eval()
        load(still, plain)
        assert torch.equal(still(x), plain(x))  # strength zero is the plain model, bit for bit
        assert torch.equal(still.forward_features(x).tokens, plain.forward_features(x).tokens)
    model = ViT(config_of(name, reduce=strengths(name), **common)).train()
    load(model, plain)
    features = model.forward_features(x, return_layers=(1, 3))
    assert features.map().shape == (2, 24, 8, 6)
    assert features.map(1).shape == (2, 24, 8, 6)
    out = model(x)
    assert out.shape == (2, 5) and not torch.equal(out, plain(x))
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", MEMBERS)
def test_rotary_angles_follow_the_tokens(name: str) -> None:
    """What comes to a later block: the angles of each token's own place."""
    if slots.load("token_reduction", name).build(config_of(name)).span == 1:
        pytest.skip("all tokens are back before the next block")
    model = ViT(config_of(name, pos="rope", reduce=strengths(name))).eval()
    with_history(model.reducer)
    seen: list[Any] = []
    blocks: Any = model.blocks
    blocks[2].attn.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["rope"]), with_kwargs=True)
    states: list[TokenState] = []
    assert model.reducer is not None
    model.reducer.register_forward_hook(lambda module, args, out: states.append(out[1]))
    model(torch.randn(2, 3, 32, 24))
    table = model.pos["rope"].rotation(model.config.grid)  # type: ignore[operator]
    assert torch.equal(seen[0].cos[:, 0], table.cos[states[1].position])


@pytest.mark.parametrize("name", MEMBERS)
def test_exports_with_a_free_batch(name: str) -> None:
    model = ViT(config_of(name, reduce=strengths(name))).eval()
    with_history(model.reducer)
    batch = torch.export.Dim("batch", min=1, max=8)
    x = torch.randn(2, 3, 32, 24)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(5, 3, 32, 24)
    torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MEMBERS if slots.load("token_reduction", name).CARD["status"] != ""])
def test_attention_stays_fused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fused call a block: no reducer asks for the full map."""
    calls: list[int] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    model = ViT(config_of(name, reduce=strengths(name))).train()
    model(torch.randn(1, 3, 32, 24))
    assert len(calls) == BASE.depth + (2 if name == "sit" else 0)  # its slimming is an attention itself
