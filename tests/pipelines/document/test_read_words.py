"""Words by a published MGP-STR: spelling, the surest granularity, the network of transformers, `doc read --weights`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitapps.errors import MissingError, UsageError  # noqa: E402
from vitapps.options import RunOptions  # noqa: E402
from vitapps.pipelines.document.read_crops import read_crops  # noqa: E402
from vitapps.pipelines.document.read_words import WordReader, squeezed  # noqa: E402
from vitapps.shared_backbones.weights.published_words import Vocabulary, load_published_words  # noqa: E402

CHARS = ["[GO]", "[s]", *"0123456789abcdefghijklmnopqrstuvwxyz"]


def test_pieces_are_spelt_up_to_the_end() -> None:
    chars = Vocabulary(name="chars", pieces=tuple(CHARS), end=1)
    assert chars.spell([12, 13, 1, 14]) == "ab" and chars.spell([2, 3]) == "01"
    bpe = Vocabulary(name="bpe", pieces=("cof", "f", "Ã©", "Ġ", "#"), end=4)
    assert bpe.spell([0, 1, 2, 4, 0]) == "coffé"
    pieces = Vocabulary(name="wordpiece", pieces=("[SEP]", "read", "##ing"), end=0)
    assert pieces.spell([1, 2, 0]) == "reading"
    assert pieces.spell([1, 99]) == "read"  # a class beyond the vocabulary


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random MGP-STR as transformers saves it, with the three vocabularies."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = transformers.MgpstrConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_bpe_labels=5, num_wordpiece_labels=3
    )
    folder = tmp_path_factory.mktemp("mgp")
    peer = transformers.MgpstrForSceneTextRecognition(settings).eval()
    peer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({char: place for place, char in enumerate(CHARS)}))
    (folder / "bpe").mkdir()
    (folder / "bpe" / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "#": 2}))
    (folder / "wordpiece").mkdir()
    (folder / "wordpiece" / "vocab.txt").write_text("read\n##ing\n[SEP]\n")
    return folder


def test_the_network_is_that_of_transformers(checkpoint: Path) -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.MgpstrForSceneTextRecognition.from_pretrained(checkpoint).eval()
    found = load_published_words(str(checkpoint))
    assert [part.name for part in found.vocabularies if part] == ["chars", "bpe", "wordpiece"]
    x = torch.rand(1, 3, 32, 128)
    with torch.inference_mode():
        for ours, theirs in zip(found.module(x), peer(x).logits, strict=True):
            assert float((ours - theirs).abs().max()) < 1e-5


def test_the_surest_granularity_gives_the_word(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = WordReader.load(str(checkpoint), RunOptions(device="cpu"))

    def said(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        chances = [torch.full((len(x), 27, size), 1e-3) for size in (38, 5, 3)]
        for place, one in ((1, 12), (2, 1)):
            chances[0][:, place, one] = 0.6
        for place, one in ((1, 0), (2, 1), (3, 2)):
            chances[2][:, place, one] = 0.9
        return tuple(part.log() for part in chances)

    monkeypatch.setattr(type(reader.network.module), "forward", lambda self, x: said(x))
    crop = np.full((20, 60, 3), 200, np.uint8)
    found = reader.read([crop, crop[:0], crop[..., 0]])
    assert [item.text for item in found] == ["reading", "", "reading"]
    assert found[0].confidence == pytest.approx((0.9 / 0.902) ** 3, rel=1e-3)
    assert found[0].words[0].x1 == 60
    assert squeezed(crop, 32, 128).shape == (32, 128, 3)


def test_doc_read_takes_the_folder(checkpoint: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "word.png"), np.full((20, 60, 3), 200, np.uint8))
    found = read_crops([tmp_path / "word.png"], weights=str(checkpoint))
    assert found.networks[0].engine == "torch" and len(found.readings) == 1


def test_what_is_no_mgp_str_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no readable config"):
        WordReader.load(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UsageError, match="of kind 'vit'"):
        WordReader.load(str(tmp_path))
    with pytest.raises(MissingError, match="no such folder"):
        WordReader.load(str(tmp_path / "absent"))
