"""`vitapps bench packing`: a ViT on images of mixed sizes, packed, padded and one by one, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.stopwatch import interleaved
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.attention.rotate import Rotation
from vitapps.shared_backbones.models.packed_vit import PackedViT, run_block
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.packing.first_fit import pack

ONE_BY_ONE = "one by one"
PATCH = 16
PATIENCE = 12.0  # wall seconds that the counted calls of one way may take, before the last of them
MIXES = {"photographs and pages": 320.0, "small crops": 64.0}  # pixels of a usual side


@dataclass(frozen=True, kw_only=True, slots=True)
class PackingRow:
    """`seconds` for all images (process CPU time on a CPU), `gain` over one by one, `error`: largest deviation of the
    class tokens from those of one by one."""

    way: str
    seconds: float
    images_per_second: float
    gain: float
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PackingBench:
    """`mix` of sizes; `fill`: share of the places of all sequences that hold a token; `padded_fill` the same of padded
    batches."""

    mix: str
    device: str
    model: str
    threads: int
    images: int
    tokens: int
    shortest: int
    longest: int
    capacity: int
    fill: float
    padded_fill: float
    rows: list[PackingRow]


@torch.inference_mode()
def bench_packing(
    *, options: RunOptions, quick: bool = False, done: Callable[[PackingBench], None] = lambda _: None,
    progress: Progress = null_progress,
) -> list[PackingBench]:  # fmt: skip
    """ViT-Ti/16 (quick) or ViT-S/16 with random weights, rotary positions, on generated sizes: one table a mix, which
    `done` is called with."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if options.device == "auto" else options.device)
    dim, heads, depth = (192, 3, 4) if quick else (384, 6, 12)
    vit = ViT(ViTConfig(dim=dim, heads=heads, depth=depth, pos="rope", pos_prefix=False)).eval().to(device)
    found = []
    for mix, side in MIXES.items():
        sizes = draw_sizes(16 if quick else 48, options.seed, side)
        images = [torch.randn(3, *size, device=device) for size in sizes]
        found.append(_measure(mix, PackedViT(vit), images, quick=quick, progress=progress))
        done(found[-1])
    return found


def _measure(
    mix: str, packed: PackedViT, images: list[Tensor], *, quick: bool, progress: Progress
) -> PackingBench:  # fmt: skip
    vit, device = packed.vit, images[0].device
    lengths = [packed.count_tokens(image) for image in images]
    batch = 4 if quick else 8
    capacity = max(*lengths, batch * sum(lengths) // len(lengths))  # as many tokens a step as a batch has on average
    ways: dict[str, Callable[[], Tensor]] = {
        ONE_BY_ONE: lambda: torch.cat([vit.forward_features(image[None]).class_token() for image in images]),
        "padded": lambda: padded(packed, images, batch),
        "padded, sorted by size": lambda: in_order(images, lengths, lambda some: padded(packed, some, batch)),
        "packed": lambda: torch.cat([item.class_token() for item in packed.forward_features(images, capacity)]),
    }
    with progress.task("measuring", total=None):
        answers = {name: way() for name, way in ways.items()}  # the calls that are not counted
        seconds = interleaved(ways, rounds=3, device=device, warm=False, patience=PATIENCE)
    errors = {name: float((answer - answers[ONE_BY_ONE]).abs().max()) for name, answer in answers.items()}
    rows = [
        PackingRow(
            way=name,
            seconds=taken,
            images_per_second=len(images) / taken,
            gain=seconds[ONE_BY_ONE] / taken,
            error=errors[name],
        )
        for name, taken in seconds.items()
    ]
    return PackingBench(
        mix=mix,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        model=f"ViT of {vit.config.depth} blocks, {vit.config.dim} channels, patch {PATCH}",
        threads=torch.get_num_threads(),
        images=len(images),
        tokens=sum(lengths),
        shortest=min(lengths),
        longest=max(lengths),
        capacity=capacity,
        fill=pack(lengths, capacity).fill,
        padded_fill=_padded_fill(lengths, batch),
        rows=rows,
    )


def draw_sizes(count: int, seed: int, usual: float = 320.0) -> list[tuple[int, int]]:
    """Heights and widths as in a collection of photographs, pages or crops: log-normal area around `usual` squared,
    log-normal aspect ratio; multiples of the patch from a fifth of `usual` to 2.4 times it, at least one patch."""
    generator = np.random.default_rng(seed)
    side = usual * np.exp(generator.normal(0, 0.4, count))
    least, most = max(1, round(usual / 5 / PATCH)), round(2.4 * usual / PATCH)
    aspect = np.exp(generator.normal(0, 0.35, count) / 2)
    heights, widths = (
        np.clip(np.rint(x / PATCH), least, most).astype(int) * PATCH for x in (side * aspect, side / aspect)
    )
    return [(int(height), int(width)) for height, width in zip(heights, widths, strict=True)]


def padded(packed: PackedViT, images: Sequence[Tensor], batch: int) -> Tensor:
    """Batches of `batch` images, each padded to the longest of its batch, whose padding no token attends to: the class
    tokens, K C."""
    found = [_padded_batch(packed, images[start : start + batch]) for start in range(0, len(images), batch)]
    return torch.cat(found)


def in_order(images: Sequence[Tensor], lengths: list[int], run: Callable[[Sequence[Tensor]], Tensor]) -> Tensor:
    """Run the images from the shortest to the longest, and give the results back in the order of `images`."""
    order = sorted(range(len(images)), key=lambda number: lengths[number])
    out = run([images[number] for number in order])
    return out[torch.tensor(order, device=out.device).argsort()]


def _padded_batch(packed: PackedViT, images: Sequence[Tensor]) -> Tensor:
    vit = packed.vit
    parts = [packed.embed([image]) for image in images]
    longest = max(part.tokens.shape[1] for part in parts)

    def pad(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (0, 0, 0, longest - x.shape[-2]))  # ... n C -> ... longest C

    x = torch.cat([pad(part.tokens) for part in parts])  # B N C
    ropes = [part.rope for part in parts if part.rope is not None]
    cos, sin = (torch.stack([pad(table) for table in tables])[:, None] for tables in zip(*ropes, strict=True))
    lengths = torch.tensor([[part.tokens.shape[1]] for part in parts], device=x.device)
    real = torch.arange(longest, device=x.device) < lengths  # B N
    bias = torch.zeros(real.shape, device=x.device).masked_fill(~real, -torch.inf)[:, None, None]  # B N -> B 1 1 N
    for block in vit.blocks:
        x = run_block(block, x, rope=Rotation(cos, sin), bias=bias)
    out: Tensor = vit.norm(x)[:, 0]  # B N C -> B C
    return out


def _padded_fill(lengths: list[int], batch: int) -> float:
    batches = [lengths[start : start + batch] for start in range(0, len(lengths), batch)]
    return sum(lengths) / sum(max(part) * len(part) for part in batches)
