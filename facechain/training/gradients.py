"""The gradients of a batch, added to the adapters' parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .loss import Conditions, Noised, loss_of
from .recorded import Recorder


@dataclass(eq=False)
class Gradients:
    """model, options: as loss_of takes them. recorder: of the steps; its records write into the same gradients."""

    model: Any
    options: dict[str, Any]
    parameters: list[nn.Parameter]
    config: TrainConfig
    recorder: Recorder = field(default_factory=lambda: Recorder(False))

    def clear(self) -> None:
        """Forget the gradients."""
        if self.recorder.wanted:  # in place
            kept = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            if kept:
                torch._foreach_zero_(kept)  # pyright: ignore[reportPrivateImportUsage]
            for parameter in self.parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            return
        for parameter in self.parameters:
            parameter.grad = None

    def release(self) -> None:
        """Give back the memory of the gradients and of the records."""
        self.recorder.release()
        for parameter in self.parameters:
            parameter.grad = None

    def add(self, conditions: Conditions, noised: Noised, weight: float) -> torch.Tensor:
        """Add the gradients of weight x loss; returns the loss [], which the next batch may write over."""
        weights = {"weight": torch.full((), weight, device=noised.clean.device)}
        return self.recorder.run(self._add, vars(noised), conditions, weights)

    def _add(self, noised: dict[str, Any], conditions: Conditions, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = loss_of(self.model, conditions, Noised(**noised), self.config, self.options)
        (loss * weights["weight"]).backward()
        return loss.detach()
