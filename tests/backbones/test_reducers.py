"""Each reducer against a naive re-derivation from its paper, and what the command line may say about reduction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.token_reduction._protocol import restore, start
from vitapps.shared_backbones.token_reduction.evit import EViT
from vitapps.shared_backbones.token_reduction.keyframe import KeyFrame
from vitapps.shared_backbones.token_reduction.random_ltd import RandomLTD, kept_length
from vitapps.shared_backbones.token_reduction.skipvit import SkipViT
from vitapps.shared_backbones.token_reduction.spec import parse_reduce, reduced_config, reducers
from vitapps.shared_backbones.token_reduction.tome import ToMe
from vitapps.shared_backbones.token_reduction.topk import TopK
from vitapps.shared_backbones.token_reduction.vomix import vote

BASE = ViTConfig(image_size=(32, 32), patch=(4, 4), dim=32, depth=6, heads=2, num_classes=5)


def naive_tome(x: Tensor, size: Tensor, keys: Tensor, r: int, prefix: int) -> tuple[list[Tensor], list[float]]:
    """One sample by loops: sets by turns, an edge from every token of A to its most similar in B, the r strongest
    edges merged, means weighted by size. N C, N, N d -> tokens and sizes in the order prefix, rest of A, B."""
    patches = range(prefix, len(x))
    set_a, set_b = list(patches)[1::2], list(patches)[0::2]
    edges = []
    for a in set_a:
        cosines = [float(torch.cosine_similarity(keys[a], keys[b], dim=0)) for b in set_b]
        best = max(range(len(set_b)), key=cosines.__getitem__)
        edges.append((cosines[best], a, set_b[best]))
    merged = {a: b for _, a, b in sorted(edges, reverse=True)[:r]}
    tokens, sizes = [x[i] for i in range(prefix)], [float(size[i]) for i in range(prefix)]
    for a in set_a:
        if a not in merged:
            tokens.append(x[a])
            sizes.append(float(size[a]))
    for b in set_b:
        group = [b, *(a for a, target in merged.items() if target == b)]
        total = sum(float(size[i]) for i in group)
        tokens.append(sum((x[i] * float(size[i]) for i in group), torch.zeros_like(x[b])) / total)
        sizes.append(total)
    return tokens, sizes


@pytest.mark.parametrize(("n", "prefix", "r"), [(16, 1, 3), (17, 1, 8), (20, 3, 10), (9, 0, 4), (2, 1, 1)])
def test_tome_is_the_papers_algorithm(n: int, prefix: int, r: int) -> None:
    generator = torch.Generator().manual_seed(n)
    x, keys = torch.randn(2, n + prefix, 12, generator=generator), torch.randn(2, n + prefix, 6, generator=generator)
    size = torch.randint(1, 5, (2, n + prefix, 1), generator=generator).float()
    state = replace(start(x, prefix), size=size)
    y, after = ToMe()(x, state, r, keys)
    back = restore(y, after)
    for sample in range(2):
        tokens, sizes = naive_tome(x[sample], size[sample, :, 0], keys[sample], r, prefix)
        torch.testing.assert_close(y[sample], torch.stack(tokens), rtol=1e-5, atol=1e-6)
        assert after.size[sample, :, 0].tolist() == sizes
        for token in range(n + prefix):  # unmerged: every input token gets the token it went into
            assert torch.equal(back[sample, token], y[sample, after.source[sample, token]])


def test_merging_exact_duplicates_changes_no_output() -> None:
    """Proportional attention: one key of size two is the key twice, so a merge of equal tokens is no approximation."""
    torch.manual_seed(0)
    plain = ViT(replace(BASE, pos="none")).eval()
    merged = ViT(replace(BASE, pos="none", reducer="tome", reduce=(32,))).eval()
    merged.load_state_dict(plain.state_dict())
    columns = torch.randn(1, 3, 32, 4, 4).repeat_interleave(2, dim=3)  # every column of patches twice, side by side
    x = columns.reshape(1, 3, 32, 32)
    torch.testing.assert_close(merged(x), plain(x), rtol=1e-5, atol=1e-5)
    blind = ViT(replace(BASE, pos="none", reducer="tome", reduce=(32,))).eval()
    blind.load_state_dict(plain.state_dict())
    assert blind.reducer is not None
    blind.reducer.proportional = False
    uneven = torch.randn(1, 3, 32, 32)
    uneven[..., 16:] = uneven[..., :4].repeat(1, 1, 1, 4)
    assert not torch.allclose(blind(uneven), merged(uneven), atol=1e-6)


def test_votes_by_hand_and_shares_that_sum_to_one() -> None:
    angles = torch.tensor([0.0, 0.1, 0.25, 1.5, 1.52, 3.0])  # 1 is nearest to 0 and 2; 3 and 4 are nearest to another
    keys = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    first = vote(keys, 1)
    assert first.gone.tolist() == [[1]] and first.kept.tolist() == [[0, 2, 3, 4, 5]]
    second = vote(keys, 2)
    assert sorted(second.gone[0].tolist()) == [1, 4]  # of the pair 3 and 4 the later one; 5 votes for it as well
    torch.testing.assert_close(second.shares.sum(-1), torch.ones(1, 2))
    row = second.gone[0].tolist().index(4)
    assert second.kept[0, second.shares[0, row].argmax()] == 3


def test_mixing_twins_changes_hardly_anything() -> None:
    """The check of the catalogue: a tenth of what dropping the same number at random changes, at most."""
    torch.manual_seed(0)
    plain = ViT(replace(BASE, pos="none")).eval()
    x = torch.randn(1, 3, 32, 4, 4).repeat_interleave(2, dim=3).reshape(1, 3, 32, 32)  # every patch twice
    models = {name: ViT(replace(BASE, pos="none", reducer=name, reduce=(32,))) for name in ("vomix", "topk")}
    for model in models.values():
        model.load_state_dict(plain.state_dict())
        model.eval()
    twins, dropped = ((models[name](x) - plain(x)).abs().max() for name in ("vomix", "topk"))
    assert twins < 0.1 * dropped


def test_evit_keeps_the_attended_and_sums_the_rest_by_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    x, rows = torch.randn(1, 12, 5, generator=generator), torch.rand(1, 3, 12, generator=generator)
    y, state = EViT()(x, start(x, 2), 4, rows)
    scores = rows[0].mean(0)[2:]
    order = sorted(range(10), key=lambda i: -float(scores[i]))
    kept, fused = sorted(order[:5]), order[5:]
    assert torch.equal(y[0, 2:7], x[0, [i + 2 for i in kept]])
    expected = sum((scores[i] * x[0, i + 2] for i in fused), torch.zeros(5))
    torch.testing.assert_close(y[0, 7], expected, rtol=1e-5, atol=1e-6)
    assert state.size[0, :, 0].tolist() == [1] * 7 + [5]
    assert int(state.position[0, 7]) == fused[0] + 2
    dropped, _ = TopK()(x, start(x, 2), 5, rows)
    assert torch.equal(dropped, y[:, :7])


def test_skipped_tokens_come_back_as_they_left() -> None:
    torch.manual_seed(0)
    model = ViT(replace(BASE, reducer="skipvit", reduce=(0, 30), reduce_span=3, final_norm=False)).eval()
    counts: list[int] = []
    blocks: Any = model.blocks
    for block in blocks:
        block.mlp.register_forward_pre_hook(lambda _, args: counts.append(args[0].shape[1]))
    states: list[Any] = []
    assert isinstance(model.reducer, SkipViT)
    model.reducer.register_forward_hook(lambda module, args, out: states.append(out[1]))
    features = model.forward_features(torch.randn(1, 3, 32, 32), return_layers=(2, 3))
    assert counts == [65, 35, 35, 35, 65, 65]
    gone = states[1].source[0] < 0
    assert int(gone.sum()) == 30
    assert torch.equal(features.intermediates[3][0, gone], states[1].parked[0, gone])
    assert torch.equal(features.intermediates[2][0, gone], states[1].parked[0, gone])
    with pytest.raises(UsageError, match="overlap"):
        ViT(replace(BASE, reducer="skipvit", reduce=(0, 5, 5), reduce_span=2))
    with pytest.raises(UsageError, match="span"):
        ViT(replace(BASE, reducer="skipvit", reduce=(0, 5)))


def test_random_ltd_drops_in_training_alone_and_anew_in_every_block() -> None:
    torch.manual_seed(0)
    model = ViT(replace(BASE, reducer="random_ltd", reduce=(0, 20, 20)))
    plain = ViT(BASE)
    plain.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(x), plain.eval()(x))
    states: list[Any] = []
    assert isinstance(model.reducer, RandomLTD)
    model.reducer.register_forward_hook(lambda module, args, out: states.append(out[1]))
    features = model.train().forward_features(x, return_layers=(0, 1))
    dropped = [state.source < 0 for state in states if state.parked is not None]
    assert [int(one.sum()) for one in dropped] == [40, 40]
    assert not torch.equal(*dropped) and not torch.equal(dropped[0][0], dropped[0][1])
    assert torch.equal(features.intermediates[1][dropped[0]], features.intermediates[0][dropped[0]])
    with pytest.raises(UsageError, match="first and in the last"):
        ViT(replace(BASE, reducer="random_ltd", reduce=(20,)))
    assert [kept_length(step, patches=64, first=16, steps=4) for step in range(6)] == [16, 28, 40, 52, 64, 64]


def test_a_spec_becomes_strengths_that_fit() -> None:
    assert reduced_config(BASE, "none") == BASE
    assert reduced_config(BASE, "tome:r=10").reduce == (10, 10, 10, 10, 10, 7)  # half of 14 is the most
    assert reduced_config(BASE, "tome:r=8,at=1/3").reduce == (0, 8, 0, 8, 0, 0)
    assert reduced_config(BASE, "tome:r=10>0").reduce == (10, 8, 6, 4, 2, 0)
    assert reduced_config(BASE, "topk:keep=0.5,at=2").reduce == (0, 0, 32, 0, 0, 0)
    assert reduced_config(BASE, "evit:keep=0.7,at=1/3").reduce == (0, 18, 0, 12, 0, 0)  # 64 -> 45 + 1 -> 33 + 1
    skip = reduced_config(BASE, "skipvit:keep=0.45,at=1,span=3")
    assert (skip.reduce, skip.reduce_span) == ((0, 35, 0, 0, 0, 0), 3)
    assert reduced_config(BASE, "random_ltd:r=16").reduce == (0, 16, 16, 16, 16, 0)
    assert reduced_config(reduced_config(BASE, "tome:r=4"), "none") == BASE
    assert ViT(reduced_config(BASE, "tome:r=10")).forward_features(torch.randn(1, 3, 32, 32)).map().shape[-1] == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tom:r=3", "no token_reduction technique 'tom'"), ("spec:r=3", "is not a reducer"), ("tome", "give r or keep"),
        ("tome:r=3,keep=0.5", "give r or keep"), ("tome:r=x", "r=x"), ("tome:q=3", "no setting 'q'"),
        ("tome:r=-1", "r=-1"), ("tome:r", "not key=value"), ("tome:r=1,r=2", "twice"), ("tome:keep=1.5", "keep=1.5"),
        ("", "no reducer"), ("none:r=1", "no reducer"), ("tome:r=1,at=9", "block 9 of a model with 6"),
        ("skipvit:r=4,at=1", "span"), ("random_ltd:r=4,at=0", "first and in the last"),
    ],
)  # fmt: skip
def test_a_spec_without_sense_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        reduced_config(BASE, text)
    assert caught.value.hint


def test_what_is_offered_can_be_written() -> None:
    assert {"tome", "evit", "topk", "skipvit", "random_ltd", "vomix"} <= set(reducers())
    assert parse_reduce("none") is None
    found = parse_reduce("tome:r=13")
    assert found is not None and (found.name, found.first, found.last) == ("tome", 13, 13)


CLIP = ViTConfig(
    in_chans=1, image_size=(16, 28, 28), patch=(2, 2, 2), dim=8, depth=12, heads=2, class_token=False, pos="sincos",
    pool="mean",
)  # fmt: skip


def test_the_key_frame_stays_and_the_most_attended_of_the_others() -> None:
    """By loops, one sample: attention received, queries of the key frame four times."""
    generator = torch.Generator().manual_seed(5)
    times, places, r = 4, 3, 5
    x = torch.randn(1, 12, 8, generator=generator)
    weights = torch.randn(1, 12, 12, generator=generator).softmax(-1)
    y, state = KeyFrame(times, places)(x, start(x, 0), r, weights)
    key = [6, 7, 8]  # the third of four frames
    received = {
        token: sum(float(weights[0, query, token]) * (4 if query in key else 1) for query in range(12))
        for token in range(12) if token not in key
    }  # fmt: skip
    stay = sorted([*key, *sorted(received, key=received.__getitem__)[r:]])
    assert state.position[0].tolist() == stay
    assert torch.equal(y[0], x[0, stay])
    assert torch.equal(restore(2 * y, state)[0, stay], 2 * y[0])
    gone = [token for token in range(12) if token not in stay]
    assert torch.equal(restore(2 * y, state)[0, gone], x[0, gone])  # with the values that they had


def test_dropping_by_key_frame_in_a_clip_network() -> None:
    """keep 1 is the plain model; at the paper's three blocks and 0.7 the work falls by 35 to 50 %; the middle stays."""
    torch.manual_seed(0)
    plain = ViT(CLIP).eval()
    clip = torch.randn(1, 1, 16, 28, 28)
    seen: list[int] = []
    states: list[Any] = []
    for keep in (1.0, 0.7):
        model = ViT(reduced_config(CLIP, f"keyframe:keep={keep},at=3/6/9")).eval()
        model.load_state_dict(plain.state_dict())
        seen.clear()
        states.clear()
        for block in model.blocks:
            block.mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
        assert model.reducer is not None
        model.reducer.register_forward_hook(lambda module, args, out: states.append(out[1]))
        with torch.no_grad():
            features = model.forward_features(clip)
            assert features.tokens.shape[1] == 8 * 14 * 14
            if keep == 1.0:
                assert torch.equal(features.tokens, plain.forward_features(clip).tokens)
    assert sorted(set(seen), reverse=True) == [1568, 1098, 769, 539]  # ceil(0.7 n) three times
    middle = set(range(4 * 196, 5 * 196))
    assert all(middle <= set(state.position[0].tolist()) for state in states)
    dim = 768
    mixing = [1568, *seen[:-1]]  # attention comes before the drop of its block
    work = sum(4 * n * dim**2 + 2 * n**2 * dim + 8 * m * dim**2 for n, m in zip(mixing, seen, strict=True))
    whole = 12 * (12 * 1568 * dim**2 + 2 * 1568**2 * dim)
    assert 0.35 < 1 - work / whole < 0.5
    with pytest.raises(UsageError, match="cannot remove"):
        KeyFrame(4, 3)(torch.zeros(1, 12, 4), start(torch.zeros(1, 12, 4), 0), 10, torch.zeros(1, 12, 12))
