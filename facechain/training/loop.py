"""The training steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from .config import TrainConfig
from .data import LatentBank

# Raises to cancel. Arguments: steps done, steps in all, losses so far, seconds since the first step.
OnStep = Callable[[int, int, list[float], float], None]


@dataclass(frozen=True, eq=False)
class Trainee:
    """A model ready to be trained.

    model: as network.trainable_view makes it. parameters: the adapters' float32 parameters.
    conditions: keyword arguments of apply_model for the caption, each tensor with a batch of batch_size.
    options: transformer_options for the model; copied for each step.
    """

    model: Any
    parameters: list[nn.Parameter]
    conditions: dict[str, Any]
    device: torch.device
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What the steps left behind: loss of each step, seconds they took."""

    losses: list[float]
    seconds: float


@contextmanager
def training_mode(seed: int, device: torch.device) -> Iterator[None]:
    """Autograd on, also inside a host's inference mode; torch's random numbers seeded, and afterwards as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def train(trainee: Trainee, bank: LatentBank, config: TrainConfig, steps: int, on_step: OnStep) -> Run:
    """Train the parameters in place: AdamW, cosine rate, clipped gradients.

    on_step is called before each step and after the last; what it raises ends the training.
    Raises TrainingError when the loss is no longer a number.
    """
    optimizer = torch.optim.AdamW(
        trainee.parameters,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=trainee.device.type in ("cpu", "cuda"),
    )
    generator = torch.Generator().manual_seed(config.seed)
    losses: list[float] = []
    started = time.monotonic()
    for step in range(steps):
        on_step(step, steps, losses, time.monotonic() - started)
        _set_rate(optimizer, config.learning_rate * cosine(step, steps))
        loss = diffusion_loss(trainee, bank.batch(config.batch_size, generator), generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trainee.parameters, config.max_gradient_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
        _check_number(losses, config)
    on_step(steps, steps, losses, time.monotonic() - started)
    return Run(losses, time.monotonic() - started)


def diffusion_loss(trainee: Trainee, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mean squared error of the network's own target (noise, velocity or flow) for latents [B, C, ...] of the VAE.

    Noise levels are uniform over the model's time. All random numbers come from generator, on the CPU.
    The model gives denoised pictures; dividing their error by what one unit of the network's output
    changes in them gives the error of the output itself, whatever the model predicts.
    """
    model, sampling = trainee.model, trainee.model.model_sampling
    clean = model.process_latent_in(latents).to(trainee.device)
    noise = torch.randn(latents.shape, generator=generator).to(trainee.device)
    times = torch.rand(len(latents), generator=generator).clamp(1e-4, 1 - 1e-4)
    sigma = torch.tensor([float(sampling.percent_to_sigma(float(t))) for t in times], device=trainee.device)
    noisy = sampling.noise_scaling(sigma, noise, clean, False)
    options = {key: dict(value) if isinstance(value, dict) else value for key, value in trainee.options.items()}
    denoised = model.apply_model(noisy, sigma, transformer_options=options, **trainee.conditions)
    unit = sampling.calculate_denoised(sigma, torch.ones_like(clean), torch.zeros_like(clean))
    return ((denoised - clean) / unit).square().mean()


def cosine(step: int, steps: int) -> float:
    """The part of the peak rate at a step: 1 at the first, towards 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def smoothed(losses: list[float], weight: float = 0.95) -> list[float]:
    """Running mean of losses, which jump with the noise level of each step; without a false start."""
    means, total, norm = [], 0.0, 0.0
    for loss in losses:
        total, norm = weight * total + loss, weight * norm + 1
        means.append(total / norm)
    return means


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _check_number(losses: list[float], config: TrainConfig) -> None:
    if math.isfinite(losses[-1]):
        return
    step = len(losses)
    if step == 1:
        raise TrainingError(
            "the model's loss is not a number at the first step",
            "The checkpoint may be damaged, or overflow in float16: try another one, or start ComfyUI with --bf16-unet",
        )
    raise TrainingError(
        f"the loss was no longer a number at step {step} with learning_rate {config.learning_rate:g}",
        "Set learning_rate lower, for example to 0.00015",
    )
