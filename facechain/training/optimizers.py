"""What moves the adapters: the optimiser, and its rate by step."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import TrainingError
from .config import TrainConfig

PACKAGES = {"AdamW 8-bit": "bitsandbytes", "Prodigy": "prodigyopt"}


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that share a peak rate."""

    parameters: list[nn.Parameter]
    rate: float


def check_optimizer(config: TrainConfig, device: torch.device) -> None:
    """Raises TrainingError where the chosen optimiser's package or its device is absent."""
    package = PACKAGES.get(config.optimizer)
    if package and importlib.util.find_spec(package) is None:
        raise TrainingError(
            f"the optimiser {config.optimizer} needs the Python package {package}, which is not installed",
            f"Install it into ComfyUI's Python (python -m pip install {package}), or choose AdamW",
        )
    if config.optimizer == "AdamW 8-bit" and device.type != "cuda":
        raise TrainingError("AdamW 8-bit works on NVIDIA graphics cards only", "Choose AdamW")


def make_optimizer(groups: Sequence[Group], config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """The chosen optimiser. Raises TrainingError as check_optimizer does."""
    check_optimizer(config, device)
    parts = [{"params": group.parameters, "lr": group.rate, "peak": group.rate} for group in groups]
    common = {"betas": config.betas, "eps": config.epsilon, "weight_decay": config.weight_decay}
    if config.optimizer == "AdamW":
        return torch.optim.AdamW(parts, **common, fused=device.type in ("cpu", "cuda"))
    if config.optimizer == "AdamW 8-bit":
        import bitsandbytes  # type: ignore[import-not-found]

        return bitsandbytes.optim.AdamW8bit(parts, **common)
    from prodigyopt import Prodigy  # type: ignore[import-not-found]

    # Its authors' advice for diffusion models; the safeguard keeps a warm-up from spoiling the estimate.
    return Prodigy(parts, **common, decouple=True, use_bias_correction=True, safeguard_warmup=config.warmup > 0)


def rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """The part of the peak rate at a step: rises to 1 in the warm-up, then falls towards 0 after the last step."""
    warm = round(config.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    part = (step - warm) / (steps - warm)
    if config.schedule == "constant":
        return 1.0
    return 1 - part if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * part))


def set_rate(optimizer: torch.optim.Optimizer, part: float) -> None:
    """Bring each group to that part of its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * part
