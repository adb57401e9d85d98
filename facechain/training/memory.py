"""Which activations a step keeps for its backward pass, and which it computes again, as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from .recall import Recall

ROOM = 0.6  # of the free memory; the rest is for the backward pass's own work


@dataclass(frozen=True)
class Kept:
    """Bytes that a block keeps for the backward pass: all, or of these only what Recall keeps where it is run again."""

    whole: int
    again: int = 0

    @property
    def saved(self) -> int:
        """What is not kept where the block is run again."""
        return self.whole - self.again


def kept_bytes(
    forward: Callable[[], torch.Tensor], networks: Sequence[nn.Module], blocks: Sequence[nn.Module]
) -> tuple[list[Kept], int]:
    """Run forward once: what each block keeps for the backward pass, and the bytes that are kept outside of them.

    Nothing is really kept beyond a block, so that it takes little more memory than drawing. networks: whose weights
    do not count, for they are there anyway.
    """
    kept, again, current = [0] * (len(blocks) + 1), [0] * len(blocks), [len(blocks)]
    weights = {weight.untyped_storage().data_ptr() for network in networks for weight in network.parameters()}
    seen: dict[int, StorageWeakRef] = {}  # the references keep an address from being given away again

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and storage._cdata not in seen:
            seen[storage._cdata] = StorageWeakRef(storage)
            kept[current[-1]] += storage.nbytes()

    def counted(index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any, **options: Any) -> Any:
            recall = Recall()
            current.append(index)
            with recall.next_pass():
                out = forward(*inputs, **options)
            current.pop()
            again[index] += recall.nbytes
            return out

        return run

    own = [vars(block).get("forward") for block in blocks]
    for index, block in enumerate(blocks):
        block.forward = counted(index, block.forward)  # type: ignore[method-assign]
    try:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda kept_tensor: kept_tensor):
            forward()
    finally:
        for block, forward_of_block in zip(blocks, own, strict=True):
            del block.forward
            if forward_of_block is not None:
                block.forward = forward_of_block  # type: ignore[method-assign]
    return [Kept(*both) for both in zip(kept[:-1], again, strict=True)], kept[-1]


def computed_again(kept: Sequence[Kept], rest: int, free: int) -> list[int]:
    """Indices of the blocks whose activations must not be kept, so that a step fits into `free` bytes.

    Those that save most come first: they are the ones of high resolution and few channels, whose
    bytes cost least time to compute again.
    """
    room, total, chosen = ROOM * free, sum(block.whole for block in kept) + rest, []
    for index in sorted(range(len(kept)), key=lambda n: kept[n].saved, reverse=True):
        largest = kept[chosen[0]].saved if chosen else 0  # a block that is computed again is whole for a moment
        if total + largest <= room or kept[index].saved <= 0:
            break
        chosen.append(index)
        total -= kept[index].saved
    return sorted(chosen)
