"""Settings of a training, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import TrainingError

Preset = Literal["fast", "balanced", "best"]
Layers = Literal["attention", "attention+feed-forward"]

# Steps a photo at batch 1. FaceChain v3.0.0: 200.
STEPS_PER_PHOTO: dict[str, int] = {"fast": 100, "balanced": 200, "best": 300}


@dataclass(frozen=True)
class TrainConfig:
    """All that decides what a training makes of a person and a model; "FaceChain" marks v3.0.0's own numbers.

    preset, steps: steps in all, or 0 for the preset's number a photo.
    resolution: pixels of a side of the training pictures, a multiple of 64, or 0 for the size of the person's pictures.
    batch_size: pictures in a step (FaceChain: 1).
    rank, alpha: of the LoRA; alpha 0 means rank, which scales by 1. FaceChain's rank is 4, on top of a face LoRA
        that was never released; its v1.0.0, which began from nothing as we do, had 32, and users found it more alike.
    learning_rate: peak; cosine to 0, no warm-up (FaceChain: 1.5e-4).
    betas, weight_decay, epsilon: of AdamW (FaceChain). max_gradient_norm: clipping (FaceChain: 1.0).
    crops_per_photo: how many augmented crops of a photo are encoded up front, half of them flipped.
        FaceChain encodes a new crop each step, which costs more than the step's own work on small models.
    face_share: bounds of the face's part of a crop's width; face_height: bounds of the place of its
        middle in the crop, from the top (FaceChain: U(0.35, 0.45), U(0.35, 0.50)).
    flip: mirror half of the crops (FaceChain: on).
    layers: which layers of the diffusion model get an adapter (FaceChain: attention). The text encoder is not
        trained; FaceChain passes ranks for it but never switches it on.
    checkpointing: compute activations twice instead of keeping them; does not change the result.
    """

    preset: Preset = "balanced"
    steps: int = 0
    resolution: int = 0
    batch_size: int = 1
    rank: int = 32
    alpha: int = 0
    learning_rate: float = 1.5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    epsilon: float = 1e-8
    max_gradient_norm: float = 1.0
    crops_per_photo: int = 16
    face_share: tuple[float, float] = (0.35, 0.45)
    face_height: tuple[float, float] = (0.35, 0.50)
    flip: bool = True
    layers: Layers = "attention"
    checkpointing: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        _check(self.preset in STEPS_PER_PHOTO, f"the preset {self.preset!r} is unknown", "Use fast, balanced or best")
        _check(
            self.layers in ("attention", "attention+feed-forward"),
            f"layers {self.layers!r} are unknown",
            "Use attention",
        )
        _check(
            0 <= self.steps <= 100_000,
            f"{self.steps} steps are not possible",
            "Set steps to 0 (as the preset says) or 1 to 100000",
        )
        _check(
            self.resolution == 0 or (64 <= self.resolution <= 4096 and self.resolution % 64 == 0),
            f"a resolution of {self.resolution} is not possible",
            "Set resolution to 0 (as the photos are) or a multiple of 64 from 64 to 4096",
        )
        _check(1 <= self.batch_size <= 256, f"a batch size of {self.batch_size} is not possible", "Use 1 to 256")
        _check(1 <= self.rank <= 1024, f"a rank of {self.rank} is not possible", "Use 4 to 128")
        _check(
            self.alpha >= 0,
            f"an alpha of {self.alpha} is not possible",
            "Use 0, which means the rank",
        )
        _check(
            0 < self.learning_rate <= 1, f"a learning rate of {self.learning_rate} is not possible", "Use about 0.00015"
        )
        _check(self.max_gradient_norm > 0, f"a gradient norm of {self.max_gradient_norm} is not possible", "Use 1.0")
        _check(self.weight_decay >= 0, f"a weight decay of {self.weight_decay} is not possible", "Use 0.01")
        _check(self.crops_per_photo >= 1, f"{self.crops_per_photo} crops a photo are not possible", "Use 16")
        _check(self.seed >= 0, f"the seed {self.seed} is not possible", "Use 0 or more")
        for name, (low, high) in (("face_share", self.face_share), ("face_height", self.face_height)):
            _check(
                0 < low <= high < 1,
                f"{name} {low} to {high} is not possible",
                "Use two numbers between 0 and 1, the smaller first",
            )

    def steps_for(self, photos: int) -> int:
        """Optimiser steps in all for that many photos."""
        return self.steps or math.ceil(STEPS_PER_PHOTO[self.preset] * photos / self.batch_size)

    def resolution_for(self, size: int) -> int:
        """Pixels of a side of the training pictures, for aligned photos of that size."""
        return self.resolution or max(64, size // 64 * 64)

    @property
    def scale_alpha(self) -> int:
        """Alpha as LoRA files hold it: the adapter's product counts alpha / rank."""
        return self.alpha or self.rank

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def decisive(self, photos: int, size: int) -> dict[str, Any]:
        """The settings that change the result for that many photos of that size: what its hash is made of."""
        kept = {key: value for key, value in self.as_dict().items() if key not in ("preset", "checkpointing")}
        return kept | {
            "steps": self.steps_for(photos),
            "resolution": self.resolution_for(size),
            "alpha": self.scale_alpha,
        }


def config_from(preset: str, **chosen: Any) -> TrainConfig:
    """The preset with the chosen settings; a setting of 0 or None is as the preset says (except the seed)."""
    kept = {key: value for key, value in chosen.items() if value or key == "seed"}
    return TrainConfig(preset=preset, **kept)  # type: ignore[arg-type]


def _check(fine: bool, problem: str, remedy: str) -> None:
    if not fine:
        raise TrainingError(problem, remedy)
