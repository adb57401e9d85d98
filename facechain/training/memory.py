"""Which activations a step keeps for its backward pass, and which it computes again, as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

ROOM = 0.6  # of the free memory; the rest is for the backward pass's own work


def kept_bytes(
    forward: Callable[[], torch.Tensor], networks: Sequence[nn.Module], blocks: Sequence[nn.Module]
) -> tuple[list[int], int]:
    """Run forward once: the bytes that each block keeps for the backward pass, and what is kept outside of them.

    Nothing is really kept, so that it takes no more memory than drawing. networks: whose weights do not count,
    for they are there anyway.
    """
    kept, current = [0] * (len(blocks) + 1), [len(blocks)]
    weights = {weight.untyped_storage().data_ptr() for network in networks for weight in network.parameters()}
    seen: dict[int, StorageWeakRef] = {}  # the references keep an address from being given away again

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and storage._cdata not in seen:
            seen[storage._cdata] = StorageWeakRef(storage)
            kept[current[-1]] += storage.nbytes()

    def enter(index: int) -> Callable[..., None]:
        return lambda *_: current.append(index)

    def leave(*_: object) -> None:
        current.pop()

    hooks = [block.register_forward_pre_hook(enter(index)) for index, block in enumerate(blocks)]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    try:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda kept_tensor: kept_tensor):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return kept[:-1], kept[-1]


def computed_again(kept: Sequence[int], rest: int, free: int) -> list[int]:
    """Indices of the blocks whose activations must not be kept, so that a step fits into `free` bytes.

    Those that keep most come first: they are the ones of high resolution and few channels, whose
    bytes cost least time to compute again.
    """
    room, total, chosen = ROOM * free, sum(kept) + rest, []
    for index in sorted(range(len(kept)), key=lambda n: kept[n], reverse=True):
        largest = kept[chosen[0]] if chosen else 0  # a block that is computed again is whole for a moment
        if total + largest <= room:
            break
        chosen.append(index)
        total -= kept[index]
    return sorted(chosen)
