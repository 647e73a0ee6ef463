"""From crops to text: decoding, places, tiles, batches, and what the embedded weights read from a rendered line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.render import DrawnLine, Run, draw_line
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document import recognise
from vitapps.pipelines.document.calibrate import words_right
from vitapps.pipelines.document.ctc_decode import Peak, best_path, word_spans
from vitapps.pipelines.document.line_input import SIDE, prepare_line
from vitapps.pipelines.document.look_alikes import settle, settle_text
from vitapps.pipelines.document.recognise import Reading, ReadWord, Recogniser, joined, tiles_of

CHARSET = " ab1"
FACE = find_faces(())[0]


def path(classes: Sequence[int], chance: float = 0.9) -> NDArray[np.float32]:
    """Log probabilities whose best path is `classes`."""
    out = np.full((len(classes), len(CHARSET) + 1), math.log((1 - chance) / len(CHARSET)), np.float32)
    out[np.arange(len(classes)), list(classes)] = math.log(chance)
    return out


def drawn(text: str, size: int = 36) -> DrawnLine:
    return draw_line([Run(word=word, face=FACE) for word in text.split()], size)


def crop_of(line: DrawnLine) -> NDArray[np.uint8]:
    return np.repeat((255 - line.ink)[10:-6, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def reader() -> Recogniser:
    return Recogniser.load(options=RunOptions(threads=1, engine="openvino"))


def test_repeats_join_and_blanks_divide() -> None:
    peaks = best_path(path([0, 2, 2, 0, 2, 1, 1, 0, 1, 3, 0, 1]), CHARSET)
    assert "".join(peak.char for peak in peaks) == "aa b"  # doubled and trailing blanks are left out
    assert [peak.token for peak in peaks] == [1, 4, 5, 9]
    assert word_spans(peaks) == ((0, 2), (3, 4))
    assert sum(peak.path for peak in best_path(path([0, 2, 0]), CHARSET)) == pytest.approx(3 * math.log(0.9))


def test_the_line_is_ink_on_paper_whatever_the_colours() -> None:
    crop = crop_of(drawn("Hill 12"))
    upright, inverted = prepare_line(crop, 40), prepare_line(255 - crop, 40)
    assert np.allclose(upright, inverted, atol=0.02) and upright.max() >= 0.95
    assert upright.shape[0] == 40 and not upright[:, :SIDE].any() and not upright[:, -SIDE:].any()
    assert np.abs(prepare_line(np.full((30, 90, 3), 200, np.uint8), 40)).max() == 0
    noise = np.random.default_rng(0).integers(198, 203, (30, 90), dtype=np.uint8)
    assert prepare_line(noise, 40).max() < 0.3  # paper's grain is not blown up to letters


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (2, 3)])
def test_absurd_sizes_stay_bounded(size: tuple[int, int]) -> None:
    line = prepare_line(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8), 40)
    assert line.shape[0] == 40 and line.shape[1] % 4 == 0 and line.shape[1] <= 401 * 40 and np.isfinite(line).all()


def test_tiles_join_to_what_the_whole_line_gives() -> None:
    width = 3 * recognise.TILE + 48
    classes = np.random.default_rng(1).choice([0, 0, 0, 1, 2, 3], width // 4)
    whole = path(list(classes))
    line = np.zeros((40, width), np.float32)
    starts = range(0, width - recognise.OVERLAP, recognise.TILE - recognise.OVERLAP)
    sizes = [tile.shape[1] for tile in tiles_of(line)]
    parts = [whole[start // 4 : (start + size) // 4] for start, size in zip(starts, sizes, strict=True)]
    assert len(parts) == 4 and np.array_equal(joined(parts), whole)


def test_the_embedded_weights_read_a_clean_line(reader: Recogniser) -> None:
    texts = ["The total amount is 1,250.75 (net)", "quarter page", "reading", "No. 35"]
    found = reader.read([crop_of(drawn(text)) for text in texts])
    assert [item.text for item in found] == texts
    assert all(word.confidence > 0.5 for item in found for word in item.words)
    assert reader.facts.name == "line-latin"


def test_words_stand_on_their_ink(reader: Recogniser) -> None:
    line = drawn("Some words of ink")
    words = reader.read([crop_of(line)])[0].words
    assert len(words) == len(line.words)
    for word, (x0, x1) in zip(words, line.words, strict=True):
        assert abs(word.x0 - x0) < 5 and abs(word.x1 - x1) < 5
    chars = reader.read([crop_of(line)])[0].chars
    assert all(one.x0 <= one.x1 <= other.x0 + 1e-6 for one, other in pairwise(chars))


def test_light_on_dark_empty_and_bare_crops(reader: Recogniser) -> None:
    crop = crop_of(drawn("inverted"))
    empty, bare = np.zeros((0, 12, 3), np.uint8), np.full((40, 200, 3), 255, np.uint8)
    found = reader.read([255 - crop, empty, bare, crop])
    assert [item.text for item in found] == ["inverted", "", "", "inverted"]
    assert reader.read([]) == ()


def test_a_crop_reads_the_same_alone_and_among_others(reader: Recogniser) -> None:
    crops = [crop_of(drawn(text)) for text in ("one", "a longer line of text", "one", "mid sized")]
    together = reader.read(crops)
    for one, crop in zip(together, crops, strict=True):
        alone = reader.read([crop])[0]
        assert one.text == alone.text
        chances = [char.probability for char in alone.chars]
        assert [char.probability for char in one.chars] == pytest.approx(chances, abs=1e-4)


def test_strips_that_are_read_at_once_give_the_same(reader: Recogniser) -> None:
    crops = [crop_of(drawn(text)) for text in ("one line", "many words in a very long line " * 9, "a word")] * 3
    wanted = [found.text for found in reader.read(crops)]
    loaded = Recogniser.load(None, RunOptions(engine="openvino", precision="exact", device="cpu", threads=2))
    assert loaded.together == 2 and [found.text for found in loaded.read(crops)] == wanted


def test_a_line_wider_than_a_tile_is_read_through(reader: Recogniser) -> None:
    text = " ".join(["many words in one very long line"] * 8)
    crop = crop_of(drawn(text))
    assert crop.shape[1] * 40 / crop.shape[0] > recognise.TILE
    assert reader.read([crop])[0].text == text


def test_weights_of_another_task_are_refused() -> None:
    with pytest.raises(MissingError, match=r"rs\.detect"):
        Recogniser.load("trees-neon", RunOptions())


def test_words_are_right_at_their_place() -> None:
    words = tuple(ReadWord(text=text, x0=0, x1=1, confidence=0.9) for text in ("the", "cat", "sut", "the"))
    marks = [right for _, right in words_right(Reading(text="", words=words), "the cat sat the")]
    assert marks == [True, True, False, True]


def test_marks_and_gaps_beside_a_word_leave_it_right() -> None:
    words = tuple(
        ReadWord(text=text, x0=0, x1=1, confidence=0.9) for text in ("Cashier", ":", "RM7,90", "KUA", "LA", "-")
    )
    marks = [right for _, right in words_right(Reading(text="", words=words), "Cashier: RM7.90 KUALA -")]
    assert marks == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    ("read", "settled"),
    [("1O6.5o", "106.50"), ("T0TAL", "TOTAL"), ("he1lo", "hello"), ("Il", "Il"), ("SS16/1", "SS16/1"),
     ("A4 O2", "A4 02"),
     ("C0", "C0"), ("O", "O"), ("l2:3O", "12:30")],
)  # fmt: skip
def test_look_alikes_are_settled_only_where_neighbours_agree(read: str, settled: str) -> None:
    assert settle_text(read) == settled


def test_two_single_quotes_are_one_double() -> None:
    peaks = [Peak(char=char, token=place, probability=1.0, path=-0.1) for place, char in enumerate("‘‘a’’")]
    assert "".join(peak.char for peak in settle(peaks)) == "“a”"
    assert [peak.token for peak in settle(peaks)] == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "rival", "settled"),
    [("flow. although", -4.0, "flow, although"), ("flow. although", -6.0, "flow. although"),
     ("flow. Although", -1.0, "flow. Although"), ("flow.", -1.0, "flow."), ("vs. flow", -1.0, "vs. flow"),
     ("Approx. half", -1.0, "Approx. half"), ("page 12. half", -1.0, "page 12. half")],
)  # fmt: skip
def test_a_doubtful_full_stop_before_a_small_letter_is_a_comma(text: str, rival: float, settled: str) -> None:
    peaks = [
        Peak(char=char, token=place, probability=1.0, path=0.0, rival=rival if char == "." else -math.inf)
        for place, char in enumerate(text)
    ]
    found = settle(peaks)
    assert "".join(peak.char for peak in found) == settled
    assert all(peak.path <= 0 and 0.5 < peak.probability <= 1 for peak in found)


def test_the_best_path_knows_how_near_a_full_stop_is_to_a_comma() -> None:
    charset = "a.,"
    log_probs = np.log(np.array([[0.01, 0.97, 0.01, 0.01], [0.05, 0.05, 0.6, 0.3]], np.float32))
    peaks = best_path(log_probs, charset)
    assert [peak.char for peak in peaks] == ["a", "."]
    assert peaks[0].rival == -math.inf
    assert peaks[1].rival == pytest.approx(math.log(0.3))
