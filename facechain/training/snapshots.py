"""The adapters as they were after some step, and the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .network import Adapter

Half = torch.Tensor
DTYPE = torch.float16  # as in the LoRA file: what is looked at is what is written


@dataclass(frozen=True, eq=False)
class Snapshot:
    """halves: (down, up) of each adapter in their order, float16 on the CPU. step: after which they were taken."""

    step: int
    halves: list[tuple[Half, Half]]

    @property
    def is_finite(self) -> bool:
        return all(bool(half.isfinite().all()) for halves in self.halves for half in halves)


def take(step: int, adapters: Sequence[Adapter]) -> Snapshot:
    return Snapshot(step, [(_kept(adapter.down), _kept(adapter.up)) for adapter in adapters])


def restore(snapshot: Snapshot, adapters: Sequence[Adapter]) -> None:
    """Bring the adapters back to the snapshot, in place."""
    with torch.no_grad():
        for adapter, (down, up) in zip(adapters, snapshot.halves, strict=True):
            adapter.down.copy_(down)
            adapter.up.copy_(up)


def mean(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The snapshot whose products up @ down come nearest to the mean of the others' products, at their rank.

    Nearest in the least squares: it is the mean itself where that has no higher rank. Its step is the last one's.
    """
    layers = zip(*(snapshot.halves for snapshot in snapshots), strict=True)
    return Snapshot(max(s.step for s in snapshots), [mean_product(list(halves)) for halves in layers])


def mean_product(halves: Sequence[tuple[Half, Half]]) -> tuple[Half, Half]:
    """(down [r, inputs, ...], up [outputs, r, ...]) of the mean of up @ down, cut down to rank r.

    The factors are put side by side; the singular values of their product are those of the small middle
    between two QR decompositions, so the whole matrix is never made.
    """
    down_shape, up_shape = halves[0][0].shape, halves[0][1].shape
    rank = down_shape[0]
    downs = torch.cat([down.float().flatten(1) for down, _ in halves])
    ups = torch.cat([up.float().flatten(1) for _, up in halves], 1) / len(halves)
    left, left_middle = torch.linalg.qr(ups)
    right, right_middle = torch.linalg.qr(downs.T)
    u, values, v = torch.linalg.svd(left_middle @ right_middle.T, full_matrices=False)
    kept = min(rank, len(values))
    root = values[:kept].sqrt()
    down, up = torch.zeros(rank, downs.shape[1]), torch.zeros(ups.shape[0], rank)
    down[:kept] = root[:, None] * (v[:kept] @ right.T)
    up[:, :kept] = left @ u[:, :kept] * root
    return down.reshape(down_shape).to(DTYPE), up.reshape(up_shape).to(DTYPE)


def _kept(half: torch.Tensor) -> Half:
    return half.detach().to("cpu", DTYPE, copy=True)
