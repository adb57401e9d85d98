"""A person and a host of a few weights, on which whole trainings take milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facechain.faces import engine
from facechain.faces.base import FaceEngine
from facechain.person import Attributes, Person
from facechain.training.lora_file import Base

BASE = Base("m", "c", "v", "SD15")
LAYER = "block.attn1.to_q"
NAME = "lora_unet_block_attn1_to_q"


def make_person(name: str = "anna", brightness: float = 0.5) -> Person:
    images = torch.full((2, 64, 64, 3), brightness)
    images[:, 20:40, 20:40] = torch.tensor([1.0, 0.0, 0.2])
    return Person(
        name=name,
        images=images,
        masks=torch.ones(2, 64, 64),
        embeddings=torch.eye(2, 4),
        embedder="test",
        quality=torch.ones(2),
        poses=torch.zeros(2, 3),
        attributes=Attributes("woman", 30.0, "a beautiful woman"),
        caption="<fcsks>, a beautiful woman",
    )


class Cancelled(Exception):
    pass


class TinyModel(nn.Module):
    """One attention layer that predicts the noise from the noisy pixel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        attention = nn.ModuleDict({"to_q": nn.Linear(4, 4)})
        self.diffusion_model: Any = nn.ModuleDict({"block": nn.ModuleDict({"attn1": attention})})
        self.model_sampling: Any = nn.Module()
        self.model_sampling.percent_to_sigma = lambda percent: (1 - percent) * 2
        self.model_sampling.noise_scaling = lambda sigma, noise, clean, _: clean + sigma.view(-1, 1, 1, 1) * noise
        self.model_sampling.calculate_denoised = lambda sigma, out, noisy: noisy - out * sigma.view(-1, 1, 1, 1)

    def process_latent_in(self, latents: torch.Tensor) -> torch.Tensor:
        return latents

    def apply_model(self, x: torch.Tensor, sigma: torch.Tensor, transformer_options: dict[str, Any]) -> torch.Tensor:
        out = self.diffusion_model["block"]["attn1"]["to_q"](x.movedim(1, -1)).movedim(-1, 1)
        return x - out * sigma.view(-1, 1, 1, 1)


class TinyHost:
    base = BASE
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, folder: Path) -> None:
        self.layer_names: Mapping[str, str] = {LAYER: NAME}
        self.folder, self.loads, self.freed, self.cancel = folder, 0, 0, False
        self.texts: set[str] = set()
        with torch.inference_mode():
            self.model = TinyModel().requires_grad_(False)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            pooled = torch.nn.functional.avg_pool2d(images.movedim(-1, 1), 8)
            return torch.cat([pooled, pooled[:, :1]], 1)

    def encode_text(self, text: str) -> str:
        return text

    def load_model(self) -> nn.Module:
        self.loads += 1
        return self.model

    def text_encoder(self) -> Any:
        raise AssertionError("nobody asked for it")

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=8).movedim(1, -1)

    def conditions(self, model: Any, text: Any, latents: torch.Tensor) -> dict[str, Any]:
        self.texts.add(text)
        return {}

    def draw(self, model: Any, positive: Any, negative: Any, noise: torch.Tensor, steps: int) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        return model.apply_model(noise, torch.ones(len(noise)), {})

    def unfinished_folder(self) -> Path:
        return self.folder / "unfinished"

    def face_engine(self, name: str) -> FaceEngine:
        return engine(name)

    def free_bytes(self) -> int:
        return 10**9

    def options(self) -> dict[str, Any]:
        return {}

    def find_lora(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None

    def lora_folder(self) -> Path:
        return self.folder

    def check_cancel(self) -> None:
        if self.cancel:
            raise Cancelled

    def free_memory(self) -> None:
        self.freed += 1


def ignore(*_: object) -> None:
    return None
