"""What Training Options hands to Train Person LoRA."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class ClassPictures:
    """Pictures of others of the person's kind, [N, H, W, 3] float 0..1, which the model must go on drawing as before."""

    images: torch.Tensor

    @property
    def hash(self) -> str:
        """sha256 (hex) over the pictures in steps of 1/255."""
        pixels = (self.images.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).contiguous()
        return hashlib.sha256(repr(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Options:
    """settings: of a TrainConfig, by name. others: class pictures for prior_weight."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    others: ClassPictures | None = None
