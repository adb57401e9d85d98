"""Training of the UNet on banks of latents and encoded captions, with snapshots to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .unet import attention

STEPS = 1000  # SD 1.5's noise schedule: scaled linear
BETAS = (0.00085, 0.012)
MOST_WEIGHT = 10.0


@dataclass(frozen=True, eq=False)
class Bank:
    """What to learn.

    latents: [N, 4, h, w] float32 of about unit variance.
    texts: [K, T, 768] float16.
    captions[i], negatives[i]: rows of texts that fit latents[i]; negatives stand for "no prompt".
    share: [N], how often each is drawn.
    """

    latents: torch.Tensor
    texts: torch.Tensor
    captions: list[list[int]]
    negatives: list[list[int]]
    share: torch.Tensor


class Training:
    """UNet, its running mean (EMA), optimiser and counters; a snapshot holds them all."""

    def __init__(self, unet: nn.Module, seed: int = 3) -> None:
        self.unet = unet.train()
        self.mean = {name: value.detach().clone() for name, value in unet.named_parameters()}
        self.optimiser = torch.optim.AdamW(unet.parameters(), 1e-4, (0.9, 0.99), weight_decay=0.01, fused=True)
        self.step = 0
        self.seconds = 0.0
        self.random = torch.Generator().manual_seed(seed)
        betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, STEPS, dtype=torch.float64) ** 2
        self.alphas = torch.cumprod(1 - betas, 0).float()

    def run(
        self, bank: Bank, seconds: float, batch: int, rate: float, report: Callable[[Training, float], None]
    ) -> None:
        """Train for so many seconds in all, earlier runs included; the rate falls to nothing at their end."""
        begun, before = time.monotonic(), self.seconds
        recent: list[float] = []
        while self.seconds < seconds:
            passed = self.seconds / seconds
            for group in self.optimiser.param_groups:
                group["lr"] = (
                    rate * min(1.0, (self.step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * passed)))
                )
            recent.append(self._one(bank, batch))
            self.seconds = before + time.monotonic() - begun
            if self.step % 100 == 0:
                report(self, sum(recent[-100:]) / len(recent[-100:]))

    def _one(self, bank: Bank, batch: int) -> float:
        chosen = torch.multinomial(bank.share, batch, True, generator=self.random)
        rows = [self._row(bank, int(place)) for place in chosen]
        clean, context = bank.latents[chosen], bank.texts[rows].float()
        # One time from each of `batch` equal parts of the schedule: less noise in the gradient.
        parts = (torch.arange(batch) + torch.rand(batch, generator=self.random)) / batch
        times = (parts[torch.randperm(batch, generator=self.random)] * STEPS).long().clamp(max=STEPS - 1)
        alpha = self.alphas[times].view(-1, 1, 1, 1)
        noise = torch.randn(clean.shape, generator=self.random)
        guess = self.unet(
            alpha.sqrt() * clean + (1 - alpha).sqrt() * noise,
            times,
            context=context,
            transformer_options={"optimized_attention_override": attention},
        )
        # The error in v (Salimans and Ho 2022): without it high noise, where the picture is laid out, hardly counts.
        weight = (1 / alpha).clamp(max=MOST_WEIGHT)
        error = (guess - noise).square()
        self.optimiser.zero_grad()
        (weight * error).mean().backward()
        nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.unet.named_parameters():
                self.mean[name].lerp_(value, 1 - keep)
        return float((weight * error).mean().detach())

    def _row(self, bank: Bank, place: int) -> int:
        without = float(torch.rand((), generator=self.random)) < 0.1
        rows = bank.negatives[place] if without else bank.captions[place]
        return rows[int(torch.randint(len(rows), (), generator=self.random))]

    # --- snapshots -------------------------------------------------------------------

    def save(self, path: Path) -> None:
        from safetensors.torch import save_file

        tensors = {f"unet.{name}": value.detach() for name, value in self.unet.named_parameters()}
        tensors |= {f"mean.{name}": value for name, value in self.mean.items()}
        for name, value in self.unet.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{moment}.{name}"] = self.optimiser.state[value][moment]
        whole = {key: value.contiguous() for key, value in tensors.items()}
        partial = path.with_suffix(".partial")
        save_file(whole, partial, {"step": str(self.step), "seconds": str(self.seconds)})
        partial.replace(path)

    def load(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            self.step, self.seconds = int(about["step"]), float(about["seconds"])
            with torch.no_grad():
                for name, value in self.unet.named_parameters():
                    value.copy_(file.get_tensor(f"unet.{name}"))
                    self.mean[name].copy_(file.get_tensor(f"mean.{name}"))
                    moments = {key: file.get_tensor(f"{key}.{name}") for key in ("exp_avg", "exp_avg_sq")}
                    self.optimiser.state[value] = {"step": torch.tensor(float(self.step)), **moments}
        self.random.manual_seed(self.step)
