"""Packing of lines: every line once, none touched by its neighbours, and the network reads each as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.pipelines.document.line_strips import BUCKET, LENGTH, Gap, laid_out, plan_strips

GAP = Gap(pixels=12, value=-1.0)


def lines_of(widths: list[int]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.random((40, width), np.float32) for width in widths]


def test_every_line_lies_once_in_a_strip_parted_by_gaps() -> None:
    widths = [4 * int(part) for part in np.random.default_rng(1).integers(5, 400, 60)]
    lines, strips = lines_of(widths), list(plan_strips(widths, GAP))
    assert sorted(place for strip in strips for place in strip.lines) == list(range(60))
    for strip in strips:
        picture = laid_out(strip, lines, GAP)[0, 0]
        assert strip.width % BUCKET == 0 and (strip.width <= LENGTH or len(strip.lines) == 1)
        end = 0
        for place, start in zip(strip.lines, strip.starts, strict=True):
            assert start % 4 == 0 and (start == 0 or start - end == GAP.pixels)
            assert (picture[:, end:start] == -1).all()
            end = start + widths[place]
            assert np.array_equal(picture[:, start:end], lines[place])
        assert (picture[:, end:] == -1).all()
    assert sum(strip.width for strip in strips) < 1.12 * sum(widths)
    assert list(plan_strips([], GAP)) == []


def test_a_network_that_knows_no_gaps_gets_lines_one_by_one() -> None:
    strips = list(plan_strips([64, 100], Gap()))
    assert [(strip.lines, strip.width) for strip in strips] == [((0,), 64), ((1,), 128)]
    assert not laid_out(strips[1], lines_of([64, 100]), Gap())[..., 100:].any()


def test_packed_lines_read_as_each_alone() -> None:
    torch = pytest.importorskip("torch")
    from vitapps.shared_backbones.models.line_recogniser import GAP as GAP_VALUE
    from vitapps.shared_backbones.models.line_recogniser import LineRecogniser, LineRecogniserConfig, gap_of

    torch.manual_seed(0)
    config = LineRecogniserConfig(num_chars=9, height=16, stem=(8, 8, 16), dim=24, depth=2, heads=2)
    module = LineRecogniser(config).eval()
    gap = Gap(pixels=gap_of(config), value=GAP_VALUE)
    lines = [line[:16] for line in lines_of([64, 200, 120, 8])]

    def differences(gap: Gap) -> list[float]:
        widths = [line.shape[1] for line in lines]
        found = []
        for strip in plan_strips(widths, gap):
            with torch.inference_mode():
                packed = module(torch.from_numpy(laid_out(strip, lines, gap)))[0][0]
                for place, start in zip(strip.lines, strip.starts, strict=True):
                    alone = module.forward_logits(torch.from_numpy(lines[place])[None, None]).log_softmax(-1)[0]
                    part = packed[start // 4 : start // 4 + len(alone)]
                    found.append(float((part - alone).abs().max()))
        return found

    assert max(differences(gap)) < 1e-5
    assert max(differences(Gap(pixels=gap.pixels - 4, value=gap.value))) > 1e-5  # convolutions reach over
    assert max(differences(Gap(pixels=gap.pixels, value=0.0))) > 1e-3  # paper is no gap
