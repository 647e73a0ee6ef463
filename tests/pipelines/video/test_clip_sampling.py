"""One sampling rule: streaming gives what the whole clip gives, and every end is seen."""

from __future__ import annotations

import pytest

from vitapps.errors import UsageError
from vitapps.pipelines.video.clip_sampling import ClipRule, Windows, indices, starts


def test_windows_of_a_long_clip_end_with_its_last_frame() -> None:
    rule = ClipRule(frames=4, stride=3, hop=8)
    assert rule.span == 10
    assert starts(29, rule) == [0, 8, 16, 19]
    assert indices(19, 29, rule) == [19, 22, 25, 28]
    assert starts(26, rule) == [0, 8, 16]


def test_a_short_clip_is_spread_over_one_window() -> None:
    rule = ClipRule(frames=4, stride=3)
    assert starts(4, rule) == [0]
    assert indices(0, 4, rule) == [0, 1, 2, 3]
    assert indices(0, 1, rule) == [0, 0, 0, 0]


@pytest.mark.parametrize("hop", [1, 5, 8, 25, None])
@pytest.mark.parametrize("number", [1, 3, 9, 10, 11, 26, 29, 60])
def test_a_stream_gives_the_windows_of_the_whole(number: int, hop: int | None) -> None:
    rule = ClipRule(frames=4, stride=3, hop=hop)
    wanted = [indices(start, number, rule) for start in starts(number, rule)]
    found = list(Windows[int](rule).over(range(number)))
    assert [items for _, _, items in found] == wanted
    assert [first for first, _, _ in found] == starts(number, rule)


def test_no_frame_no_window() -> None:
    assert not list(Windows[int](ClipRule()).over([]))
    with pytest.raises(UsageError, match="0 frames"):
        ClipRule(frames=0)
