"""The loss of a batch: the error of the network's own target, whatever the network predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .config import TrainConfig

Conditions = dict[str, Any]  # apply_model's keyword arguments for a caption, each tensor with a batch of batch_size


@dataclass(frozen=True, eq=False)
class Batch:
    """latents: [B, C, ...] float32 as the VAE gives them. head: [B, h, w] float32 0..1, 1 = head, or None."""

    latents: torch.Tensor
    head: torch.Tensor | None = None


def batched(conditions: Sequence[Conditions]) -> Conditions:
    """Conditions of one picture each, and of the same shapes, as those of a batch."""
    first = conditions[0]
    return {
        key: torch.cat([given[key] for given in conditions]) if isinstance(value, torch.Tensor) else value
        for key, value in first.items()
    }


@dataclass(frozen=True, eq=False)
class Noised:
    """A batch and its noise on the model's device. clean, noise: [B, C, ...] float32, clean as the network takes it.

    sigma: [B], the noise level. head: as in Batch.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    sigma: torch.Tensor
    head: torch.Tensor | None = None


def add_noise(
    model: Any, batch: Batch, config: TrainConfig, generator: torch.Generator, device: torch.device
) -> Noised:
    """Draw noise and its levels, uniform over the model's time. All random numbers come from generator, on the CPU."""
    noise = torch.randn(batch.latents.shape, generator=generator)
    times = torch.rand(len(noise), generator=generator).clamp(1e-4, 1 - 1e-4)
    if config.noise_offset:
        per_channel = (*noise.shape[:2], *(1 for _ in noise.shape[2:]))
        noise = noise + config.noise_offset * torch.randn(per_channel, generator=generator)
    sigma = torch.tensor([float(model.model_sampling.percent_to_sigma(float(t))) for t in times])
    clean = model.process_latent_in(batch.latents)
    head = None if batch.head is None else batch.head.to(device)
    return Noised(clean.to(device), noise.to(device), sigma.to(device), head)


def loss_of(
    model: Any, conditions: Conditions, noised: Noised, config: TrainConfig, options: dict[str, Any] | None = None
) -> torch.Tensor:
    """Mean squared error of the network's own target (noise, velocity or flow), weighted as config says.

    The model gives denoised pictures; dividing their error by what one unit of the network's output
    changes in them gives the error of the output itself, whatever the model predicts.
    options: transformer_options, copied. No random numbers, and nothing waits for the device.
    """
    sampling, clean, sigma = model.model_sampling, noised.clean, noised.sigma
    noisy = sampling.noise_scaling(sigma, noised.noise, clean, False)
    given = {key: dict(value) if isinstance(value, dict) else value for key, value in (options or {}).items()}
    denoised = model.apply_model(noisy, sigma, transformer_options=given, **conditions)
    ones, zeros = torch.ones_like(clean), torch.zeros_like(clean)
    unit = sampling.calculate_denoised(sigma, ones, zeros)
    error = ((denoised - clean) / unit).square()
    if config.min_snr_gamma:
        # (signal / noise)^2 of the noisy picture; x unit^2 because gamma bounds the weight of the picture's error
        ratio = sampling.noise_scaling(sigma, zeros, ones, False) / sampling.noise_scaling(sigma, ones, zeros, False)
        error = error * ratio.square().clamp(max=config.min_snr_gamma) * unit.square()
    if config.head_focus and noised.head is not None:
        error = error * head_weights(noised.head, config.head_focus, error.ndim)
    return error.mean()


def head_weights(head: torch.Tensor, focus: float, dims: int) -> torch.Tensor:
    """Weights of mean 1 each picture: (1 - focus) outside the head against 1 in it. [B, h, w] to [B, 1, (1,) h, w].

    A picture whose mask is empty counts alike all over: at focus 1 it would teach nothing.
    """
    weights = 1 - focus * (1 - head)
    mean = weights.mean((-2, -1), keepdim=True)
    weights = torch.where(mean > 1e-6, weights / mean.clamp_min(1e-6), torch.ones_like(weights))
    return weights.view(len(head), *(1 for _ in range(dims - 3)), *head.shape[1:])
