"""Attention in int8: chosen where it is much of the work and its rounding does little, floating elsewhere."""

import numpy as np
import onnx
import onnxruntime
import pytest

from vitapps.shared_backbones.engines.int8 import quantize_graph
from vitapps.shared_backbones.engines.int8_attention import attentions, fit_for_int8

HEADS, WIDTH = 2, 32
SCALE = np.float32(HEADS / WIDTH) ** 0.5


def attention_graph(path, tokens, sharp):
    """One attention, x 1 N C -> 1 N C; its scores are `sharp` times as large, behind a mask of zeros."""
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5 for name in "qkvo"}
    constants = {
        **weights, "scale": np.float32(SCALE * sharp), "mask": np.zeros((tokens, tokens), np.float32),
        "split": np.array([1, tokens, HEADS, WIDTH // HEADS]), "whole": np.array([1, tokens, WIDTH]),
    }  # fmt: skip
    node = onnx.helper.make_node
    nodes = []
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            node("MatMul", ["x", name], [f"{name}0"], f"{name}_product"),
            node("Reshape", [f"{name}0", "split"], [f"{name}1"], f"{name}_split"),
            node("Transpose", [f"{name}1"], [f"{name}2"], f"{name}_turned", perm=order),
        ]
    nodes += [
        node("MatMul", ["q2", "k2"], ["scores"], "score"),
        node("Mul", ["scores", "scale"], ["scaled"], "scaled"),
        node("Add", ["mask", "scaled"], ["logits"], "masked"),
        node("Softmax", ["logits"], ["p"], "softmax", axis=-1),
        node("MatMul", ["p", "v2"], ["mixed"], "mix"),
        node("Transpose", ["mixed"], ["turned"], "turned", perm=[0, 2, 1, 3]),
        node("Reshape", ["turned", "whole"], ["joined"], "joined"),
        node("MatMul", ["joined", "o"], ["y"], "out"),
    ]
    value = [onnx.helper.make_tensor_value_info(name, 1, [1, tokens, WIDTH]) for name in "xy"]
    stored = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, "attention", value[:1], value[1:], stored)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return model


def clip(tokens, seed=1):
    return np.random.default_rng(seed).standard_normal((1, tokens, WIDTH)).astype(np.float32)


def test_attention_is_found_behind_scale_and_mask(tmp_path):
    (found,) = attentions(onnx, attention_graph(tmp_path / "a.onnx", 64, 2.0).graph)
    assert (found.score, found.mix, found.logits, found.values) == ("score", "mix", "logits", "v2")
    assert found.factor == pytest.approx(2 * SCALE)


@pytest.mark.parametrize(("tokens", "sharp", "number"), [(128, 0.3, 1), (128, 30.0, 0), (16, 0.3, 0)])
def test_only_large_and_even_attention_is_rounded(tmp_path, tokens, sharp, number):
    path = tmp_path / "a.onnx"
    model = attention_graph(path, tokens, sharp)
    assert len(fit_for_int8(onnx, model, path, clip(tokens))) == number


def test_the_graph_rounds_probabilities_without_sign_and_scores_not_at_all(tmp_path):
    path, out = tmp_path / "a.onnx", tmp_path / "int8.onnx"
    attention_graph(path, 128, 0.3)
    quantize_graph(path, out, [clip(128, seed) for seed in range(4)])
    graph = onnx.load(str(out)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    reader = {name: node for node in graph.node for name in node.input}
    assert made_by[made_by["scaled"].input[0]].op_type == "MatMul"  # no rounding between product and softmax
    rounding = reader["p"]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert rounding.op_type == "QuantizeLinear" and constants[rounding.input[2]].dtype == np.uint8
    image = clip(128, 9)
    exact, found = (onnxruntime.InferenceSession(str(file)).run(None, {"x": image})[0] for file in (path, out))
    assert 1e-4 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.06
