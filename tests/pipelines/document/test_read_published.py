"""Crops by a published TrOCR or PARSeq: preparation, spelling, which file is which, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitapps.errors import MissingError, UsageError  # noqa: E402
from vitapps.options import RunOptions  # noqa: E402
from vitapps.pipelines.document.evaluate_lines import evaluate_lines  # noqa: E402
from vitapps.pipelines.document.read_crops import load_reader, read_crops  # noqa: E402
from vitapps.pipelines.document.read_published import PublishedReader, load_published_reader  # noqa: E402
from vitapps.shared_backbones.models.parseq import Parseq  # noqa: E402
from vitapps.shared_backbones.models.trocr import TrOcr  # noqa: E402
from vitapps.shared_backbones.models.vit import ViTConfig  # noqa: E402
from vitapps.shared_backbones.weights.published_lines import CHARACTERS, load_published_trocr  # noqa: E402

PIECES = ["<s>", "<pad>", "</s>", "Ġcaf", "Ã©", "Ġno", "ir"]
CONFIG = {
    "model_type": "vision-encoder-decoder",
    "encoder": {"model_type": "vit", "image_size": 32, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 16},
    "decoder": {"model_type": "trocr", "vocab_size": len(PIECES), "d_model": 16, "decoder_layers": 1,
                "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "max_position_embeddings": 9,
                "cross_attention_hidden_size": 16, "eos_token_id": 2},
}  # fmt: skip
BLOCK = "encoder.encoder.layer.0."
LAYER = "decoder.model.decoder.layers.0."


def trocr_state() -> dict[str, torch.Tensor]:
    """A small random TrOCR by the names of the published files, its output tied to its embedding."""
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.embeddings.cls_token": (1, 1, 16), "encoder.embeddings.position_embeddings": (1, 5, 16),
        "encoder.embeddings.patch_embeddings.projection.weight": (16, 3, 16, 16),
        "encoder.embeddings.patch_embeddings.projection.bias": (16,),
        "decoder.model.decoder.embed_tokens.weight": (len(PIECES), 16),
        "decoder.model.decoder.embed_positions.weight": (11, 16),
    }  # fmt: skip
    squares = [f"{BLOCK}attention.attention.{part}" for part in ("query", "key", "value")]
    squares += [f"{BLOCK}attention.output.dense", f"{BLOCK}intermediate.dense", f"{BLOCK}output.dense"]
    squares += [f"{LAYER}{kind}_attn.{part}_proj" for kind in ("self", "encoder") for part in ("q", "k", "v", "out")]
    squares += [f"{LAYER}fc1", f"{LAYER}fc2"]
    norms = ["encoder.layernorm", f"{BLOCK}layernorm_before", f"{BLOCK}layernorm_after", f"{LAYER}final_layer_norm",
             f"{LAYER}self_attn_layer_norm", f"{LAYER}encoder_attn_layer_norm",
             "decoder.model.decoder.layernorm_embedding"]  # fmt: skip
    for name in (*squares, *norms):
        shapes |= {f"{name}.weight": (16, 16) if name in squares else (16,), f"{name}.bias": (16,)}
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) * 0.3 for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "trocr"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate(PIECES)}))
    torch.save(trocr_state(), path / "pytorch_model.bin")
    return path


def answering(pieces: list[list[int]], chances: list[float]) -> object:
    return lambda self, x, **_: (torch.tensor(pieces[: len(x)]), torch.tensor(chances[: len(x)]))


def test_a_line_is_spelt_from_its_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = load_published_reader(str(folder), RunOptions())
    crop = np.full((20, 60, 3), 200, np.uint8)
    assert isinstance(reader.read([crop])[0].text, str)  # the random network says something or nothing
    monkeypatch.setattr(TrOcr, "read", answering([[3, 4, 5, 6, 2, 2], [2] * 6], [0.25, 0.9]))
    found = reader.read([crop, crop[..., 0], crop[:0]])
    assert [item.text for item in found] == ["café noir", "", ""]
    assert found[0].confidence == pytest.approx(0.25)
    assert found[0].words == ()  # no places


def test_tokenizer_json_comes_first(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"</s>": 2, "one": 3, "two": 4}, unk_token="</s>"))
    made.add_special_tokens(["</s>"])
    made.save(str(folder / "tokenizer.json"))
    assert load_published_trocr(str(folder)).spell([3, 4, 2]) == "one two"
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(MissingError, match="no readable tokenizer"):
        load_published_trocr(str(folder))


def test_pictures_are_prepared_as_the_checkpoint_says(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.0, 0.5, 1.0], "image_std": [1.0, 0.5, 0.25], "resample": 0})
    )
    (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 0, "eos_token_id": [6]}))
    network = load_published_trocr(str(folder))
    assert (network.start, network.end, network.limit) == (0, 6, 9)
    reader = load_published_reader(str(folder), RunOptions())
    assert isinstance(reader, PublishedReader)
    crop = np.zeros((2, 2, 3), np.uint8)
    crop[:, 1] = 255
    picture = reader._picture(crop)
    assert picture.shape == (32, 32, 3)
    assert picture[0, 0].tolist() == [0, -1, -4] and picture[0, -1].tolist() == [1, 1, 0]
    assert picture[0, 15].tolist() == [0, -1, -4]  # resample 0: nearest, no soft edge


def parseq_file(path: Path) -> Path:
    """A small random PARSeq of all 94 characters by its published names."""
    from vitapps.shared_backbones.models.parseq import ParseqConfig

    torch.manual_seed(0)
    encoder = ViTConfig(image_size=(32, 128), patch=(4, 8), dim=64, depth=1, heads=1, class_token=False, pool="none")
    state = Parseq(ParseqConfig(encoder=encoder, heads=2)).state_dict()
    named = {}
    for key, value in state.items():
        name = key.replace("encoder.pos.learned.weight", "encoder.pos_embed").replace("text.", "text_embed.embedding.")
        name = "pos_queries" if name == "queries" else "decoder." + name if name.startswith("norm.") else name
        if name.startswith("layer."):
            name = "decoder.layers.0." + name.removeprefix("layer.").replace("mlp.fc", "linear")
            name = name.replace("attn.proj.", "attn.out_proj.")
        if ".q." in name:
            kind = name.rpartition(".")[2]
            value = torch.cat((value, state[key.replace(".q.", ".kv.")]))
            name = name.replace(f".q.{kind}", f".in_proj_{kind}")
        if ".kv." not in name:
            named[name] = value
    torch.save(named, path)
    return path


def test_a_parseq_file_reads_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parseq_file(tmp_path / "parseq-1234abcd.pt")
    cv2.imwrite(str(tmp_path / "word.png"), np.full((20, 60, 3), 200, np.uint8))
    found = read_crops([tmp_path / "word.png"], weights=str(path))
    assert found.networks[0].engine == "torch" and found.networks[0].sha256
    wanted = [1 + CHARACTERS.index(char) for char in "Ab~"]

    def said(self: Parseq, x: torch.Tensor) -> torch.Tensor:
        chances = torch.full((len(x), 26, 95), 1e-6)
        for place, one in enumerate((*wanted, 0)):
            chances[:, place, one] = 0.5
        return chances.log()

    monkeypatch.setattr(Parseq, "forward", said)
    reading = read_crops([tmp_path / "word.png"], weights=str(path)).readings[0].reading
    assert reading.text == "Ab~" and reading.words[0].x1 == 60
    assert reading.confidence == pytest.approx((0.5 / (0.5 + 94e-6)) ** 4, rel=1e-3)
    (tmp_path / "word.gt.txt").write_text("Ab~")
    rows, mistakes = evaluate_lines(tmp_path, weights=str(path))
    assert rows[0].exact == 1 and not mistakes


def test_wrong_files_and_options_are_refused(folder: Path, tmp_path: Path) -> None:
    for options, text in (
        (RunOptions(precision="int8"), "precision int8"), (RunOptions(engine="openvino"), "engine openvino"),
        (RunOptions(reduce="tome:r=1"), "tome"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=text):
            load_reader(str(folder), options)
    with pytest.raises(UsageError, match=r"pytorch_model\.bin: no PARSeq"):
        load_reader(str(folder / "pytorch_model.bin"), None)
    with pytest.raises(MissingError, match="no such weights file"):
        load_reader(str(tmp_path / "absent.pt"), None)
    (tmp_path / "torn.pt").write_bytes(b"PK torn")
    with pytest.raises(MissingError, match="not readable weights"):
        load_reader(str(tmp_path / "torn.pt"), None)
    for name, content in (
        ("config.json", CONFIG | {"encoder": CONFIG["encoder"] | {"hidden_size": "wide"}}),  # type: ignore[operator]
        ("preprocessor_config.json", {"image_mean": [0.5]}),
        ("generation_config.json", {"eos_token_id": 99}),
    ):
        kept = (folder / name).read_text() if (folder / name).exists() else "{}"
        (folder / name).write_text(json.dumps(content))
        with pytest.raises(MissingError, match=r"no settings of a TrOCR|beyond 7 pieces"):
            load_reader(str(folder), None)
        (folder / name).write_text(kept)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"encoder": {"model_type": "swin"}}))
    with pytest.raises(UsageError, match=r"trocr: .*encoder 'swin'"):
        load_reader(str(folder), None)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.json").unlink()
    with pytest.raises(MissingError, match=r"no tokenizer\.json and no readable vocab\.json"):
        load_reader(str(folder), None)
