"""attend() against its double-precision definition, forward and backward, and the meaning of its options."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from fakes.attention_calls import PAIRS, SINGLES, draw_call, largest_tensor, leaves
from vitapps.errors import UsageError
from vitapps.shared_backbones.attention import dense
from vitapps.shared_backbones.attention.attend import Need, RelPos, Window, attend, explain
from vitapps.shared_backbones.attention.rectangles import partition, segments
from vitapps.shared_backbones.attention.reference import reference_attend
from vitapps.shared_backbones.attention.rotate import Rotation, rotate
from vitapps.shared_backbones.attention.strips import decomposed


def possible_needs(options: set[str]) -> set[Need]:
    """The by-products that mean something under these options."""
    needs = set(get_args(Need))
    needs -= {"class_row", "map", "head_mean"} if "window" in options else set()
    return needs - ({"map", "head_mean"} if "cu_seqlens" in options else set())


def compare(call: Any, need: tuple[Need, ...] = ()) -> None:
    """Outputs, by-products and gradients of a drawn call against the reference."""
    out, products = attend(*call.qkv, **call.options, need=need)
    expected, all_products = reference_attend(*call.qkv, **call.options)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    assert set(products) == set(need)
    for name in need:
        torch.testing.assert_close(products[name].double(), all_products[name], rtol=1e-5, atol=1e-5)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    ours = torch.autograd.grad((out * direction).sum(), leaves(call))
    theirs = torch.autograd.grad((expected * direction.double()).sum(), leaves(call))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("chunk", [dense.CHUNK, 64])
@pytest.mark.parametrize("options", [*SINGLES, *PAIRS], ids="+".join)
@pytest.mark.parametrize("grid", [(5, 7), (1, 9), (3, 2, 5)], ids=str)
def test_every_option_and_pair_is_the_reference(
    options: tuple[str, ...], grid: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CHUNK at 64 scores, every bias that can be built in pieces is."""
    monkeypatch.setattr(dense, "CHUNK", chunk)
    monkeypatch.setattr("vitapps.shared_backbones.attention.rectangles.CHUNK", chunk)
    monkeypatch.setattr(dense, "MIN_ROWS", 2)
    call = draw_call(set(options), grid, seed=sum(map(ord, "".join(options))))
    compare(call, tuple(sorted(possible_needs(set(options)))))


@settings(max_examples=40, deadline=None)
@given(
    grid=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    options=st.sampled_from([set(names) for names in (*SINGLES, *PAIRS)] + [{"window", "key_size", "rope", "rel_pos"}]),
    seed=st.integers(0, 10**6),
)
def test_any_grid_is_the_reference(grid: tuple[int, ...], options: set[str], seed: int) -> None:
    compare(draw_call(options, grid, seed=seed))


def test_asking_for_by_products_changes_no_bit() -> None:
    call = draw_call({"rel_pos", "key_size"}, (4, 5), seed=3)
    plain, _ = attend(*call.qkv, **call.options)
    asked, _ = attend(*call.qkv, **call.options, need=get_args(Need))
    assert torch.equal(plain, asked)


def test_by_products_carry_gradients() -> None:
    call = draw_call(set(), (5,), seed=0)
    _, products = attend(*call.qkv, need=("class_row", "key_mean", "entropy"))
    total = products["class_row"].square().sum() + products["key_mean"].sum() + products["entropy"].sum()
    assert torch.autograd.grad(total, call.qkv[1])[0].abs().sum() > 0


