"""TAESD's architecture (tiny autoencoder for Stable Diffusion's latents) and its training from nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from standin import vae as mean_colours
from torch import nn
from torch.nn import functional

WIDTH = 64
LATENT_NOISE = 0.05
REPORT = 100  # steps


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [layer for _ in range(3) for layer in (_conv(), nn.ReLU())]
        self.conv = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.conv(x) + x)


class _Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


def _conv(before: int = WIDTH, after: int = WIDTH, **settings: object) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, **settings)  # type: ignore[arg-type]


class Autoencoder(nn.Module):
    """encode: RGB [B, 3, H, W] in 0..1 to latents [B, 4, H/8, W/8] of about unit variance; decode: back."""

    def __init__(self) -> None:
        super().__init__()
        down = [part for _ in range(3) for part in (_conv(stride=2, bias=False), _Block(), _Block(), _Block())]
        self.taesd_encoder = nn.Sequential(_conv(3), _Block(), *down, _conv(after=4))
        up = [
            part
            for _ in range(3)
            for part in (_Block(), _Block(), _Block(), nn.Upsample(scale_factor=2), _conv(bias=False))
        ]
        self.taesd_decoder = nn.Sequential(_Clamp(), _conv(4), nn.ReLU(), *up, _Block(), _conv(after=3))
        self._start()

    def _start(self) -> None:
        """Start as the stand-in's autoencoder, 8x8 mean colours and back, with every other channel free to learn.

        From random weights the first hour goes into learning to pass colours on.
        """
        for key, value in mean_colours(np.random.default_rng(0)).items():
            if not key.startswith("taesd"):
                continue
            own, value = self.get_parameter(key), torch.from_numpy(value)
            with torch.no_grad():
                unused = (value == 0).flatten(1).all(1) if value.ndim > 1 else torch.zeros(len(value), dtype=torch.bool)
                if ".conv." in key or key == "taesd_decoder.19.weight":
                    unused = torch.zeros(len(value), dtype=torch.bool)
                own[~unused] = value[~unused]
        with torch.no_grad():
            self.get_parameter("taesd_encoder.14.weight")[3] = 0.02 * torch.randn(WIDTH, 3, 3)
            self.get_parameter("taesd_encoder.14.bias")[3] = 0

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.taesd_encoder(pixels)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.taesd_decoder(latents)


def train_autoencoder(
    model: Autoencoder,
    views: np.ndarray,
    seconds: float,
    report: Callable[[int, float, float], None],
    decoder_only: bool = False,
    batch: int = 8,
    crop: int = 64,
    rate: float = 2e-3,
    seed: int = 1,
) -> None:
    """Train for a given time on random crops of views (uint8 RGB [N, S, S, 3]); report(step, loss, PSNR in dB).

    Where the model's weights are, that device does it. decoder_only: the encoder, and with it the space of latents, stays as it is.
    """
    random = np.random.default_rng(seed)
    device = next(model.parameters()).device
    learning = model.taesd_decoder if decoder_only else model
    model.taesd_encoder.requires_grad_(not decoder_only)
    optimiser = torch.optim.AdamW(learning.parameters(), rate, (0.9, 0.98), weight_decay=1e-4)
    started, step = time.monotonic(), 0
    errors: list[float] = []
    while (passed := (time.monotonic() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * passed)))
        pixels = _crops(views, batch, crop, random).to(device)
        with torch.set_grad_enabled(not decoder_only):
            latents = model.encode(pixels)
        noisy = latents + LATENT_NOISE * torch.randn_like(latents)  # what a UNet draws is never quite a real latent
        out = model.decode(noisy)
        loss = _difference(out, pixels)
        if not decoder_only:
            spread = latents.transpose(0, 1).flatten(1)
            loss = loss + 0.01 * (spread.mean(1).square() + (spread.std(1) - 1).square()).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % REPORT >= REPORT - 20:
            errors.append(float(functional.mse_loss(out.detach().clamp(0, 1), pixels)))
        if step % REPORT == 0:
            report(step, float(loss.detach()), -10 * math.log10(float(np.mean(errors))))
            errors.clear()


def _difference(out: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the pixels and of what differs between neighbours, which keeps edges."""
    loss = (out - wanted).abs().mean()
    for axis in (2, 3):
        loss = loss + 0.5 * (out.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean()
    return loss + 2 * functional.mse_loss(out, wanted)


def _crops(views: np.ndarray, batch: int, crop: int, random: np.random.Generator) -> torch.Tensor:
    side = views.shape[1] - crop
    chosen = []
    for number in random.integers(0, len(views), batch):
        # Faces stand in the middle: two crops of three are taken there.
        spread = (
            random.integers(0, side + 1, 2)
            if random.random() < 0.34
            else random.integers(side // 4, 3 * side // 4 + 1, 2)
        )
        top, left = (8 * int(value / 8) for value in spread)
        cut = views[number, top : top + crop, left : left + crop]
        chosen.append(cut[:, ::-1] if random.random() < 0.5 else cut)
    return torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2).float() / 255
