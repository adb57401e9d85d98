"""Letting a cancel end what somebody else's network computes, in its midst."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def looking(network: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Call check, which may raise to cancel, before each part of the network that runs inside the block.

    The network is afterwards as before, also where check has raised.
    """
    hooks = [part.register_forward_pre_hook(lambda *_: check()) for part in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
