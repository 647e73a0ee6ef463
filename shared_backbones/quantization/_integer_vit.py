"""A ViT whose every tensor between the input's codes and the last norm is an integer (I-ViT), made from a float one.

Codes of the input, of weights and of what products read have `weight_bits` and `act_bits`; the residual stream has 16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.models.vit import Block, ViT
from vitapps.shared_backbones.quantization import _integers as integers
from vitapps.shared_backbones.quantization._integers import ONE, code_scale, dyadic, rescale

STREAM_BITS = 16
SOFTMAX_BITS = 8


class IntegerLinear(nn.Module):
    """Codes ... in -> rescaled sums ... out. `weight` in out, one scale for each output; the bias lies in the sums."""

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(inputs, outputs, dtype=torch.int8))
        for name in ("bias", "multiplier", "shift"):
            self.register_buffer(name, torch.ones(outputs, dtype=torch.long))

    def settle(self, weight: Tensor, bias: Tensor | None, scale: float, out: float, bits: int) -> None:
        """From `weight` out in and `bias`; `scale` of the codes that come, `out` of those that leave."""
        own = (weight.abs().amax(dim=1) / ((1 << (bits - 1)) - 1)).clamp_min(1e-12).double()  # out
        self.weight = (weight / own[:, None]).round().to(torch.int8).t().contiguous()
        shift = torch.zeros_like(own) if bias is None else bias.double() / (own * scale)
        self.bias = shift.round().long()
        self.multiplier, self.shift = dyadic(own * scale / out)

    def forward(self, x: Tensor) -> Tensor:
        return rescale(integers.product(x, self.weight) + self.bias, (self.multiplier, self.shift))


class IntegerNorm(nn.Module):
    """I-LayerNorm of the stream, to codes of `bits`."""

    beta: Tensor
    multiplier: Tensor
    shift: Tensor
    floor: Tensor

    def __init__(self, dim: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        for name in ("beta", "multiplier", "shift"):
            self.register_buffer(name, torch.ones(dim, dtype=torch.long))
        self.register_buffer("floor", torch.zeros((), dtype=torch.long))

    def settle(self, norm: nn.LayerNorm, stream: float, out: float) -> None:
        """`stream` and `out`: scales of what comes and what leaves."""
        self.multiplier, self.shift = dyadic(integers.normal_factor(norm.weight, out))
        bias = torch.zeros_like(norm.weight) if norm.bias is None else norm.bias
        self.beta = (bias.double() / out).round().long()
        self.floor = torch.tensor(round(norm.eps * norm.weight.numel() / stream**2))

    def forward(self, x: Tensor) -> Tensor:
        y = integers.layer_norm(x, self.floor)
        return integers.clip(rescale(y, (self.multiplier, self.shift)) + self.beta, self.bits)


class IntegerBlock(nn.Module):
    """stream -> stream, B N C."""

    def __init__(self, dim: int, heads: int, hidden: int, bits: int) -> None:
        super().__init__()
        self.heads, self.bits = heads, bits
        self.norm1, self.norm2 = IntegerNorm(dim, bits), IntegerNorm(dim, bits)
        self.qkv, self.proj = IntegerLinear(dim, 3 * dim), IntegerLinear(dim, dim)
        self.fc1, self.fc2 = IntegerLinear(dim, hidden), IntegerLinear(hidden, dim)
        for name in ("score", "mixed", "active"):  # after q k, after the attention, after the GELU
            self.register_buffer(name, torch.ones(2, dtype=torch.long))

    def settle(self, block: Block, ranges: dict[str, float], stream: float, weight_bits: int) -> None:
        """From the float block; `ranges`: largest sizes by place, `stream`: scale of what comes and leaves."""
        scale = {name: code_scale(value, self.bits) for name, value in ranges.items()}
        self.norm1.settle(_plain(block.norm1), stream, scale["norm1"])
        self.norm2.settle(_plain(block.norm2), stream, scale["norm2"])
        attn: Any = block.attn
        mlp: Any = block.mlp
        parts = zip(attn.qkv.weight.chunk(3), _thirds(attn.qkv.bias), ("q", "k", "v"), strict=True)
        thirds = []
        for weight, bias, name in parts:
            third = IntegerLinear(weight.shape[1], weight.shape[0])
            third.settle(weight, bias, scale["norm1"], scale[name], weight_bits)
            thirds.append(third)
        for name in ("weight", "bias", "multiplier", "shift"):
            setattr(self.qkv, name, torch.cat([getattr(third, name) for third in thirds], dim=-1))
        d = attn.proj.in_features // self.heads
        self.score = _pair(scale["q"] * scale["k"] * d**-0.5 * ONE)
        self.mixed = _pair(scale["v"] / (1 << SOFTMAX_BITS - 1) / scale["mixed"])
        self.active = _pair(1 / (ONE << SOFTMAX_BITS - 1) / scale["active"])
        self.proj.settle(*_scaled(attn.proj, block.ls1), scale["mixed"], stream, weight_bits)
        self.fc1.settle(mlp.fc1.weight, mlp.fc1.bias, scale["norm2"], 1 / ONE, weight_bits)
        self.fc2.settle(*_scaled(mlp.fc2, block.ls2), scale["active"], stream, weight_bits)

    def forward(self, x: Tensor) -> Tensor:
        x = integers.clip(x + self._mix(self.norm1(x)), STREAM_BITS)
        active = integers.shift_gelu(self.fc1(self.norm2(x)), SOFTMAX_BITS)
        codes = integers.clip(rescale(active, (self.active[0], self.active[1])), self.bits)
        return integers.clip(x + self.fc2(codes), STREAM_BITS)

    def _mix(self, x: Tensor) -> Tensor:
        qkv = integers.clip(self.qkv(x), self.bits).unflatten(-1, (3, self.heads, -1))  # B N C -> B N 3 h d
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # -> three of B h N d
        scores = rescale(integers.product(q, k.transpose(-1, -2)), (self.score[0], self.score[1]))  # B h N N
        shares = integers.clip(integers.shiftmax(scores, SOFTMAX_BITS), SOFTMAX_BITS)
        mixed = rescale(integers.product(shares, v), (self.mixed[0], self.mixed[1]))  # B h N d
        joined = integers.clip(mixed, self.bits).transpose(1, 2).flatten(2)  # -> B N C
        out: Tensor = self.proj(joined)
        return out


class IntegerViT(nn.Module):
    """The integer form of a plain ViT at its native grid: `forward_features` and `forward` as a ViT has them. Integers
    end at the last norm's 16-bit codes for other heads, and at the logits where the ViT itself classifies by its class
    token."""

    places: Tensor
    input_scale: Tensor
    output_scale: Tensor
    logit_scale: Tensor

    def __init__(self, vit: ViT, weight_bits: int, act_bits: int) -> None:
        super().__init__()
        _check(vit)
        config = vit.config
        self.config, self.weight_bits, self.act_bits = config, weight_bits, act_bits
        inputs = config.in_chans * math.prod(config.patch)
        self.embed = IntegerLinear(inputs, config.dim)
        hidden = round(config.dim * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            IntegerBlock(config.dim, config.heads, hidden, act_bits) for _ in range(config.depth)
        )
        self.norm = IntegerNorm(config.dim, STREAM_BITS)
        count = config.prefix + math.prod(config.grid)
        self.register_buffer("places", torch.zeros(count, config.dim, dtype=torch.long))
        for name in ("input_scale", "output_scale", "logit_scale"):
            self.register_buffer(name, torch.ones((), dtype=torch.float64))
        self.head, self.pool, self.fc_norm = vit.head, vit.pool, vit.fc_norm
        classifies = config.pool == "cls" and config.num_classes > 0 and not config.fc_norm
        self.logits = IntegerLinear(config.dim, config.num_classes) if classifies else None

    @torch.no_grad()
    def settle(self, vit: ViT, inputs: Sequence[Tensor]) -> None:
        """Take the weights of `vit` and the scales that its activations on `inputs` ask for."""
        seen = observe(vit, inputs)
        stream = code_scale(seen["stream"], STREAM_BITS)
        start = code_scale(seen["input"], self.act_bits)
        proj: Any = vit.patch_embed.proj
        self.embed.settle(proj.weight.flatten(1), proj.bias, start, stream, self.weight_bits)
        zero = torch.zeros(1, self.config.in_chans, *self.config.image_size)
        still = vit.embed(zero)[0][0]  # N C: prefix, positions, and the bias that the embedding adds again
        bias = torch.zeros(self.config.dim) if proj.bias is None else proj.bias
        still = torch.cat((still[: self.config.prefix], still[self.config.prefix :] - bias))
        self.places = (still.double() / stream).round().long()
        for index, (block, own) in enumerate(zip(vit.blocks, self.blocks, strict=True)):
            assert isinstance(block, Block) and isinstance(own, IntegerBlock)
            names = ("norm1", "norm2", "q", "k", "v", "mixed", "active")
            own.settle(block, {name: seen[f"{index}.{name}"] for name in names}, stream, self.weight_bits)
        out = code_scale(seen["norm"], STREAM_BITS)
        self.norm.settle(_plain(vit.norm), stream, out)
        logits = code_scale(seen.get("head", 1.0), STREAM_BITS)
        if self.logits is not None:
            head: Any = vit.head
            self.logits.settle(head.weight, head.bias, out * (1 << STREAM_BITS - 8), logits, 8)
        for name, scale in (("input_scale", start), ("output_scale", out), ("logit_scale", logits)):
            setattr(self, name, torch.tensor(scale, dtype=torch.float64))

    def forward_features(self, x: Tensor, return_layers: Sequence[int] = ()) -> Features:
        """B in_chans *spatial of the native size -> Features."""
        if return_layers:
            raise UsageError("an integer ViT keeps no intermediate layers", hint="another method")
        tokens = (self.run(self.codes(x)) * self.output_scale).to(x.dtype)
        return Features(tokens=tokens, grid=self.config.grid, prefix=self.config.prefix)

    def codes(self, x: Tensor) -> Tensor:
        """The codes of an input; UsageError for another size than the native one."""
        if tuple(x.shape[2:]) != self.config.image_size:
            raise UsageError(
                f"an integer ViT of {self.config.image_size} got {tuple(x.shape[2:])}", hint="its own size"
            )
        return integers.clip((x / self.input_scale).round().long(), self.act_bits)

    def run_logits(self, codes: Tensor) -> Tensor:
        """Integers only: codes of the input -> codes of the logits B num_classes, where the ViT classifies."""
        assert self.logits is not None
        eight = (self.run(codes)[:, 0] + (1 << STREAM_BITS - 9)) >> (STREAM_BITS - 8)  # of 16 bits, B C
        out: Tensor = self.logits(integers.clip(eight, 8))
        return out

    def run(self, codes: Tensor) -> Tensor:
        """Integers only: codes of the input B in_chans *spatial -> codes of the last norm B N C."""
        x = self.embed(patches(codes, self.config.patch))  # B n C
        prefix = torch.zeros_like(x[:, :1]).expand(-1, self.config.prefix, -1)
        x = integers.clip(torch.cat((prefix, x), dim=1) + self.places, STREAM_BITS)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def forward_head(self, features: Features) -> Tensor:
        """As that of a ViT."""
        return ViT.forward_head(self, features)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits; else as `forward_head(forward_features(x))`."""
        if self.logits is None:
            return self.forward_head(self.forward_features(x))
        return (self.run_logits(self.codes(x)) * self.logit_scale).to(x.dtype)


