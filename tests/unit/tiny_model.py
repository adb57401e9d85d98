"""A network of a few thousand weights in the form in which ComfyUI wraps its models, ready to be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from facechain.training import loss as losses
from facechain.training.config import TrainConfig
from facechain.training.data import LatentBank
from facechain.training.loop import Captions, Trainee
from facechain.training.loss import Batch
from facechain.training.network import add_adapters, blocks_of, checkpoint_blocks, trainable_view, watch_layers
from facechain.training.optimizers import Group

WIDTH = 16


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        weights = (self.to_q(x) @ self.to_k(context).mT / WIDTH**0.5).softmax(-1)
        return self.to_out(weights @ self.to_v(context))


class BasicTransformerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(), Attention()

    def forward(self, x: torch.Tensor, context: torch.Tensor, transformer_options: dict[str, Any]) -> torch.Tensor:
        # as ComfyUI's models do: the options change on the way, and work depends on them
        transformer_options["index"] = transformer_options.get("index", 0) + 1
        x = x + self.attn1(x, x) * transformer_options["index"]
        return x + self.attn2(x, context)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList([BasicTransformerBlock(), BasicTransformerBlock()])
        self.register_buffer("shift", torch.zeros(4))

    def forward(self, x: torch.Tensor, context: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        h = self.into(x.movedim(1, -1).flatten(1, 2))
        for block in self.blocks:
            h = block(h, context, transformer_options=options)
        return (self.out(h) + self.shift).movedim(-1, 1).reshape(x.shape)


class Sampling(nn.Module):
    """eps: noisy = clean + sigma noise, predicts noise. v: predicts velocity. flow: noisy on a straight line."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.tensor(3.0))

    def percent_to_sigma(self, percent: float) -> torch.Tensor:
        return (1 - torch.tensor(percent)) * (1.0 if self.kind == "flow" else self.scale)

    def noise_scaling(self, sigma: torch.Tensor, noise: torch.Tensor, clean: torch.Tensor, _: bool) -> torch.Tensor:
        s = sigma.view(-1, 1, 1, 1)
        return s * noise + (1 - s) * clean if self.kind == "flow" else clean + s * noise

    def calculate_denoised(self, sigma: torch.Tensor, output: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        s = sigma.view(-1, 1, 1, 1)
        if self.kind == "v":
            return noisy / (s**2 + 1) - output * s / (s**2 + 1) ** 0.5
        return noisy - output * s


class Model(nn.Module):
    """A model as ComfyUI wraps it."""

    def __init__(self, kind: str = "eps") -> None:
        super().__init__()
        self.diffusion_model, self.model_sampling = Network(), Sampling(kind)
        self.manual_cast_dtype = None

    def process_latent_in(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * 0.5

    def apply_model(
        self, x: torch.Tensor, sigma: torch.Tensor, c_crossattn: torch.Tensor, transformer_options: dict[str, Any]
    ) -> torch.Tensor:
        output = self.diffusion_model(x.to(self.manual_cast_dtype), c_crossattn, transformer_options)
        self.last_output = output
        return self.model_sampling.calculate_denoised(sigma, output.float(), x)


def make_model(kind: str = "eps") -> Any:  # for pyright, every part of a module may be a tensor
    torch.manual_seed(0)
    with torch.inference_mode():  # as ComfyUI loads its models
        return Model(kind).requires_grad_(False)


def names_of(model: Any) -> dict[str, str]:
    return {path: "lora_unet_" + path.replace(".", "_") for path, _ in model.diffusion_model.named_modules()}


def make_trainee(
    model: Any, config: TrainConfig, on_layer: Callable[[], None] = lambda: None, device: str = "cpu"
) -> Trainee:
    """On a card its steps are recorded."""
    view = trainable_view(model, torch.float32)
    adapters = add_adapters(view.diffusion_model, config, names_of(model))
    watch_layers(view.diffusion_model, on_layer)
    if config.checkpointing == "on":
        checkpoint_blocks(blocks_of(view.diffusion_model))
    context = torch.randn(config.batch_size, 3, WIDTH, generator=torch.Generator().manual_seed(5)).to(device)
    parameters = [half for adapter in adapters for half in (adapter.down, adapter.up)]
    groups = [Group(parameters, config.learning_rate)]
    captions = Captions(lambda: {"c_crossattn": context}, lambda: {"c_crossattn": 0 * context})
    return Trainee(view, groups, captions, torch.device(device), recorded=device == "cuda")


def loss_of(trainee: Trainee, batch: Batch, generator: torch.Generator, **settings: Any) -> torch.Tensor:
    config = TrainConfig(**settings)
    noised = losses.add_noise(trainee.model, batch, config, generator, trainee.device)
    return losses.loss_of(trainee.model, trainee.captions.person(), noised, config)


def bank() -> LatentBank:
    return LatentBank(torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)))


def ignore(*_: object) -> None:
    return None
