"""Compile every kernel for an H100 (sm_90), which needs no GPU; run in a process of its own by the test beside it.

Prints one line a kernel: name, type, constants, bytes of machine code.
"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vitapps.shared_backbones.attention.kernels import by_products, prologue, rel_pos, token_merge, window


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def compile_one(kernel: Any, signature: dict[str, Any], constants: dict[Any, Any]) -> int:
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    return len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"])


def rel_pos_signatures(half: str) -> dict[Any, dict[str, Any]]:
    tail = {"strides": ("i32",) * 12, "numbers": ("i32",) * 5, "scale": "fp32", "META": "constexpr"}
    middle = {"strips": (f"*{half}",) * 2, "sizes": "*fp32"}
    inputs = {"inputs": (*(f"*{half}",) * 4, "*fp32", "*fp32")}
    return {
        rel_pos._forward: {"qkv": (f"*{half}",) * 3, **middle, "results": (f"*{half}", "*fp32"), **tail},
        rel_pos._backward_queries: {
            **inputs, **middle, "results": (f"*{half}", "*fp32", "*fp32"), **tail, "strides": ("i32",) * 15,
        },
        rel_pos._backward_keys: {**inputs, **middle, "results": (f"*{half}",) * 2, **tail, "strides": ("i32",) * 18},
    }  # fmt: skip


def window_signatures(half: str) -> dict[Any, dict[str, Any]]:
    tail = {"strides": ("i32",) * 12, "numbers": ("i32",) * 15, "scale": "fp32", "META": "constexpr"}
    inputs = {"inputs": (*(f"*{half}",) * 4, "*fp32", "*fp32"), "table": f"*{half}"}
    return {
        window._forward: {
            "qkv": (f"*{half}",) * 3, "table": f"*{half}", "results": (f"*{half}", "*fp32"), **tail,
        },
        window._backward_queries: {**inputs, "results": (f"*{half}", "*fp32"), **tail, "strides": ("i32",) * 15},
        window._backward_keys: {**inputs, "results": (f"*{half}",) * 2, **tail, "strides": ("i32",) * 18},
    }  # fmt: skip


def small_signatures(half: str) -> list[tuple[Any, dict[str, Any], tuple[Any, ...]]]:
    """By-products, token merging and the prologue, with their constants."""
    scores = {"sizes": "*fp32", "strides": ("i32",) * 6, "numbers": ("i32",) * 4, "scale": "fp32", "META": "constexpr"}
    qk = {"qk": (f"*{half}",) * 2}
    numbers = {"numbers": ("i32",) * 5, "META": "constexpr"}
    merge = {"inputs": (f"*{half}",) * 2, "places": ("*i64",) * 3, "results": (f"*{half}",) * 2, **numbers}
    match = {"keys": f"*{half}", "results": ("*fp32", "*i64"), "strides": ("i32",) * 2, "numbers": ("i32",) * 3}
    qkv = {"qkv": f"*{half}", "bias": f"*{half}", "tables": ("*fp32",) * 2, "results": (f"*{half}",) * 3}
    sizes = {"strides": ("i32",) * 3, "numbers": ("i32",) * 3, "scale": "fp32", "META": "constexpr"}
    return [
        (by_products._statistics, {**qk, "results": ("*fp32", "*fp32"), **scores}, (64, 16, 64, True)),
        (by_products._columns, {**qk, "results": ("*fp32", "*fp32"), **scores}, (64, 16, 64, True)),
        (by_products._head_mean, {**qk, "results": ("*fp32", f"*{half}"), **scores}, (64, 0, 64, True)),
        (token_merge._match, {**match, "META": "constexpr"}, (64, 16, 64)),
        (token_merge._merge, merge, (16, 16, 64)),
        (prologue._prologue, {**qkv, **sizes}, (128, 32, True, True)),
    ]


def ones_in(signature: dict[str, Any], places: tuple[int, ...]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """As a launch does it: integers of value 1 in `numbers` are constants."""
    index = list(signature).index("numbers")
    numbers = tuple("constexpr" if place in places else kind for place, kind in enumerate(signature["numbers"]))
    return {**signature, "numbers": numbers}, {(index, place): 1 for place in places}


def main(halves: list[str]) -> None:
    for half in halves:
        for kernel, signature, meta in small_signatures(half):
            say("small", kernel.__name__, half, meta, compile_one(kernel, signature, {"META": meta}))
        for kernel, signature in rel_pos_signatures(half).items():
            for meta in ((64, 16, 64, 1, 64, True), (64, 0, 64, 4, 16, False)):
                plain = {**signature, "sizes": signature["sizes"] if meta[5] else "constexpr"}
                constants = {"META": meta} | ({} if meta[5] else {"sizes": None})
                say("rel_pos", kernel.__name__, half, meta, compile_one(kernel, plain, constants))
        for kernel, signature in window_signatures(half).items():
            meta = (32, 0, 64, True)
            say("window 3-D", kernel.__name__, half, meta, compile_one(kernel, signature, {"META": meta}))
            flat, ones = ones_in(signature, (0, 3, 6))  # one head, two axes
            meta = (16, 0, 64, True)
            say("window 2-D", kernel.__name__, half, meta, compile_one(kernel, flat, {"META": meta, **ones}))


if __name__ == "__main__":
    main(sys.argv[1:] or ["bf16"])