def test_a_key_of_size_two_is_the_key_twice() -> None:
    q, k, v = (torch.randn(2, 3, 7, 8) for _ in range(3))
    doubled, _ = attend(q, torch.cat((k, k[:, :, -1:]), 2), torch.cat((v, v[:, :, -1:]), 2))
    sizes = torch.ones(2, 7)
    sizes[:, -1] = 2
    sized, _ = attend(q, k, v, key_size=sizes)
    torch.testing.assert_close(sized, doubled, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(sized, attend(q, k, v)[0], atol=1e-3)


def test_queries_may_be_fewer_than_keys() -> None:
    q, k, v = torch.randn(1, 2, 1, 4), torch.randn(1, 2, 9, 4), torch.randn(1, 2, 9, 4)
    expected, _ = reference_attend(q, k, v)
    torch.testing.assert_close(attend(q, k, v)[0].double(), expected, rtol=1e-5, atol=1e-5)


def test_rotation_keeps_lengths_and_angle_zero_keeps_bits() -> None:
    angles = torch.rand(6, 4).mul(6).repeat_interleave(2, dim=1)
    x = torch.randn(2, 3, 6, 8)
    torch.testing.assert_close(rotate(x, Rotation(angles.cos(), angles.sin())).norm(dim=-1), x.norm(dim=-1))
    still = Rotation(torch.ones(6, 8), torch.zeros(6, 8))
    assert torch.equal(rotate(x, still), x)


@pytest.mark.parametrize(("heads", "side", "backward"), [(2, 48, False), (1, 40, True)])
def test_no_tensor_of_n_times_n_exists(heads: int, side: int, backward: bool) -> None:
    """Relative position on N tokens: the largest tensor of the call and its gradient holds a chunk of rows."""
    count = side * side
    qkv = [torch.randn(1, heads, count, 16, requires_grad=backward) for _ in range(3)]
    rel_pos = RelPos(
        grid=(side, side), strips=tuple(torch.randn(1, heads, count, side, requires_grad=backward) for _ in "hw")
    )

    def run() -> None:
        out = attend(*qkv, rel_pos=rel_pos, key_size=torch.ones(1, count))[0]
        if backward:
            out.sum().backward()

    limit = count * count * heads // 4  # a quarter of the whole bias
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "CHUNK", limit)
        assert largest_tensor(run) <= limit
        patch.setattr(dense, "CHUNK", count * count * heads)
        assert largest_tensor(run) >= count * count * heads  # the count does see the whole bias when it is built


def test_windows_build_nothing_per_window() -> None:
    """14 x 14 windows of 7 x 7: the bias exists once, not 196 times, and no token is copied more than once a call."""
    window = Window(grid=(98, 98), size=(7, 7), shift=(3, 3), table=torch.randn(169, 2))
    qkv = [torch.randn(1, 2, 98 * 98, 16) for _ in range(3)]
    assert largest_tensor(lambda: attend(*qkv, window=window)) <= qkv[0].numel()


def test_shifted_windows_cost_less_than_masked_ones() -> None:
    window = Window(grid=(14, 14), size=(7, 7), shift=(3, 3))
    qkv = [torch.randn(1, 1, 196, 16) for _ in range(3)]
    with FlopCounterMode(display=False) as counter:
        attend(*qkv, window=window)
    masked = 4 * 2 * 2 * 49 * 49 * 16  # four windows, q k^T and p v
    pairs = sum(
        item.index.shape[0] * item.index.shape[1] ** 2 for item in partition((14, 14), (7, 7), (3, 3), qkv[0].device)[0]
    )
    assert pairs * 2 * 2 * 16 == (3**2 + 7**2 + 4**2) ** 2 * 64 < masked
    assert counter.get_total_flops() in (0, pairs * 64)  # the CPU kernel is not in every torch's counter


def test_segments_cover_an_axis_once() -> None:
    for length, size in ((1, 1), (7, 7), (16, 7), (5, 8)):
        for shift in range(size):
            found = [
                place for part in segments(length, size, shift) for place in range(part.start, part.start + part.length)
            ]
            assert found == list(range(length))


