"""What `bench attention` and `bench packing` compare computes the same; timings are theirs, not the tests'."""

from __future__ import annotations

import json

import pytest
import torch

from vitapps.apps.main import main
from vitapps.options import RunOptions
from vitapps.pipelines.runtime import attention_cases, bench_packing
from vitapps.pipelines.runtime.attention_cases import Case, Shape
from vitapps.pipelines.runtime.attention_roof import Roof, measure_roof
from vitapps.pipelines.runtime.stopwatch import extra_memory, interleaved
from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.attention.reference import reference_attend
from vitapps.shared_backbones.models.packed_vit import PackedViT
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CPU = torch.device("cpu")


def small_cases() -> list[Case]:
    shape = Shape(batch=2, heads=2, grid=(6, 8), dim=16)
    volume = Shape(batch=1, heads=2, grid=(4, 4, 6), dim=8)
    options = (CPU, torch.float32)
    return [
        attention_cases.plain(shape, *options),
        attention_cases.sized_keys(shape, *options),
        attention_cases.relative(shape, *options),
        attention_cases.windowed("2-D", shape, (3, 4), *options),
        attention_cases.windowed("3-D", volume, (2, 4, 3), *options),
        attention_cases.packed(shape, [5, 9, 2], *options),
    ]


@pytest.mark.parametrize("case", small_cases(), ids=lambda case: case.name)
def test_every_alternative_computes_the_same(case: Case) -> None:
    expected, _ = reference_attend(*case.qkv, **case.options)
    torch.testing.assert_close(attend(*case.qkv, **case.options)[0].double(), expected, rtol=1e-5, atol=1e-5)
    able = 0
    for way in case.ways.values():
        try:
            out = way()
        except RuntimeError:  # a backend that this machine or these arguments rule out
            continue
        able += 1
        torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    assert able >= 2


def test_padding_is_one_by_one_too() -> None:
    vit = ViT(ViTConfig(image_size=(32, 32), dim=32, depth=2, heads=2, pos="rope", pos_prefix=False)).eval()
    images = [torch.randn(3, *size) for size in bench_packing.draw_sizes(5, seed=1)]
    packed = PackedViT(vit)
    with torch.no_grad():
        alone = torch.cat([vit.forward_features(image[None]).class_token() for image in images])
        torch.testing.assert_close(bench_packing.padded(packed, images, 2), alone, rtol=1e-4, atol=1e-5)
        lengths = [packed.count_tokens(image) for image in images]
        ordered = bench_packing.in_order(images, lengths, lambda some: bench_packing.padded(packed, some, 2))
        torch.testing.assert_close(ordered, alone, rtol=1e-4, atol=1e-5)


def test_sizes_are_mixed_and_whole_patches() -> None:
    sizes = bench_packing.draw_sizes(40, seed=0)
    assert sizes == bench_packing.draw_sizes(40, seed=0) != bench_packing.draw_sizes(40, seed=1)
    assert all(64 <= side <= 768 and side % 16 == 0 for size in sizes for side in size)
    assert len({height * width for height, width in sizes}) > 20


def test_the_stopwatch_orders_and_counts() -> None:
    small, large = torch.randn(8, 8), torch.randn(700, 700)
    seconds = interleaved({"small": lambda: small @ small, "large": lambda: large @ large}, rounds=3, device=CPU)
    assert seconds["small"] < seconds["large"]
    assert extra_memory(lambda: large + large, CPU) == large.nbytes


def test_the_roof_is_products_and_exponentials_one_after_the_other() -> None:
    roof = Roof(matmul=1e9, exponentials=1e6)
    flop = 4 * 10 * 10 * 64  # 10 queries, 10 keys
    assert roof.seconds(flop, 64) == pytest.approx(flop / 1e9 + 100 / 1e6)
    found = measure_roof(CPU, torch.float32)
    assert found.matmul > 1e8 and found.exponentials > 1e6


def test_the_command_prints_rows_and_routes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitapps.pipelines.runtime.bench_attention.cases", lambda **_: small_cases()[2:4])
    monkeypatch.setattr(
        "vitapps.pipelines.runtime.bench_attention.interleaved", lambda ways, **_: dict.fromkeys(ways, 1.0)
    )
    assert main(["bench", "attention", "--quick", "--explain", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "relative position 6x8" in printed and "rectangles" in printed and "sdpa, roll and mask" in printed
    assert main(["bench", "attention", "--quick", "--json", "--device", "cpu"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["way"] for row in rows} >= {"vitapps", "eager", "sdpa math", "sdpa flash"}
    assert all(row["refused"] or row["error"] < 1e-4 for row in rows)


def test_the_packing_bench_reports_its_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_packing, "interleaved", lambda ways, **_: dict.fromkeys(ways, 1.0))
    monkeypatch.setattr(bench_packing, "draw_sizes", lambda *_: [(64, 64), (32, 96), (96, 64)])
    found, crops = bench_packing.bench_packing(options=RunOptions(device="cpu"), quick=True)
    assert found.mix != crops.mix
    assert found.tokens == 17 + 13 + 25 and found.capacity == 4 * 55 // 3
    assert found.fill == pytest.approx(55 / 73) and found.padded_fill == pytest.approx(55 / 75)
    assert max(row.error for row in found.rows) < 1e-4
