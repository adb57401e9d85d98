"""What a block's second pass need not compute again.

A block that keeps only its input for the backward pass is run twice. The outputs of its convolutions, attentions
and, on the CPU, wide linear layers are a small part of what it would keep otherwise, and most of the second pass's
time: they are kept from the first.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

import torch

Tensors = tuple[torch.Tensor, ...]

_here = threading.local()  # the backward pass, and so the second run of a block, has a thread of its own on a card


class Recall:
    """Outputs of the layers of one block, from its first pass to its second, in the order of the passes."""

    def __init__(self) -> None:
        self._outputs: deque[list[tuple[torch.Tensor, int]]] = deque()
        self._again = False

    @property
    def nbytes(self) -> int:
        """Of all that is kept now."""
        return sum(tensor.untyped_storage().nbytes() for kept in self._outputs for tensor, _ in kept)

    @contextlib.contextmanager
    def next_pass(self) -> Iterator[None]:
        """Inside it `recalled` keeps what it computes, and from the second pass on gives that back."""
        outer, _here.recall = getattr(_here, "recall", None), self
        try:
            yield
        finally:
            _here.recall, self._again = outer, True

    def outputs(self, compute: Callable[[], Tensors]) -> Tensors:
        if not self._again:
            out = compute()
            self._outputs.append([(tensor.detach(), tensor._version) for tensor in out])
            return out
        kept = self._outputs.popleft() if self._outputs else []
        # a block may go on in place on what a layer gave
        usable = kept and all(tensor._version == version for tensor, version in kept)
        return tuple(tensor for tensor, _ in kept) if usable else compute()


def recalled(compute: Callable[[], Tensors]) -> Tensors:
    """compute(), or what it gave at this place in the block's first pass."""
    recall: Recall | None = getattr(_here, "recall", None)
    return compute() if recall is None else recall.outputs(compute)
