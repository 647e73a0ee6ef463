"""TrOCR beside transformers' at random weights: every logit, the pieces that it writes, in both versions' names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vitapps.errors import MissingError, UsageError
from vitapps.shared_backbones.convert.trocr import config_from_trocr, convert_trocr
from vitapps.shared_backbones.models.trocr import TrOcr, TrOcrConfig
from vitapps.shared_backbones.models.vit import ViTConfig
from vitapps.shared_backbones.weights.load import load_state

ENCODER = {"patch_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
           "intermediate_size": 64}  # fmt: skip
DECODER = {"vocab_size": 40, "d_model": 24, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 48,
           "max_position_embeddings": 20, "is_decoder": True, "add_cross_attention": True}  # fmt: skip
KINDS = {  # the three published families, and a pair that someone joined himself
    "small": ("deit", {"image_size": [32, 96]}, {"activation_function": "relu", "scale_embedding": True,
                                                 "tie_word_embeddings": False, "cross_attention_hidden_size": 32}),
    "base": ("vit", {"image_size": [64, 64], "qkv_bias": False}, {"cross_attention_hidden_size": 32}),
    "large": ("vit", {"image_size": [64, 64], "qkv_bias": False},
              {"use_learned_position_embeddings": False, "layernorm_embedding": False, "scale_embedding": True,
               "activation_function": "relu", "cross_attention_hidden_size": 32}),
    "joined": ("vit", {"image_size": [32, 32]}, {}),
}  # fmt: skip


def peer_of(kind: str) -> Any:
    transformers = pytest.importorskip("transformers")
    name, encoder, decoder = KINDS[kind]
    torch.manual_seed(0)
    parts = {"vit": (transformers.ViTModel, transformers.ViTConfig),
             "deit": (transformers.DeiTModel, transformers.DeiTConfig)}[name]  # fmt: skip
    peer = transformers.VisionEncoderDecoderModel(
        encoder=parts[0](parts[1](**ENCODER, **encoder), add_pooling_layer=kind == "base"),
        decoder=transformers.TrOCRForCausalLM(transformers.TrOCRConfig(**{**DECODER, **decoder})),
    ).eval()
    for parameter in peer.parameters():  # norms and positions start where they do nothing
        parameter.data = torch.randn_like(parameter) * (parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    return peer


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_writing_are_those_of_transformers(kind: str) -> None:
    peer = peer_of(kind)
    ours = TrOcr(config_from_trocr(peer.config.to_dict())).eval()
    load_state(ours, convert_trocr(peer.state_dict()), kind)
    x = torch.randn(3, 3, *ours.config.encoder.image_size)
    pieces = torch.randint(3, 40, (3, 7))
    with torch.inference_mode():
        tokens = ours.encoder.forward_features(x).tokens
        assert float((tokens - peer.encoder(x).last_hidden_state).abs().max()) < 1e-5
        wanted = peer(pixel_values=x, decoder_input_ids=pieces).logits
        assert float((ours(x, pieces) - wanted).abs().max() / wanted.abs().max()) < 1e-5
        step = _greedy(peer, x, start=2, steps=8)
    end = int(step[0, 4])  # a piece that the first line does write ends lines here
    found, chances = ours.read(x, start=2, end=end, limit=8)
    for line, mine, chance in zip(step.tolist(), found.tolist(), chances.tolist(), strict=True):
        ended = end in line
        kept = line[: line.index(end) + 1] if ended else line
        assert mine[: len(kept)] == kept[: len(mine)]
        assert set(mine[len(kept) :]) <= {end}
        assert (chance > 0) == ended


def _greedy(peer: Any, x: torch.Tensor, start: int, steps: int) -> torch.Tensor:
    """What the peer writes, B steps: everything computed again at each step."""
    pieces = torch.full((len(x), 1), start)
    for _ in range(steps):
        logits = peer(pixel_values=x, decoder_input_ids=pieces).logits[:, -1]
        pieces = torch.cat((pieces, logits.argmax(dim=-1, keepdim=True)), dim=1)
    return pieces[:, 1:]


def test_the_chance_of_a_line_is_that_of_its_pieces() -> None:
    torch.manual_seed(1)
    small = ViTConfig(image_size=(16, 16), patch=(8, 8), dim=16, depth=1, heads=2, pool="none")
    model = TrOcr(TrOcrConfig(encoder=small, dim=16, depth=1, heads=2, hidden=16, vocabulary=6, positions=5)).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    x = torch.randn(1, 3, 16, 16)
    written, _ = model.read(x, start=0, end=-1, limit=5)  # nothing ends: five pieces
    assert written.shape == (1, 5)
    end = int(written[0, 2])
    found, chance = model.read(x, start=0, end=end, limit=5)
    length = found.shape[1]
    assert found[0].tolist() == written[0, :length].tolist() and found[0, -1] == end
    before = torch.cat((torch.zeros(1, 1, dtype=torch.long), found[:, :-1]), dim=1)
    with torch.inference_mode():
        steps = model(x, before).log_softmax(dim=-1).gather(2, found[..., None])
    assert float(chance[0]) == pytest.approx(float(steps.sum().exp()), rel=1e-4)
    with pytest.raises(UsageError, match="1 to 5"):
        model.read(x, start=0, end=1, limit=6)


def test_names_of_the_fourth_version_are_read() -> None:
    zeros = torch.zeros(2, 2)
    block, layer = "encoder.encoder.layer.3.", "decoder.model.decoder.layers.1."
    state = {
        f"{block}attention.attention.query.weight": zeros, f"{block}attention.attention.key.weight": zeros + 1,
        f"{block}attention.attention.value.weight": zeros + 2, f"{block}attention.output.dense.weight": zeros,
        f"{block}intermediate.dense.bias": zeros, f"{block}output.dense.bias": zeros,
        f"{layer}encoder_attn.k_proj.weight": zeros + 3, f"{layer}encoder_attn.v_proj.weight": zeros + 4,
        "encoder.pooler.dense.weight": zeros, "decoder.model.decoder.embed_positions._float_tensor": zeros[:1],
    }  # fmt: skip
    found = convert_trocr(state)
    assert set(found) == {
        "encoder.blocks.3.attn.qkv.weight", "encoder.blocks.3.attn.proj.weight", "encoder.blocks.3.mlp.fc1.bias",
        "encoder.blocks.3.mlp.fc2.bias", "layers.1.cross_attn.kv.weight",
    }  # fmt: skip
    assert found["encoder.blocks.3.attn.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert found["layers.1.cross_attn.kv.weight"][:, 0].tolist() == [3, 3, 4, 4]


def test_what_is_no_trocr_is_refused() -> None:
    with pytest.raises(UsageError, match="encoder 'swin'"):
        config_from_trocr(
            {
                "model_type": "vision-encoder-decoder",
                "encoder": {"model_type": "swin"},
                "decoder": {"model_type": "trocr"},
            }
        )
    with pytest.raises(UsageError, match="unknown key"):
        convert_trocr({"other.weight": torch.zeros(1)})
    peer = peer_of("joined")
    state = convert_trocr({key: value for key, value in peer.state_dict().items() if "1.attention.k_proj" not in key})
    with pytest.raises(MissingError, match="misshaped"):
        load_state(TrOcr(config_from_trocr(peer.config.to_dict())), state, "test")
