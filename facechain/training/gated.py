"""The gate of a transformer's feed-forward layer, which keeps only its input for the backward pass.

Its intermediate results are some of the largest of a network: on the CPU, to be given new memory for them takes longer
than to compute them, so there they are computed a few rows at a time, in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu

CACHED = 2**18  # numbers of an intermediate result at once


@dataclass(frozen=True, eq=False)
class Gated:
    """The forward pass of a GEGLU layer, whose proj gives values and, beside them, their gates."""

    layer: Any

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        both = self.layer.proj(x)
        if both.device.type == "cpu":
            return _Gate.apply(both)  # type: ignore[no-any-return]
        values, gates = both.chunk(2, dim=-1)
        return values * gelu(gates)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        out = both.new_empty(*both.shape[:-1], both.shape[-1] // 2)
        for (values, gates), some in zip(_halves(both), _rows(out), strict=True):
            torch.mul(values, gelu(gates), out=some)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (both,) = ctx.saved_tensors
        to_both = both.new_empty(both.shape)  # in the order of its rows, whatever that of both is
        parts = zip(_halves(both), _halves(to_both), _rows(gradient), strict=True)
        for (values, gates), (to_values, to_gates), some in parts:
            torch.mul(some, gelu(gates), out=to_values)
            torch.ops.aten.gelu_backward.grad_input(some * values, gates, grad_input=to_gates)
        return to_both


def _rows(x: torch.Tensor) -> Iterator[torch.Tensor]:
    rows = x.reshape(-1, x.shape[-1])
    return iter(rows.split(max(CACHED // x.shape[-1], 1)))


def _halves(both: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Values and gates, as many rows at once as _rows gives of one of them."""
    rows = both.reshape(-1, both.shape[-1])
    return (part.chunk(2, dim=-1) for part in rows.split(max(CACHED // (both.shape[-1] // 2), 1)))
