"""A Swin encoder of MONAI (the one of Swin UNETR) with its windows in `attend`.

The weights and the rest of the network stay MONAI's; only its partition, roll, bias and mask are replaced by one call
that does all of it by address (Swin, Liu et al. 2021, section 3.2 and eq. 4; in 3-D, Swin UNETR, Hatamizadeh et al.
2022).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.attention.options import Window


def attend_in_swin(encoder: nn.Module) -> int:
    """Replace the windows of every block of `encoder` (`monai.networks.nets.swin_unetr.SwinTransformer`, in place); the
    number of blocks. For inference: dropout of the attention is left out. Grids that are no larger than a window keep
    MONAI's own path, which has no window to cut there."""
    blocks = [module for module in encoder.modules() if type(module).__name__ == "SwinTransformerBlock"]
    for block in blocks:
        whole: Any = block
        whole.forward_part1 = partial(_windows, whole, whole.forward_part1)
    return len(blocks)


def _windows(block: Any, original: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    """Norm and windowed attention of a block: B *grid C -> B *grid C."""
    grid, size = tuple(x.shape[1:-1]), tuple(block.window_size)
    if any(length <= width for length, width in zip(grid, size, strict=True)):
        out: Tensor = original(x, mask)
        return out
    rest = [-length % width for length, width in zip(grid, size, strict=True)]
    y: Tensor = functional.pad(block.norm1(x), [0, 0, *(side for short in reversed(rest) for side in (0, short))])
    window = Window(
        grid=tuple(y.shape[1:-1]), size=size, shift=tuple(block.shift_size),
        table=block.attn.relative_position_bias_table,
    )  # fmt: skip
    y = _attention(block.attn, y.flatten(1, -2), window).unflatten(1, window.grid)  # B N C -> B *padded C
    for axis, length in enumerate(grid, start=1):
        y = y.narrow(axis, 0, length)  # -> B *grid C
    return y


def _attention(attention: Any, x: Tensor, window: Window) -> Tensor:
    """qkv, windows, projection: B N C -> B N C."""
    qkv = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1))  # B N 3 h d
    q, k, v = torch.unbind(qkv.permute(2, 0, 3, 1, 4))  # three of B h N d
    mixed = attend(q, k, v, window=window, scale=attention.scale)[0]
    out: Tensor = attention.proj(mixed.transpose(1, 2).flatten(2))  # B h N d -> B N C
    return out