def test_strips_are_the_bias_of_two_tables() -> None:
    """MViTv2 eq. 4 written as loops over pairs of tokens."""
    grid = (2, 3)
    q = torch.randn(1, 2, 6, 4)
    tables = (torch.randn(3, 4), torch.randn(5, 4))
    strips = decomposed(q, tables, grid).strips
    for one in range(6):
        for row in range(2):
            expected = q[0, :, one] @ tables[0][one // 3 - row + 1]
            torch.testing.assert_close(strips[0][0, :, one, row], expected)
        for column in range(3):
            expected = q[0, :, one] @ tables[1][one % 3 - column + 2]
            torch.testing.assert_close(strips[1][0, :, one, column], expected)


def test_tables_of_another_grid_are_resampled() -> None:
    q = torch.randn(1, 1, 9, 4)
    constant = torch.ones(13, 4)
    for strip in decomposed(q, (constant, constant), (3, 3)).strips:
        torch.testing.assert_close(strip, q.sum(-1, keepdim=True).expand(1, 1, 9, 3))


def test_what_excludes_each_other_is_refused() -> None:
    q = torch.randn(1, 1, 6, 4)
    ends = torch.tensor([0, 2, 6])
    window = Window(grid=(2, 3), size=(2, 2))
    wrong: list[dict[str, Any]] = [
        {"cu_seqlens": ends, "window": window},
        {"cu_seqlens": ends, "bias": torch.zeros(6, 6)},
        {"window": window, "bias": torch.zeros(6, 6)},
        {"window": window, "need": ("class_row",)},
        {"cu_seqlens": ends, "need": ("map",)},
        {"window": Window(grid=(2, 2), size=(2, 2))},
        {"rel_pos": RelPos(grid=(2, 2), strips=(torch.zeros(1, 1, 6, 2), torch.zeros(1, 1, 6, 2)))},
        {"need": ("everything",)},
    ]
    for options in wrong:
        with pytest.raises(UsageError):
            attend(q, q, q, **options)
    for make in (
        lambda: Window(grid=(4, 4), size=(2, 2), shift=(2, 0)),
        lambda: Window(grid=(4, 4), size=(2,)),
        lambda: Window(grid=(4, 4), size=(2, 2), table=torch.zeros(4, 1)),
        lambda: RelPos(grid=(2, 3), strips=(torch.zeros(1, 1, 6, 2), torch.zeros(1, 1, 6, 2))),
    ):
        with pytest.raises(UsageError):
            make()


def test_explain_names_the_path() -> None:
    side = 64
    q = torch.empty(1, 12, side * side, 64, device="meta")
    strips = tuple(torch.empty(1, 12, side * side, side, device="meta") for _ in "hw")
    assert explain(q, q).path == "sdpa"
    found = explain(q, q, rel_pos=RelPos(grid=(side, side), strips=strips))
    assert found.path == "chunked" and "85 query rows" in found.reason
    assert explain(q, q, window=Window(grid=(side, side), size=(8, 8))).path == "rectangles"
    assert explain(q, q, cu_seqlens=torch.tensor([0, math.prod((side, side))])).path == "images"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", [*SINGLES, *PAIRS], ids="+".join)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_option_and_pair_on_a_gpu(options: tuple[str, ...], dtype: torch.dtype) -> None:
    from vitapps.shared_backbones.attention.dispatch import unproven_kernels

    call = draw_call(set(options), (9, 13), seed=1, dim=32, device="cuda", dtype=dtype)
    with unproven_kernels():
        out, _ = attend(*call.qkv, **call.options)
    expected, _ = reference_attend(*call.qkv, **call.options)
    tolerance = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_windows_train_after_they_were_run_in_inference_mode() -> None:
    window = Window(grid=(5, 9), size=(3, 4), shift=(1, 1), table=torch.randn(35, 1, requires_grad=True))
    x = torch.randn(1, 1, 45, 8)
    with torch.inference_mode():
        attend(x, x, x, window=window)
    attend(x, x, x, window=window)[0].sum().backward()
    assert window.table is not None and window.table.grad is not None
