"""PARSeq beside a naive reading of its paper, on states with the names and the layout of the published files."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.parseq import config_from_parseq, convert_parseq, parseq_state
from vitapps.shared_backbones.models.parseq import END, Parseq
from vitapps.shared_backbones.weights.load import load_state

DIM, CHARS, LENGTH, HEADS = 64, 10, 6, 2  # 32 channels a head of the decoder
BEGIN = 1 + CHARS


def published_state(seed: int = 0, prefix: str = "") -> dict[str, Tensor]:
    """A small random PARSeq by the names of strhub/models/parseq at github.com/baudm/parseq."""
    shapes: dict[str, tuple[int, ...]] = {
        "pos_queries": (1, LENGTH + 1, DIM), "text_embed.embedding.weight": (CHARS + 3, DIM),
        "head.weight": (CHARS + 1, DIM), "head.bias": (CHARS + 1,),
        "encoder.pos_embed": (1, 128, DIM), "encoder.patch_embed.proj.weight": (DIM, 3, 4, 8),
        "encoder.patch_embed.proj.bias": (DIM,),
    }  # fmt: skip
    layer, block = "decoder.layers.0.", "encoder.blocks.0."
    for root, width in ((f"{layer}linear", 4 * DIM), (f"{block}mlp.fc", 4 * DIM)):
        shapes |= {f"{root}1.weight": (width, DIM), f"{root}1.bias": (width,),
                   f"{root}2.weight": (DIM, width), f"{root}2.bias": (DIM,)}  # fmt: skip
    for name in (f"{layer}self_attn.", f"{layer}cross_attn."):
        shapes |= {f"{name}in_proj_weight": (3 * DIM, DIM), f"{name}in_proj_bias": (3 * DIM,),
                   f"{name}out_proj.weight": (DIM, DIM), f"{name}out_proj.bias": (DIM,)}  # fmt: skip
    shapes |= {f"{block}attn.qkv.weight": (3 * DIM, DIM), f"{block}attn.qkv.bias": (3 * DIM,),
               f"{block}attn.proj.weight": (DIM, DIM), f"{block}attn.proj.bias": (DIM,)}  # fmt: skip
    for norm in ("decoder.norm", "encoder.norm", f"{block}norm1", f"{block}norm2",
                 *(f"{layer}norm{end}" for end in ("1", "2", "_q", "_c"))):  # fmt: skip
        shapes |= {f"{norm}.weight": (DIM,), f"{norm}.bias": (DIM,)}
    draw = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=draw) * (0.1 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5)
             for name, shape in shapes.items()}  # fmt: skip
    state["pos_queries"] *= 20  # what stands where, and not the biases, decides what is read
    state["decoder.layers.0.cross_attn.out_proj.weight"] *= 6
    return {prefix + name: value for name, value in state.items()}


def naive(state: dict[str, Tensor], memory: Tensor) -> list[Tensor]:
    """Section 3.3 for one picture's tokens 1 N C: logits of left-to-right reading, then of one refinement; every place
    on its own, from the whole context that it may see."""
    logits: list[Tensor] = []
    read: list[int] = []
    for place in range(LENGTH + 1):
        logits.append(_place(state, memory, place, [BEGIN, *read], list(range(place + 1))))
        read.append(int(logits[-1].argmax()))
        if read[-1] == END:
            break
    word = read.index(END) if END in read else len(read)
    context = [BEGIN, *read[:-1]]
    mended = [
        _place(state, memory, place, context, [at for at in range(len(context)) if at != place + 1 and at <= word])
        for place in range(LENGTH + 1)
    ]  # fmt: skip
    return [torch.stack(logits), torch.stack(mended)]


def _place(state: dict[str, Tensor], memory: Tensor, place: int, context: list[int], seen: list[int]) -> Tensor:
    """Logits of one place, from the tokens of `context` at the numbers `seen` alone."""
    embedded = state["text_embed.embedding.weight"] * math.sqrt(DIM)
    positions = state["pos_queries"][0]
    rows = [embedded[context[at]] + (positions[at - 1] if at else 0) for at in seen]
    layer = "decoder.layers.0."
    x = positions[place][None]
    keys = _norm(state, f"{layer}norm_c", torch.stack(rows))
    x = x + _mha(state, f"{layer}self_attn.", _norm(state, f"{layer}norm_q", x), keys)
    x = x + _mha(state, f"{layer}cross_attn.", _norm(state, f"{layer}norm1", x), memory[0])
    hidden = functional.gelu(
        _norm(state, f"{layer}norm2", x) @ state[f"{layer}linear1.weight"].T + state[f"{layer}linear1.bias"]
    )
    x = x + hidden @ state[f"{layer}linear2.weight"].T + state[f"{layer}linear2.bias"]
    return (_norm(state, "decoder.norm", x) @ state["head.weight"].T + state["head.bias"])[0]


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, (DIM,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)


def _mha(state: dict[str, Tensor], name: str, x: Tensor, keys: Tensor) -> Tensor:
    weight, bias = state[f"{name}in_proj_weight"], state[f"{name}in_proj_bias"]
    parts = [data @ weight[at * DIM : (at + 1) * DIM].T + bias[at * DIM : (at + 1) * DIM]
             for at, data in enumerate((x, keys, keys))]  # fmt: skip
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(0, 1) for part in parts)  # N C -> h N d
    mixed = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(DIM / HEADS), dim=-1) @ v
    return mixed.transpose(0, 1).flatten(1) @ state[f"{name}out_proj.weight"].T + state[f"{name}out_proj.bias"]


def loaded(state: dict[str, Tensor]) -> Parseq:
    bare = parseq_state(state)
    module = Parseq(config_from_parseq(bare))
    load_state(module, convert_parseq(bare), "test")
    return module.eval()


def test_reading_and_mending_are_those_of_the_paper() -> None:
    state = published_state(seed=1)
    model = loaded(state)
    memory = torch.randn(6, 2, DIM, generator=torch.Generator().manual_seed(1)) * 2  # few tokens: pictures unlike
    with torch.inference_mode():
        picture = model.layer.cross_attn.keys_values(memory)
        written = model._written(picture)
        mended = model._mended(written.argmax(dim=-1), picture)
        lengths = set()
        for number in range(len(memory)):
            first, second = naive(state, memory[number : number + 1])
            lengths.add(len(first))
            assert float((written[number, : len(first)] - first).abs().max()) < 1e-4
            assert float((mended[number] - second).abs().max()) < 1e-4
    assert mended.shape == (6, LENGTH + 1, CHARS + 1)
    assert len(lengths) > 1, "words of one length alone test no padding"


def test_the_encoder_is_that_of_timm() -> None:
    timm = pytest.importorskip("timm")
    model = loaded(published_state(prefix="model."))  # as the authors' training saves it
    peer = timm.models.VisionTransformer(
        img_size=(32, 128), patch_size=(4, 8), embed_dim=DIM, depth=1, num_heads=1, num_classes=0, global_pool="",
        class_token=False,
    ).eval()  # fmt: skip
    state = published_state()
    peer.load_state_dict(
        {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    )
    x = torch.randn(1, 3, 32, 128)
    with torch.inference_mode():
        tokens = peer.forward_features(x)
        assert float((model.encoder.forward_features(x).tokens - tokens).abs().max()) < 1e-4
        picture = model.layer.cross_attn.keys_values(tokens)
        mended = model._mended(model._written(picture).argmax(dim=-1), picture)
        assert float((model(x) - mended).abs().max()) < 1e-3


def test_sizes_are_read_off_the_state() -> None:
    config = config_from_parseq(published_state())
    assert (config.chars, config.length, config.heads, config.begin) == (CHARS, LENGTH, HEADS, BEGIN)
    assert (config.encoder.image_size, config.encoder.heads, config.encoder.depth) == ((32, 128), 1, 1)


def test_what_is_no_parseq_is_refused() -> None:
    with pytest.raises(UsageError, match="'pos_queries' is missing"):
        parseq_state({"blocks.0.norm1.weight": torch.zeros(1)})
    state = published_state()
    with pytest.raises(UsageError, match=r"without encoder\.pos_embed"):
        config_from_parseq({key: value for key, value in state.items() if key != "encoder.pos_embed"})
    with pytest.raises(UsageError, match="100 patches"):
        config_from_parseq({**state, "encoder.pos_embed": torch.zeros(1, 100, DIM)})
    with pytest.raises(UsageError, match="several decoder layers"):
        config_from_parseq({**state, "decoder.layers.1.norm1.weight": torch.zeros(DIM)})
