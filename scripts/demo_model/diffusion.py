"""Training of the UNet on banks of latents and encoded captions, with snapshots to go on from.

In the last part of it the UNet sees its weights as they will be shipped, with few bits, and learns to do with them; the
gradient goes to the weights themselves (straight-through estimator, Bengio et al. 2013).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from .checkpoint import BITS, BLOCK
from .unet import attention

STEPS = 1000  # SD 1.5's noise schedule: scaled linear
BETAS = (0.00085, 0.012)
MOST_WEIGHT = 10.0
ROUNDED_FROM = 0.6  # of the time
LONGEST_MEAN = 0.999  # of the weights' running mean


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
    """UNet, its running mean (EMA), optimiser and counters; a snapshot holds them all. Runs on the UNet's device."""

    def __init__(self, unet: nn.Module, seed: int = 3) -> None:
        self.unet = unet.train()
        self.device = next(unet.parameters()).device
        self.mean = {name: value.detach().clone() for name, value in unet.named_parameters()}
        self.optimiser = torch.optim.AdamW(unet.parameters(), 1e-4, (0.9, 0.99), weight_decay=0.01, fused=True)
        self.step = 0
        self.seconds = 0.0
        self.random = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(self.device).manual_seed(seed)
        betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, STEPS, dtype=torch.float64) ** 2
        self.alphas = torch.cumprod(1 - betas, 0).float()

    def run(
        self, bank: Bank, seconds: float, batch: int, rate: float, report: Callable[[Training, float], None]
    ) -> None:
        """Train for so many seconds in all, earlier runs included; the rate falls to nothing at their end."""
        bank = replace(bank, latents=bank.latents.to(self.device), texts=bank.texts.to(self.device))
        begun, before = time.monotonic(), self.seconds
        recent: list[torch.Tensor] = []
        while self.seconds < seconds:
            passed = self.seconds / seconds
            for group in self.optimiser.param_groups:
                group["lr"] = (
                    rate * min(1.0, (self.step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * passed)))
                )
            recent.append(self._one(bank, batch, rounded=passed > ROUNDED_FROM))
            self.seconds = before + time.monotonic() - begun
            if self.step % 100 == 0:
                report(self, float(torch.stack(recent).mean()))
                recent.clear()

    def _one(self, bank: Bank, batch: int, rounded: bool) -> torch.Tensor:
        chosen = torch.multinomial(bank.share, batch, True, generator=self.random)
        rows = torch.tensor([self._row(bank, int(place)) for place in chosen])
        clean, context = bank.latents[chosen.to(self.device)], bank.texts[rows.to(self.device)].float()
        # One time from each of `batch` equal parts of the schedule: less noise in the gradient.
        parts = (torch.arange(batch) + torch.rand(batch, generator=self.random)) / batch
        times = (parts[torch.randperm(batch, generator=self.random)] * STEPS).long().clamp(max=STEPS - 1)
        alpha = self.alphas[times].view(-1, 1, 1, 1).to(self.device)
        noise = torch.randn(clean.shape, generator=self.noise, device=self.device)
        # The error in v (Salimans and Ho 2022): without it high noise, where the picture is laid out, hardly counts.
        weight = (1 / alpha).clamp(max=MOST_WEIGHT)
        self.optimiser.zero_grad()
        with as_shipped(self.unet) if rounded else nullcontext():
            loss = self._loss(clean, noise, alpha, times.to(self.device), context, weight)
            loss.backward()
        nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(LONGEST_MEAN, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.unet.named_parameters():
                self.mean[name].lerp_(value, 1 - keep)
        return loss.detach()

    def _loss(
        self,
        clean: torch.Tensor,
        noise: torch.Tensor,
        alpha: torch.Tensor,
        times: torch.Tensor,
        context: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.unet(
                alpha.sqrt() * clean + (1 - alpha).sqrt() * noise,
                times,
                context=context,
                transformer_options={"optimized_attention_override": attention},
            )
        return (weight * (guess.float() - noise).square()).mean()

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
                    moments = {
                        key: file.get_tensor(f"{key}.{name}").to(self.device) for key in ("exp_avg", "exp_avg_sq")
                    }
                    step = torch.tensor(float(self.step), device=self.device)
                    self.optimiser.state[value] = {"step": step, **moments}
        self.random.manual_seed(self.step)
        self.noise.manual_seed(self.step)


# --- the weights as they are shipped ------------------------------------------------------


@contextmanager
def as_shipped(unet: nn.Module) -> Iterator[None]:
    """Inside, the weights are what `checkpoint.ship` would keep of them; gradients stay, the weights come back."""
    kept = {weight: weight.detach().clone() for weight in unet.parameters() if weight.ndim > 1}
    with torch.no_grad():
        for weight in kept:
            weight.copy_(rounded(weight, BITS["unet."]))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, whole in kept.items():
                weight.copy_(whole)


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """float32 of the same shape, as it comes back from the shipped file."""
    most = 2 ** (bits - 1) - 1
    flat = nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    scale = (flat.abs().amax(1, keepdim=True) / most).clamp(min=1e-7).half().float()
    return ((flat / scale).round().clamp(-most, most) * scale).flatten()[: weight.numel()].view_as(weight)
