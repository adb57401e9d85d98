"""Whether a step's activations fit into memory, measured in one forward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

ROOM = 0.6  # of the free memory; the rest is for the backward pass's own work


class _TooMuchError(Exception):
    pass


def activations_fit(forward: Callable[[], torch.Tensor], network: nn.Module, free: int) -> bool:
    """Run forward once, and say whether what it keeps for the backward pass fits into `free` bytes.

    It ends as soon as it does not. network: whose weights do not count, for they are there anyway.
    """
    limit, kept = ROOM * free, 0
    counted = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            kept += storage.nbytes()
        if kept > limit:
            raise _TooMuchError
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            forward()
    except (_TooMuchError, torch.cuda.OutOfMemoryError):
        return False
    return True
