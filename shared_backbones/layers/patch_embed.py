"""Patch embedding of images, volumes and clips: the number of axes is the length of `patch`."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError

Embed = Literal["linear", "stem"]
_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class PatchEmbed(nn.Module):
    """B in_chans *spatial -> (B N dim, grid), N = prod(grid) in row-major order.

    `embed` "linear" is one convolution of stride `patch` (ViT, Dosovitskiy et al. 2021, eq. 1); "stem" are 3-wide
    convolutions of stride 2 with norm and GELU down to the same stride (Xiao et al. 2021, arXiv:2106.14881; group norm
    in place of batch norm: windows of one scan are no independent batch), then a 1-wide projection.
    """

    def __init__(
        self,
        in_chans: int,
        dim: int,
        patch: tuple[int, ...],
        *,
        embed: Embed = "linear",
        bias: bool = True,
        dynamic_pad: bool = False,
    ) -> None:
        super().__init__()
        if len(patch) not in _CONV:
            raise UsageError(f"patch {patch} has {len(patch)} axes", hint="1, 2 or 3 axes are possible")
        self.patch, self.in_chans, self.dynamic_pad = patch, in_chans, dynamic_pad
        if embed == "stem":
            self.proj: nn.Module = conv_stem(in_chans, dim, patch)
        else:
            conv = _CONV[len(patch)]
            self.proj = conv(in_chans, dim, patch, patch, bias=bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        x = self._fit(x)
        y = self.proj(x)  # B in_chans *spatial -> B dim *grid
        return y.flatten(2).transpose(1, 2), tuple(y.shape[2:])  # -> B N dim

    def _fit(self, x: Tensor) -> Tensor:
        """Check the input; with `dynamic_pad`, zeros at the end of each axis up to whole patches."""
        if x.ndim != len(self.patch) + 2 or x.shape[1] != self.in_chans:
            wanted = f"B {self.in_chans} and {len(self.patch)} spatial axes"
            raise UsageError(f"input of shape {tuple(x.shape)}, the model takes {wanted}", hint="check axes and bands")
        missing = [-size % step for size, step in zip(x.shape[2:], self.patch, strict=True)]
        if not any(missing):
            return x
        if not self.dynamic_pad:
            raise UsageError(
                f"input size {tuple(x.shape[2:])} is not a multiple of the patch {self.patch}",
                hint="pad or resize the input, or set dynamic_pad=True",
            )
        return functional.pad(x, [side for amount in reversed(missing) for side in (0, amount)])


def conv_stem(in_chans: int, dim: int, patch: tuple[int, ...]) -> nn.Sequential:
    """Stride-2 convolutions whose strides multiply to `patch` (powers of two); widths double up to `dim`."""
    if any(size & (size - 1) or size < 1 for size in patch) or max(patch) == 1:
        raise UsageError(f"embed 'stem' cannot reach patch {patch}", hint="use powers of two, or embed='linear'")
    conv = _CONV[len(patch)]
    steps = int(math.log2(max(patch)))
    layers: list[nn.Module] = []
    width_in = in_chans
    for step in range(steps):
        stride = tuple(2 if size >> step > 1 else 1 for size in patch)
        width = max(8, dim >> (steps - 1 - step))
        layers.append(conv(width_in, width, 3, stride, 1, bias=False))  # type: ignore[arg-type]
        layers += [nn.GroupNorm(1, width), nn.GELU()]
        width_in = width
    return nn.Sequential(*layers, conv(width_in, dim, 1))
