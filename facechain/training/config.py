"""Settings of a training, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ..errors import TrainingError

Preset = Literal["fast", "balanced", "best"]
Layers = Literal["attention", "feed-forward too", "all"]
Choice = Literal["best", "mean of best", "last"]
Optimizer = Literal["AdamW", "AdamW 8-bit", "Prodigy"]
Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
Checkpointing = Literal["auto", "on", "off"]
CudaGraphs = Literal["auto", "off"]

# Steps a photo at batch 1. FaceChain v3.0.0: 200.
STEPS_PER_PHOTO: dict[str, int] = {"fast": 100, "balanced": 200, "best": 300}
# What ends as the LoRA, and of how many snapshots at most. A snapshot's portraits cost about as much as 16 steps at
# batch 1, so there is none for fewer than IMAGES_PER_SNAPSHOT pictures.
CHOICES: dict[str, Choice] = {"fast": "last", "balanced": "best", "best": "mean of best"}
SNAPSHOTS: dict[str, int] = {"fast": 4, "balanced": 4, "best": 6}
IMAGES_PER_SNAPSHOT = 100

LEARNING_RATE = 1.5e-4  # FaceChain's
PRODIGY_RATE = 1.0  # Prodigy finds the rate by itself; this is a factor on what it finds


@dataclass(frozen=True)
class TrainConfig:
    """All that decides what a training makes of a person and a model; "FaceChain" marks v3.0.0's own numbers.

    preset, steps: steps in all, or 0 for the preset's number a photo.
    resolution: pixels of a side of the training pictures, a multiple of 64, or 0 for the size of the person's pictures.
    batch_size: pictures in a step (FaceChain: 1). accumulation: batches whose gradients are added up in a step.
    rank, alpha: of the LoRA; alpha 0 means rank, which scales by 1. FaceChain's rank is 4, on top of a face LoRA
        that was never released; its v1.0.0, which began from nothing as we do, had 32, and users found it more alike.
    learning_rate: peak (FaceChain: 1.5e-4). schedule: how it falls (FaceChain: cosine). warmup: the part of the
        steps in which it rises from 0 (FaceChain: none).
    betas, weight_decay, epsilon: of AdamW (FaceChain). max_gradient_norm: clipping (FaceChain: 1.0).
    crops_per_photo: how many augmented crops of a photo are encoded up front, half of them flipped.
        FaceChain encodes a new crop each step, which costs more than the step's own work on small models.
    face_share: bounds of the face's part of a crop's width; face_height: bounds of the place of its
        middle in the crop, from the top (FaceChain: U(0.35, 0.45), U(0.35, 0.50)).
    flip: mirror half of the crops (FaceChain: on).
    layers: which layers of the diffusion model get an adapter (FaceChain: attention).
    clip_rate: peak rate of the text encoder's adapters; 0 does not train it (FaceChain passes ranks for it but
        never switches it on).
    head_focus: how much less the loss counts outside the head; 0 all the same, 1 not at all.
    min_snr_gamma: weigh noise levels by min(SNR, gamma) instead of alike; 0 is off, 5 is usual.
    noise_offset: adds a constant to each channel's noise, so that very dark and bright pictures are learnt; 0 is off.
    caption_dropout: the part of the steps that are trained without the caption.
    prior_weight: weight of the loss on class pictures (others of the same kind), where there are any.
    precision: what the network computes in; "auto" is the host's choice.
    checkpointing: compute activations twice instead of keeping them; does not change the result. "auto": where
        they would not fit into memory.
    cuda_graphs: record a step and replay it, on a card that holds the whole model ("auto"); does not change the result.
    choose: what ends as the LoRA: the "last" snapshot, the one whose portraits are "best", or the "mean of best".
    snapshots: how many are taken, evenly over the steps, the last one after the last step; 0: by preset and steps.
    ema: snapshots are of a moving average of the weights, of which this much stays at each step; 0: of the weights.
    """

    preset: Preset = "balanced"
    steps: int = 0
    resolution: int = 0
    batch_size: int = 1
    rank: int = 32
    alpha: int = 0
    learning_rate: float = LEARNING_RATE
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    epsilon: float = 1e-8
    max_gradient_norm: float = 1.0
    crops_per_photo: int = 16
    face_share: tuple[float, float] = (0.35, 0.45)
    face_height: tuple[float, float] = (0.35, 0.50)
    flip: bool = True
    layers: Layers = "attention"
    checkpointing: Checkpointing = "auto"
    seed: int = 42
    accumulation: int = 1
    optimizer: Optimizer = "AdamW"
    schedule: Schedule = "cosine"
    warmup: float = 0.0
    clip_rate: float = 0.0
    head_focus: float = 0.0
    min_snr_gamma: float = 0.0
    noise_offset: float = 0.0
    caption_dropout: float = 0.0
    prior_weight: float = 0.0
    precision: Precision = "auto"
    choose: Choice = "last"
    snapshots: int = 0
    ema: float = 0.0
    cuda_graphs: CudaGraphs = "auto"

    def __post_init__(self) -> None:
        values = vars(self)
        for name, kinds in CHOICES_OF.items():
            value = values[name]
            shown = "choose_snapshot" if name == "choose" else name  # as the node calls it
            _check(value in kinds, f"{shown} {value!r} is unknown", f"Use one of: {', '.join(kinds)}")
        for name, (low, high, remedy) in BOUNDS.items():
            value = values[name]
            _check(low <= value <= high, f"{name} {value:g} is not possible", f"Use {remedy}")
        _check(
            self.resolution == 0 or (64 <= self.resolution <= 4096 and self.resolution % 64 == 0),
            f"a resolution of {self.resolution} is not possible",
            "Set resolution to 0 (as the photos are) or a multiple of 64, such as 512",
        )
        _check(self.learning_rate > 0, f"a learning rate of {self.learning_rate} is not possible", "Use about 0.00015")
        for name, (low, high) in (("face_share", self.face_share), ("face_height", self.face_height)):
            _check(
                0 < low <= high < 1,
                f"{name} {low} to {high} is not possible",
                "Use two numbers between 0 and 1, the smaller first",
            )
        _check(
            self.optimizer != "Prodigy" or self.learning_rate >= 0.1,
            f"Prodigy finds its rate by itself, and learning_rate {self.learning_rate:g} would hold it down",
            "Set learning_rate to 0 (which means 1 here), or choose AdamW",
        )
        _check(
            self.optimizer != "Prodigy" or self.clip_rate in (0, self.learning_rate),
            f"Prodigy finds one rate for all, and clip_rate {self.clip_rate:g} is another than learning_rate "
            f"{self.learning_rate:g}",
            f"Set clip_rate to {self.learning_rate:g} (or 0, which leaves the text encoder alone), or choose AdamW",
        )

    def steps_for(self, photos: int) -> int:
        """Optimiser steps in all for that many photos."""
        per_step = self.batch_size * self.accumulation
        return self.steps or math.ceil(STEPS_PER_PHOTO[self.preset] * photos / per_step)

    def check_steps(self, photos: int) -> None:
        """Raises TrainingError where the steps are too few to show each of that many photos once."""
        steps, per_step = self.steps_for(photos), self.batch_size * self.accumulation
        _check(
            steps * per_step >= photos,
            f"{photos} photos cannot each be shown once in {steps} step(s) of {per_step} picture(s)",
            f"Set steps to 0 (as the preset says) or to at least {math.ceil(photos / per_step)}",
        )

    def resolution_for(self, size: int) -> int:
        """Pixels of a side of the training pictures, for aligned photos of that size."""
        return self.resolution or max(64, size // 64 * 64)

    @property
    def scale_alpha(self) -> int:
        """Alpha as LoRA files hold it: the adapter's product counts alpha / rank."""
        return self.alpha or self.rank

    def snapshots_for(self, photos: int) -> int:
        """How many snapshots are taken for that many photos."""
        if self.snapshots or self.choose == "last":
            return self.snapshots or 1
        images = self.steps_for(photos) * self.batch_size * self.accumulation
        return min(max(images // IMAGES_PER_SNAPSHOT, 1), SNAPSHOTS[self.preset])

    def compares(self, photos: int) -> bool:
        """Whether snapshots are compared; else the last one is the result."""
        return self.choose != "last" and self.snapshots_for(photos) > 1

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def decisive(self, photos: int, size: int) -> dict[str, Any]:
        """The settings that change the result for that many photos of that size: what its hash is made of.

        Settings of later versions count only where they are used, so that LoRAs of older versions are found again.
        """
        defaults = {field.name: field.default for field in fields(self)}
        unused = {"preset", "checkpointing", "cuda_graphs", "snapshots"} | (
            {"choose"} if not self.compares(photos) else set()
        )
        kept = {
            key: value
            for key, value in self.as_dict().items()
            if key not in unused and not (key in LATER and value == defaults[key])
        }
        counted = {"snapshots": self.snapshots_for(photos)} if self.compares(photos) else {}
        return kept | {
            **counted,
            "steps": self.steps_for(photos),
            "resolution": self.resolution_for(size),
            "alpha": self.scale_alpha,
        }


CHOICES_OF: dict[str, tuple[str, ...]] = {
    "preset": get_args(Preset),
    "layers": get_args(Layers),
    "choose": get_args(Choice),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
    "checkpointing": get_args(Checkpointing),
    "cuda_graphs": get_args(CudaGraphs),
}

# lowest, highest, what to use instead
BOUNDS: dict[str, tuple[float, float, str]] = {
    "steps": (0, 100_000, "0 (as the preset says) or 1 to 100000"),
    "batch_size": (1, 256, "1 to 256"),
    "accumulation": (1, 1024, "1, which adds nothing up"),
    "rank": (1, 1024, "4 to 128"),
    "alpha": (0, 65504, "0, which means the rank"),
    "learning_rate": (0, 10, "about 0.00015"),
    "clip_rate": (0, 10, "0 (not trained) or about 0.00005"),
    "warmup": (0, 0.9, "0 to 0.9, a part of the steps"),
    "max_gradient_norm": (1e-12, math.inf, "1.0"),
    "weight_decay": (0, 100, "0.01"),
    "crops_per_photo": (1, 4096, "16"),
    "head_focus": (0, 1, "0 (off) to 1"),
    "min_snr_gamma": (0, 1000, "0 (off) or 5"),
    "noise_offset": (0, 1, "0 (off) to 0.1"),
    "caption_dropout": (0, 0.9, "0 (off) to 0.2"),
    "prior_weight": (0, 100, "0 (off) or 1"),
    "snapshots": (0, 100, "0 (as the preset says) or 4"),
    "ema": (0, 0.9999, "0 (off) or 0.99"),
    "seed": (0, math.inf, "0 or more"),
}

# Settings that 0.1.0's first LoRA files do not know.
LATER = {
    *("accumulation", "optimizer", "schedule", "warmup", "clip_rate", "head_focus", "min_snr_gamma"),
    *("noise_offset", "caption_dropout", "prior_weight", "precision", "choose", "snapshots", "ema"),
}


def config_from(preset: str, options: Mapping[str, Any] | None = None, **chosen: Any) -> TrainConfig:
    """The preset with the chosen settings, of which 0, "" or None is as the preset says (except the seed).

    options: further settings, taken as they are.
    """
    kept = {**(options or {}), **{key: value for key, value in chosen.items() if value or key == "seed"}}
    if preset in CHOICES:
        kept.setdefault("choose", CHOICES[preset])
    if kept.get("optimizer") == "Prodigy":
        kept.setdefault("learning_rate", PRODIGY_RATE)
    return TrainConfig(preset=preset, **kept)  # type: ignore[arg-type]


def _check(fine: bool, problem: str, remedy: str) -> None:
    if not fine:
        raise TrainingError(problem, remedy)
