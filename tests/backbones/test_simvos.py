"""SimVOS: the mask is all that tells the object, frames keep apart at first, prototypes stand for a frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.simvos import SimVos, SimVosConfig, frame_example
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CONFIG = SimVosConfig(size=(32, 48), patch=8, dim=32, depth=3, heads=2, within=1)


def made(**changes: object) -> SimVos:
    torch.manual_seed(0)
    return SimVos(replace(CONFIG, **changes)).eval()  # type: ignore[arg-type]


def drawn(references: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, reference = (
        torch.rand(2, 3, 32, 48, generator=generator),
        torch.rand(2, references, 3, 32, 48, generator=generator),
    )
    mask = torch.zeros(2, references, 1, 32, 48)
    mask[..., 8:24, 4:20] = 1.0
    return query, reference, mask


def test_one_tensor_is_taken_apart() -> None:
    module = made()
    query, reference, mask = drawn()
    joined = torch.cat([query, torch.zeros(2, 1, 32, 48), torch.cat([reference, mask], dim=2).flatten(1, 2)], dim=1)
    with torch.inference_mode():
        assert torch.equal(module(joined), module.segment(query, reference, mask))
        assert module(joined).shape == (2, 1, 32, 48)
        assert module(frame_example(CONFIG)).shape == (1, 1, 32, 48)


@pytest.mark.parametrize("prototypes", [0, 4])
def test_without_the_masks_patches_nothing_knows_the_object(prototypes: int) -> None:
    module = made(prototypes=prototypes)
    query, reference, mask = drawn()
    with torch.inference_mode():
        assert (module.segment(query, reference, mask) - module.segment(query, reference, 1 - mask)).abs().max() > 1e-4
        module.mask_embed.proj.weight.zero_()
        if prototypes:  # refinement looks at the mask as well
            return
        same = module.segment(query, reference, mask), module.segment(query, reference, 1 - mask)
    assert torch.allclose(*same, atol=1e-6)


def test_frames_keep_apart_in_the_first_blocks() -> None:
    query, reference, mask = drawn()
    other = reference + torch.rand(reference.shape, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        for within, apart in ((3, True), (1, False)):
            module = made(within=within)
            found = module.query_tokens(query, reference, mask), module.query_tokens(query, other, mask)
            assert torch.equal(*found) == apart


def test_prototypes_of_the_object_come_from_the_object() -> None:
    module = made(prototypes=4)
    assert module.refine is not None
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(2, 1, 24, 32, generator=generator)
    share = torch.zeros(2, 1, 24)
    share[..., :6] = 1.0
    changed = tokens.clone()
    changed[..., 6:, :] += 3  # the background alone
    with torch.inference_mode():
        before, after = module.refine(tokens, share), module.refine(changed, share)
    assert before.shape == (2, 1, 4, 32)
    assert (before - after)[:, :, :2].abs().max() < 0.02
    assert (before - after)[:, :, 2:].abs().max() > 0.5


def test_prototypes_leave_fewer_tokens() -> None:
    seen: dict[int, int] = {}
    for prototypes in (0, 4):
        module = made(prototypes=prototypes)
        module.blocks[2].register_forward_pre_hook(
            lambda _, args, key=prototypes: seen.__setitem__(key, args[0].shape[1])  # type: ignore[misc]
        )
        with torch.inference_mode():
            module.segment(*drawn())
    assert seen == {0: 24 * 3, 4: 24 + 2 * 4}


def test_it_starts_from_an_image_network() -> None:
    module = made(depth=2)
    source = ViT(ViTConfig(image_size=(48, 48), patch=(8, 8), dim=32, depth=3, heads=2))
    module.take_backbone(source)
    assert torch.equal(module.blocks[1].attn.qkv.weight, source.blocks[1].attn.qkv.weight)
    assert torch.equal(module.patch_embed.proj.weight, source.patch_embed.proj.weight)
    table = source.pos["learned"].table((4, 6))[:, 1:]  # type: ignore[operator]
    assert torch.equal(module.position, table)
    with pytest.raises(UsageError, match="backbone of dim 16"):
        module.take_backbone(ViT(ViTConfig(image_size=(48, 48), patch=(8, 8), dim=16, depth=3, heads=2)))


def test_it_learns_to_follow_the_mask() -> None:
    """Two squares of unlike colours; the query shows them elsewhere, the mask says which is meant."""
    torch.manual_seed(0)
    module = SimVos(SimVosConfig(size=(32, 32), patch=8, dim=32, depth=2, heads=2, within=0)).train()
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)

    def batch(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        frames, masks = torch.full((count, 2, 3, 32, 32), 0.4), torch.zeros(count, 2, 1, 32, 32)
        for number in range(count):
            meant = int(torch.randint(0, 2, (), generator=generator))
            for frame in range(2):
                order = torch.randperm(4, generator=generator)[:2].tolist()
                for colour, cell in enumerate(order):
                    y, x = 16 * (cell // 2), 16 * (cell % 2)
                    frames[number, frame, 2 * colour, y : y + 16, x : x + 16] = 1.0
                    if colour == meant:
                        masks[number, frame, 0, y : y + 16, x : x + 16] = 1.0
        return frames[:, 1], frames[:, :1], masks[:, :1], masks[:, 1]

    for _ in range(100):
        query, reference, mask, wanted = batch(16)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(module.segment(query, reference, mask), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    query, reference, mask, wanted = batch(20)
    with torch.inference_mode():
        found = module.eval().segment(query, reference, mask) > 0
    shared, both = (found & (wanted > 0.5)).sum(), (found | (wanted > 0.5)).sum()
    assert float(shared / both) > 0.7