def patches(x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """B C *spatial -> B N C prod(patch), in the order of a convolution's weights."""
    axes = len(patch)
    shape = [part for size, step in zip(x.shape[2:], patch, strict=True) for part in (size // step, step)]
    x = x.reshape(*x.shape[:2], *shape)  # -> B C g1 p1 g2 p2 ...
    order = [0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2)]
    return x.permute(order).flatten(1, axes).flatten(2)  # -> B g1 g2 ... C p1 p2 ... -> B N C prod(patch)


def observe(vit: ViT, inputs: Sequence[Tensor]) -> dict[str, float]:
    """The largest sizes of all activations that become codes, by place."""
    seen: dict[str, float] = {}

    def note(name: str, x: Tensor) -> None:
        seen[name] = max(seen.get(name, 0.0), float(x.abs().max()))

    def watch(module: nn.Module, name: str, *, given: str = "") -> Any:
        def see(_: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if given:
                note(given, args[0])
            if name in ("q", "k", "v") or name.endswith(".qkv"):
                for part, letter in zip(out.chunk(3, dim=-1), "qkv", strict=True):
                    note(f"{name.removesuffix('qkv')}{letter}", part)
            elif name:
                note(name, out)

        return module.register_forward_hook(see)

    hooks = [watch(vit.patch_embed.proj, "", given="input"), watch(vit.norm, "norm", given="stream")]
    for index, block in enumerate(vit.blocks):
        parts: Any = block
        hooks += [
            watch(parts.norm1, f"{index}.norm1", given="stream"), watch(parts.norm2, f"{index}.norm2", given="stream"),
            watch(parts.attn.qkv, f"{index}.qkv"), watch(parts.attn.proj, "", given=f"{index}.mixed"),
            watch(parts.mlp.fc2, "", given=f"{index}.active"),
        ]  # fmt: skip
    if isinstance(vit.head, nn.Linear):
        hooks.append(watch(vit.head, "head"))
    for x in inputs:
        vit(x)
    for hook in hooks:
        hook.remove()
    return seen


def _check(vit: ViT) -> None:
    """UsageError for what has no integer form here."""
    config = vit.config
    wrong = [
        what
        for what, found in {
            "rotary positions": vit.rotation(config.grid) is not None, "qk_norm": config.qk_norm,
            "a reducer": config.reducer != "none", "a norm that is no LayerNorm": config.norm != "layernorm",
            "an MLP other than GELU's": config.mlp != "mlp" or config.act != "gelu" or config.mlp_norm,
            "attention other than softmax": config.attention != "softmax" or config.attn_norm,
            "a norm before the blocks": config.pre_norm, "no norm at the end": not config.final_norm,
            "a convolutional stem": config.embed != "linear",
        }.items()
        if found
    ]  # fmt: skip
    if wrong:
        raise UsageError(f"ivit has no integer form of a ViT with {', '.join(wrong)}", hint="another method")


def _plain(norm: nn.Module) -> nn.LayerNorm:
    assert isinstance(norm, nn.LayerNorm)
    return norm


def _thirds(bias: Tensor | None) -> Sequence[Tensor | None]:
    return (None, None, None) if bias is None else bias.chunk(3)


def _scaled(linear: nn.Linear, scale: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias with the LayerScale behind them folded in."""
    gamma = getattr(scale, "gamma", None)
    if gamma is None:
        return linear.weight, linear.bias
    return linear.weight * gamma[:, None], None if linear.bias is None else linear.bias * gamma


def _pair(ratio: float) -> Tensor:
    """(multiplier, shift) of one factor."""
    return torch.stack(dyadic(torch.tensor(ratio, dtype=torch.float64)))
