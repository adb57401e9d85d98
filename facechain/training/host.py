"""What a training asks of the program that holds the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from ..faces.base import FaceEngine
from .loss import Conditions


class TextEncoder(Protocol):
    """A text encoder that can learn."""

    network: Any
    layer_names: Mapping[str, str]
    """"lora_te_..." by the path of a layer inside network."""

    def encode(self, text: str) -> Any:
        """As Host.encode_text gives it, by the network as it is now."""
        ...


class Host(Protocol):
    """The model, its encoders, and where files go. A text that is encoded has the host's own form."""

    device: torch.device
    dtype: torch.dtype
    """What the network computes in, unless a training says otherwise."""
    layer_names: Mapping[str, str]
    """"lora_unet_..." by the path of a layer inside the diffusion model."""

    @property
    def base(self) -> Any:
        """A lora_file.Base: what the model is."""
        ...

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """[B, H, W, 3] float32 0..1 to latents [B, C, ...]."""
        ...

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """The way back: [B, C, ...] to [B, H, W, 3] float32 0..1."""
        ...

    def encode_text(self, text: str) -> Any: ...

    def text_encoder(self) -> TextEncoder:
        """The text encoder in a form that can learn, on its device. Raises TrainingError where it cannot."""
        ...

    def load_model(self) -> Any:
        """Bring the model onto the device, patched as it is to be; returns it. Called after the last encoding."""
        ...

    def conditions(self, model: Any, text: Any, latents: torch.Tensor) -> Conditions:
        """apply_model's keyword arguments for an encoded text and a batch shaped like latents."""
        ...

    def draw(
        self, model: Any, positive: Conditions, negative: Conditions, noise: torch.Tensor, steps: int
    ) -> torch.Tensor:
        """Latents drawn from noise [B, C, ...] in that many steps, with guidance. model: as it is now, adapters included."""
        ...

    def options(self) -> dict[str, Any]:
        """transformer_options for training."""
        ...

    def find_lora(self, name: str) -> Path | None:
        """A LoRA file by its name below any loras folder."""
        ...

    def lora_folder(self) -> Path:
        """Where new LoRAs go."""
        ...

    def unfinished_folder(self) -> Path:
        """Where trainings that did not end keep their state."""
        ...

    def face_engine(self, name: str) -> FaceEngine:
        """The face engine of that name. Raises ModelFileError where it cannot be had."""
        ...

    def free_bytes(self) -> int:
        """Memory of the device that a training may still take."""
        ...

    def check_cancel(self) -> None:
        """Raises when the user cancelled."""
        ...

    def free_memory(self) -> None: ...
