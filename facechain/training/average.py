"""A moving average of the adapters, which jumps about less than they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The exponential moving average of parameters. decay: how much of it stays at each step, 0..1.

    In the first steps less stays, as in TensorFlow's and diffusers' averages: (1 + n) / (10 + n) at step n,
    so that the beginning is soon forgotten.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters, self._decay, self.updates = list(parameters), decay, 0
        self.values = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters in as they are after a step."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self.values, [p.detach() for p in self._parameters], self.updates)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The parameters hold the average."""
        own = [parameter.detach().clone() for parameter in self._parameters]
        self._set(self.values)
        try:
            yield
        finally:
            self._set(own)

    def take_up(self, values: Sequence[torch.Tensor], updates: int) -> None:
        """Go on from where an earlier run stopped."""
        self.updates = updates
        for own, value in zip(self.values, values, strict=True):
            own.copy_(value)

    @torch.no_grad()
    def _set(self, values: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)
